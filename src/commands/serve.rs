//! `kq serve`: from its flags and variables to the engine's settings.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use hyper::header::HeaderName;

use crate::cli::serve::{self as cli, Args, For, Validate};
use crate::commands::produce::{header, schema};
use crate::config::{self, Config, environment};
use crate::exit::Exit;
use crate::http::address::Address;
use crate::record::validate::Validator;
use crate::sending::settings::{Acks, Missing, Settings as Producer};
use crate::serve::settings::{Https, Limits, Scheme, Security, Settings, Topic, Webhook};
use crate::serve::{self, route};
use crate::stderr;

/// Where an endpoint listens unless it is told.
const LISTEN: &str = "127.0.0.1:8080";
/// The longest body unless another length is given.
const MAX_BODY: usize = 1 << 20;

/// Serves until a signal, and returns how that ended.
pub(crate) fn run(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    let args = args.or_variables(&environment::process)?;
    let outcome = settings(&args, config).and_then(|settings| serve::run(settings, config));
    stderr::hurry();
    outcome
}

/// The settings that the flags ask for. What needs the cluster is checked later.
fn settings(args: &Args, config: &Config) -> anyhow::Result<Settings> {
    if let Some(origin) = config.origin_of_x("acks") {
        bail!(
            "{origin} acks: leave it out. kq serve answers with 200 once all in-sync replicas have a record, and \
             with fewer that would not be true"
        );
    }
    let names = names(args, config)?;
    let place = |name: &str, flag: &str| {
        let found = names.iter().position(|served| served == name);
        found.with_context(|| format!("{flag}: topic {name} is not served here ({})", names.join(", ")))
    };
    for (flag, topics) in [
        ("--validate", named(&args.validate)),
        ("--key-from", named(&args.key_from)),
        ("--webhook", named(&args.webhooks)),
    ] {
        for topic in topics {
            place(topic, flag)?;
        }
    }
    let webhooks = args.webhooks.iter().map(|given| {
        let topic = given.topic.as_deref().map(|name| place(name, "--webhook")).transpose()?;
        Ok(Webhook { topic, scheme: given.value.scheme.clone(), secrets: given.value.secrets.clone() })
    });
    Ok(Settings {
        listen: args
            .listen
            .clone()
            .map_or_else(|| LISTEN.parse::<Address>(), Ok)
            .map_err(anyhow::Error::msg)?,
        metrics: args.metrics.clone(),
        topics: names.iter().map(|name| topic(args, name, config)).collect::<anyhow::Result<_>>()?,
        routes: routes(args, place)?,
        limits: limits(args)?,
        security: Security {
            token_file: args.token_file.clone(),
            https: https(args)?,
            webhooks: webhooks.collect::<anyhow::Result<_>>()?,
            no_auth: args.no_auth,
            cors_origins: args.cors_origins.clone(),
            allow_hosts: args.allow_hosts.clone(),
        },
        producer: producer(args),
        drain_delay: args.drain_delay,
        shutdown_timeout: args.shutdown_timeout,
    })
}

/// The topics, by their names: a request never reaches another one.
fn names(args: &Args, config: &Config) -> anyhow::Result<Vec<String>> {
    let names = config::topic::several(&args.topics, &args.topic_flags, config.env_topic.as_deref())?;
    for name in &names {
        ensure!(
            !name.starts_with("__"),
            "topic {name}: names that begin with __ are the cluster's own, and are not served"
        );
    }
    Ok(names)
}

/// The topics that these values are for by name.
fn named<T>(given: &[For<T>]) -> Vec<&str> {
    given.iter().filter_map(|given| given.topic.as_deref()).collect()
}

/// What was given for this topic, or for all.
fn of_topic<'a, T>(given: &'a [For<T>], topic: &str, flag: &str) -> anyhow::Result<Option<&'a T>> {
    let only = |of: Option<&str>| {
        let mut found = given.iter().filter(|given| given.topic.as_deref() == of);
        let (first, second) = (found.next(), found.next());
        let for_what = of.map_or("all topics".to_owned(), |topic| format!("topic {topic}"));
        ensure!(second.is_none(), "{flag}: there are two for {for_what}; give one");
        Ok(first.map(|given| &given.value))
    };
    let (own, of_all) = (only(Some(topic))?, only(None)?);
    Ok(own.or(of_all))
}

/// What this topic accepts.
fn topic(args: &Args, name: &str, config: &Config) -> anyhow::Result<Topic> {
    let key_from = of_topic(&args.key_from, name, "--key-from")?.cloned();
    let validator = match of_topic(&args.validate, name, "--validate")? {
        None | Some(Validate::Json) => Some(Validator::Json),
        Some(Validate::Nothing) => None,
        Some(Validate::Schema(file)) => Some(schema(file, "json, none", Validator::linear_schema, config)?),
    };
    Ok(Topic {
        name: Arc::from(name),
        validator,
        form: args.form,
        any: args.any,
        key_from,
        key_optional: args.key_optional,
        headers: args.headers.iter().map(|text| header(text)).collect::<anyhow::Result<_>>()?,
        signature_headers: signature_headers(args, name),
        copy_headers: args.copy_headers.clone(),
    })
}

/// The headers in which senders to this topic put signatures of a form that only the user knows.
fn signature_headers(args: &Args, topic: &str) -> Vec<HeaderName> {
    let webhooks = args.webhooks.iter().filter(|given| given.topic.as_deref().is_none_or(|of| of == topic));
    let header = |given: &For<cli::Webhook>| match &given.value.scheme {
        Scheme::Hmac(header) => Some(header.clone()),
        Scheme::GitHub | Scheme::Stripe | Scheme::Standard => None,
    };
    webhooks.filter_map(header).collect()
}

/// The paths besides `/topics/…`.
fn routes(
    args: &Args,
    place: impl Fn(&str, &str) -> anyhow::Result<usize>,
) -> anyhow::Result<Vec<(String, usize)>> {
    let mut routes: Vec<(String, usize)> = Vec::new();
    for given in &args.routes {
        let path = &given.path;
        ensure!(!route::is_own(path), "--route {path}: that path is kq's own; choose another one");
        ensure!(
            routes.iter().all(|(other, _)| other != path),
            "--route {path}: there are two; a path has one topic"
        );
        routes.push((path.clone(), place(&given.topic, "--route")?));
    }
    Ok(routes)
}

fn limits(args: &Args) -> anyhow::Result<Limits> {
    ensure!(
        args.drain_delay < args.shutdown_timeout,
        "--drain-delay {:?} leaves nothing of --shutdown-timeout {:?} for requests that are open",
        args.drain_delay,
        args.shutdown_timeout
    );
    let body = args.max_body.unwrap_or(MAX_BODY);
    ensure!(
        body <= args.max_pending,
        "--max-pending {} is less than --max-body {body}: no body of that length could be read",
        args.max_pending
    );
    ensure!(
        u32::try_from(args.max_pending).is_ok(),
        "--max-pending {} is too much: give less than 4GiB",
        args.max_pending
    );
    Ok(Limits {
        body,
        records: args.max_records,
        pending: args.max_pending,
        connections: args.max_connections,
        rate: args.rate,
        head_timeout: args.head_timeout,
        body_timeout: args.body_timeout,
        idle_timeout: args.idle_timeout,
    })
}

/// TLS of the listener, if it is asked for.
fn https(args: &Args) -> anyhow::Result<Option<Https>> {
    match (&args.https_cert, &args.https_key) {
        (Some(certificate), Some(key)) => Ok(Some(Https {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: args.https_client_ca.clone(),
        })),
        (Some(_), None) => bail!("--https-cert: give --https-key too, the file of its private key"),
        (None, Some(_)) => bail!("--https-key: give --https-cert too, the file of its certificate"),
        (None, None) if args.https_client_ca.is_some() => {
            bail!("--https-client-ca: give --https-cert and --https-key too; only HTTPS has certificates")
        }
        (None, None) => Ok(None),
    }
}

/// What the flags ask of the producer.
fn producer(args: &Args) -> Producer {
    Producer {
        compression: args.compression,
        partitioner: args.partitioner,
        delivery_timeout: args.delivery_timeout,
        acks: Some(Acks::All),
        idempotence: args.no_idempotence.then_some(false),
        missing: if args.no_create { Missing::Refuse } else { Missing::Create },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{self, Command};
    use crate::config::flags::ConnectionArgs;
    use crate::kafka::properties::Librdkafka;

    /// The settings of a command line, or its error.
    fn of(line: &[&str], env: &[(&str, &str)]) -> Result<Settings, String> {
        let args = ["kq", "serve"].iter().chain(line).map(Into::into);
        let cli = cli::parse(args).map_err(|e| e.to_string())?;
        let Command::Serve(args) = &cli.command else { panic!("another command") };
        let find = |name: &str| env.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        let connection =
            ConnectionArgs { properties: cli.connection.properties, ..ConnectionArgs::default() };
        let config = Config::resolve_with(&connection, &find, &Librdkafka).unwrap();
        args.or_variables(&find).and_then(|args| settings(&args, &config)).map_err(|e| format!("{e:#}"))
    }

    fn error(line: &[&str]) -> String {
        of(line, &[]).err().unwrap_or_else(|| panic!("{line:?} is taken"))
    }

    #[test]
    fn what_is_for_one_topic_ranks_above_what_is_for_all() {
        let settings =
            of(&["a", "b", "--validate", "none", "--validate", "b=json", "--key-from", "a=json:/id"], &[])
                .unwrap();
        let [a, b] = &settings.topics[..] else { panic!("two topics") };
        assert!(a.validator.is_none() && matches!(b.validator, Some(Validator::Json)));
        assert!(a.key_from.is_some() && b.key_from.is_none());
        assert!(error(&["a", "--validate", "none", "--validate", "json"]).contains("two for all topics"));
        assert!(error(&["a", "--validate", "c=none"]).contains("topic c is not served here"));
        assert!(error(&["a", "--webhook", "c=github:s"]).contains("topic c is not served here"));
    }

    #[test]
    fn a_variable_counts_where_no_flag_was_given() {
        let env = [
            ("KQ_TOPIC", "a"),
            ("KQ_LISTEN", ":9"),
            ("KQ_MAX_BODY", "2KiB"),
            ("KQ_VALIDATE", "none"),
            ("KQ_TOKEN_FILE", ""),
        ];
        let settings = of(&[], &env).unwrap();
        assert_eq!((&*settings.topics[0].name, settings.limits.body), ("a", 2048));
        assert_eq!(settings.listen.to_string(), ":9");
        assert!(settings.topics[0].validator.is_none() && settings.security.token_file.is_none());
        let settings = of(&["b", "--max-body", "1KiB"], &env).unwrap();
        assert_eq!((&*settings.topics[0].name, settings.limits.body), ("b", 1024));
        assert!(of(&["b"], &[("KQ_LISTEN", "9")]).err().unwrap().contains("KQ_LISTEN=9"));
        let settings = of(&["b"], &[]).unwrap();
        assert_eq!((settings.listen.to_string().as_str(), settings.limits.body), (LISTEN, MAX_BODY));
    }

    #[test]
    fn what_can_not_be_is_refused() {
        assert!(error(&[]).contains("no topic"));
        assert!(error(&["__consumer_offsets"]).contains("__"));
        assert!(error(&["^a"]).contains("^a"));
        assert!(error(&["a", "-X", "acks=1"]).contains("acks"));
        assert!(error(&["a", "--route", "/livez=a"]).contains("kq's own"));
        assert!(error(&["a", "--route", "/x=a", "--route", "/x=a"]).contains("there are two"));
        assert!(error(&["a", "--route", "/x=b"]).contains("topic b is not served here"));
        assert!(error(&["a", "--max-body", "30MiB"]).contains("--max-pending"));
        assert!(error(&["a", "--https-cert", "c"]).contains("--https-key"));
        assert!(error(&["a", "--https-key", "k"]).contains("--https-cert"));
        assert!(error(&["a", "--https-client-ca", "k"]).contains("--https-cert"));
        assert!(error(&["a", "--acks", "1"]).contains("in-sync replicas"));
    }
}
