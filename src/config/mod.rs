//! The one connection and configuration module: default < file < env < flag < `-X`, and the only builder
//! of a client's properties.

mod authorities;
mod brokers;
mod client;
pub(crate) mod environment;
#[cfg(test)]
mod fake;
pub(crate) mod file;
pub(crate) mod flags;
pub(crate) mod jaas;
mod keystore;
mod lines;
mod pem;
pub(crate) mod properties;
pub(crate) mod secret;
pub(crate) mod security;
mod stores;
pub(crate) mod topic;

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use crate::clock::duration;
use crate::config::flags::ConnectionArgs;
use crate::terminal::notes::Log;
use environment::{Given, Lookup, Source, pick};
use properties::{Catalogue, Property, canonical};

pub(crate) use client::Properties;

/// The brokers to start from, unless others are given.
pub(crate) const DEFAULT_BROKERS: &str = "localhost:9092";
/// The limit for finding the cluster and for a request, unless another one is given.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// A day: a longer time-out is most likely a typing error.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);

/// A longer variable is not given to a child: at 128 KiB, exec fails.
const LONGEST_VARIABLE: usize = 32 << 10;

/// The resolved connection.
///
/// Cheap to clone. `{:?}` shows no secret.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// `host:port,…`
    pub brokers: String,
    /// To find a cluster at the start, and to finish one request.
    pub timeout: Duration,
    pub client_id: String,
    /// `KQ_TOPIC`, where set and not empty.
    pub env_topic: Option<String>,
    /// `KQ_GROUP`, where set and not empty; a command's own `-g` ranks above it.
    pub group: Option<String>,
    pub log: Log,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The flag or variable that gave the time-out.
    timeout_origin: String,
    /// What was given, in ascending rank; of one name the last counts.
    settings: Vec<Setting>,
}

/// A property that the user gave, by a flag, a variable or a file.
#[derive(Clone, Debug)]
struct Setting {
    source: Source,
    /// The flag, the variable or the file, in the words in which a user looks for it.
    origin: String,
    property: Property,
}

impl Setting {
    fn new(source: Source, origin: impl Into<String>, property: Property) -> Self {
        Self { source, origin: origin.into(), property }
    }
}

/// One line of `kq config show`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub name: String,
    /// `***` for a secret.
    pub value: String,
    pub origin: String,
}

impl Config {
    /// Resolves flags, this process's environment and a file: default < file < env < flag < `-X`.
    /// `catalogue` knows which properties there are, and what each takes.
    pub(crate) fn resolve(args: &ConnectionArgs, catalogue: &dyn Catalogue) -> anyhow::Result<Self> {
        Self::resolve_with(args, &environment::process, catalogue)
    }

    /// [`Config::resolve`] with the environment given: `env` looks one variable up.
    pub(crate) fn resolve_with(
        args: &ConnectionArgs,
        env: Lookup<'_>,
        catalogue: &dyn Catalogue,
    ) -> anyhow::Result<Self> {
        let variable = |name: &str| env(name).filter(|value| !value.is_empty());

        let log = Log::new(args.quiet, args.verbose);
        let mut settings = given_settings(args, env, log, catalogue)?;
        let timeout = pick(env, args.timeout.as_deref(), "--timeout", "KQ_TIMEOUT")?;
        let timeout_origin = timeout.as_ref().map_or("default", |given| given.name).to_owned();
        let timeout = timeout.map_or(Ok(DEFAULT_TIMEOUT), |given| check_timeout(&given))?;

        settings.sort_by_key(|setting| setting.source);
        let name = canonical("bootstrap.servers");
        if let Some(given) = settings.iter_mut().rfind(|setting| setting.property.name == name) {
            given.property.value = brokers::check(&given.property.value, &given.origin)?;
        }

        let value = |name: &str| highest(&settings, name).map(|setting| setting.property.value.clone());
        let mut this = Self {
            brokers: value("bootstrap.servers").unwrap_or_else(|| DEFAULT_BROKERS.to_owned()),
            timeout,
            client_id: value("client.id").unwrap_or_else(|| "kq".to_owned()),
            env_topic: variable("KQ_TOPIC"),
            group: variable("KQ_GROUP"),
            log,
            tls: false,
            timeout_origin,
            settings,
        };
        if this.given("debug").is_some() && !args.quiet {
            // Without -vvv, the log would hide the debug lines that were asked for.
            this.log = Log::new(false, args.verbose.max(3));
        }

        let security = security::resolve(args, env, &this.brokers, &|name| this.setting(name))?;
        this.settings.extend(security);
        this.settings.sort_by_key(|setting| setting.source);
        for group in security::GROUPS {
            drop_outranked(&mut this.settings, group);
        }
        stores::open(&mut this.settings)?;
        let protocol = this.given("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
        this.tls = protocol.ends_with("ssl");
        if this.tls && !security::AUTHORITIES.iter().any(|name| this.is_given(name)) {
            this.settings.splice(0..0, authorities::of_environment(env)?);
        }
        if let Some(given) = this.setting("bootstrap.servers") {
            brokers::check_protocols(&given.property.value, &given.origin, &protocol)?;
        }
        Ok(this)
    }

    /// A client's properties with the connection, TLS, SASL and `-X` settings in them.
    ///
    /// `role` lists the properties that the command sets as its defaults: they rank
    /// below what the environment, flags and `-X` say of the same property. Names in
    /// the result are canonical ([`canonical`]), so that no property is in it twice.
    pub(crate) fn client(&self, role: &[(&str, &str)]) -> Properties {
        self.client_with(role, &[])
    }

    /// [`Config::client`] with properties from the command's own flags too: `flags` rank
    /// above the environment (`KQ_X`) and below `-X`.
    pub(crate) fn client_with(&self, role: &[(&str, &str)], flags: &[(&str, &str)]) -> Properties {
        let mut properties = Properties::default();
        let defaults = self.defaults();
        for (name, value) in defaults.iter().map(|(n, v)| (*n, v.as_str())).chain(role.iter().copied()) {
            properties.set(name, value);
        }
        let (above, below): (Vec<_>, Vec<_>) =
            self.settings.iter().partition(|setting| setting.source == Source::X);
        for Setting { property, .. } in below {
            properties.set(&property.name, property.value.as_str());
        }
        for (name, value) in flags {
            properties.set(name, *value);
        }
        for Setting { property, .. } in above {
            properties.set(&property.name, property.value.as_str());
        }
        self.reconcile(&mut properties);
        properties
    }

    /// The effective connection as `KQ_*` variables, wherever it came from, without
    /// secrets: what a child that calls kq needs. The caller removes `KQ_X`, `KQ_TOPIC` and
    /// `KQ_GROUP` of its own from the child's environment. CA certificates that are no file, such as those
    /// of a trust store, are in `KQ_X`, unless they are too long for a variable.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let mut variables = vec![
            ("KQ_BROKERS".to_owned(), self.brokers.clone()),
            ("KQ_CLIENT_ID".to_owned(), self.client_id.clone()),
            ("KQ_TIMEOUT".to_owned(), duration::format(self.timeout)),
        ];
        if self.given("security.protocol").is_some() {
            variables.push(("KQ_TLS".to_owned(), self.tls.to_string()));
        }
        if self.given("enable.ssl.certificate.verification") == Some("false") {
            variables.push(("KQ_TLS_INSECURE".to_owned(), "true".to_owned()));
        }
        self.export(
            &[
                ("KQ_TLS_CA", "ssl.ca.location"),
                ("KQ_TLS_CERT", "ssl.certificate.location"),
                ("KQ_TLS_KEY", "ssl.key.location"),
                ("KQ_SASL_MECHANISM", "sasl.mechanisms"),
                ("KQ_SASL_USERNAME", "sasl.username"),
            ],
            &mut variables,
        );
        variables.extend(self.exported_pem(&["ssl.ca.pem"]));
        variables
    }

    /// [`Config::environment`] with the passwords in it, and the private key. Where PEM text is too long for
    /// a variable in all, its CA certificates are left out.
    pub(crate) fn environment_with_credentials(&self) -> Vec<(String, String)> {
        let mut variables = self.environment();
        self.export(
            &[("KQ_TLS_KEY_PASSWORD", "ssl.key.password"), ("KQ_SASL_PASSWORD", "sasl.password")],
            &mut variables,
        );
        let identity = ["ssl.certificate.pem", "ssl.key.pem"];
        let pem = self.exported_pem(&[&["ssl.ca.pem"][..], &identity].concat());
        let pem = pem.or_else(|| self.exported_pem(&identity));
        variables.retain(|(name, _)| name != "KQ_X" || pem.is_none());
        variables.extend(pem);
        variables
    }

    /// `KQ_X` with these properties of PEM text, for which there are no variables.
    fn exported_pem(&self, names: &[&str]) -> Option<(String, String)> {
        let given = |name: &&str| self.exportable(name);
        let property = |Property { name, value }: &Property| format!("{name}={}", value.replace(',', "\\,"));
        let all: Vec<String> = names.iter().filter_map(given).map(|s| property(&s.property)).collect();
        let all = all.join(",");
        (!all.is_empty() && all.len() <= LONGEST_VARIABLE).then(|| ("KQ_X".to_owned(), all))
    }

    /// Whether the variables of a child lack the CA certificates, since they are too long for one.
    pub(crate) fn lacks_authorities(&self, of_child: &[(String, String)]) -> bool {
        let has_them = |(name, value): &(String, String)| name == "KQ_X" && value.starts_with("ssl.ca.pem=");
        self.exportable("ssl.ca.pem").is_some() && !of_child.iter().any(has_them)
    }

    /// The setting of a property, unless a child has it without kq: what has the lowest rank comes from
    /// variables that the child has too.
    fn exportable(&self, name: &str) -> Option<&Setting> {
        self.setting(name).filter(|setting| setting.source != Source::System)
    }

    fn export(&self, names: &[(&str, &str)], variables: &mut Vec<(String, String)>) {
        for (variable, name) in names {
            if let Some(Setting { property, .. }) = self.exportable(name) {
                variables.push(((*variable).to_owned(), property.value.clone()));
            }
        }
    }

    /// Whether a property was given: by `-X`, a flag of the connection, the environment or a file.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    /// Where a property was given that was given with `-X` or in `KQ_X`, rather than in a file for all clients.
    pub(crate) fn origin_of_x(&self, name: &str) -> Option<&str> {
        let setting = self.setting(name)?;
        matches!(setting.source, Source::X | Source::EnvX).then_some(setting.origin.as_str())
    }

    /// The value that was given for a property, of the source with the highest rank.
    fn given(&self, name: &str) -> Option<&str> {
        self.setting(name).map(|setting| setting.property.value.as_str())
    }

    fn setting(&self, name: &str) -> Option<&Setting> {
        highest(&self.settings, name)
    }

    /// Every effective value of the connection and where it came from; secrets are masked.
    pub(crate) fn show(&self) -> Vec<Shown> {
        let shown = |name: &str, value: &str, origin: &str| Shown {
            name: name.to_owned(),
            value: if properties::is_secret(name) { "***" } else { value }.to_owned(),
            origin: origin.to_owned(),
        };
        let mut all = vec![shown("timeout", &duration::format(self.timeout), &self.timeout_origin)];
        all.extend(self.env_topic.as_ref().map(|topic| shown("topic", topic, "KQ_TOPIC")));
        all.extend(self.group.as_ref().map(|group| shown("group", group, "KQ_GROUP")));
        let mut properties = self.client(&[]);
        if properties.get("security.protocol").is_none() {
            properties.set("security.protocol", "plaintext");
        }
        for (name, value) in properties.iter() {
            let origin = self.setting(name).map_or("default", |setting| &setting.origin);
            // A trust store may have more than a hundred of them.
            let certificates = properties::is_pem(name).then(|| pem::count(value)).filter(|count| *count > 0);
            let counted = certificates.map(|count| format!("({count} in PEM form)"));
            all.push(shown(properties::familiar(name), counted.as_deref().unwrap_or(value), origin));
        }
        all
    }

    /// kq's own defaults, below everything else.
    fn defaults(&self) -> Vec<(&'static str, String)> {
        let timeout = self.timeout.as_millis() as u64;
        let ms = |low: u64, high: u64| timeout.clamp(low, high).to_string();
        let part = |low: u64, high: u64| (timeout * 2 / 5).clamp(low, high).to_string();
        let mut defaults = vec![
            ("bootstrap.servers", DEFAULT_BROKERS.to_owned()),
            ("client.id", "kq".to_owned()),
            ("client.software.name", "kq".to_owned()),
            ("client.software.version", env!("CARGO_PKG_VERSION").to_owned()),
            // OpenSSL is linked in and knows no system folder by itself.
            ("ssl.ca.location", "probe".to_owned()),
            // Its 30 s would hide a missing topic for longer than the time-out.
            ("topic.metadata.propagation.max.ms", ms(0, 3_600_000)),
            ("socket.timeout.ms", ms(1_000, 300_000)),
            // Less than half of it, since librdkafka checks once a second: the reason why a broker does not
            // answer must be known before the time-out, and before the first note of an outage.
            ("socket.connection.setup.timeout.ms", part(1_000, 30_000)),
            ("api.version.request.timeout.ms", part(10, 30_000)),
            // A cluster that starts, or is reachable again, is found within a second.
            ("reconnect.backoff.max.ms", "1000".to_owned()),
        ];
        if self.log.shows(3) {
            defaults.push(("debug", "generic,broker,topic,metadata,cgrp,security,admin,eos".to_owned()));
        }
        defaults
    }

    /// Adapts properties that librdkafka would refuse beside each other.
    fn reconcile(&self, properties: &mut Properties) {
        if properties.get("ssl.ca.pem").is_some() && self.given("ssl.ca.location").is_none() {
            properties.remove("ssl.ca.location");
        }
        // "`acks` must be set to `all` when `enable.idempotence` is true": acks=1 or 0 turns idempotence off.
        if matches!(properties.get("acks"), Some("0" | "1")) && self.given("enable.idempotence").is_none() {
            properties.set("enable.idempotence", "false");
        }
        // "`fetch.wait.max.ms` should be set lower than `socket.timeout.ms` by at least 1000ms"
        // (rd_kafka_conf_finalize), an error that a short --timeout must not cause.
        if self.given("socket.timeout.ms").is_none() {
            let number = |name: &str| properties.get(name).and_then(|v| v.parse::<u64>().ok());
            let floor = number("fetch.wait.max.ms").unwrap_or(500) + 1_500;
            let timeout = number("socket.timeout.ms").unwrap_or(0).max(floor);
            properties.set("socket.timeout.ms", timeout.to_string());
        }
    }
}

/// The properties of the file, of `KQ_X` and `-X`, and of the flags and variables that are one property each.
fn given_settings(
    args: &ConnectionArgs,
    env: Lookup<'_>,
    log: Log,
    catalogue: &dyn Catalogue,
) -> anyhow::Result<Vec<Setting>> {
    let mut settings = Vec::new();
    if let Some(file) = pick(env, args.config_file.as_deref(), "-F/--config-file", "KQ_CONFIG_FILE")? {
        let path = &file.value;
        let bytes = std::fs::read(path).with_context(|| format!("{} {path}", file.name))?;
        let Ok(text) = String::from_utf8(bytes) else {
            bail!(
                "{} {path} is not text in UTF-8, as a file of properties is (a trust store is given in one, or by \
                 -X ssl.truststore.location=…)",
                file.name
            );
        };
        let found = file::parse(&text, path, catalogue)?;
        settings.extend(found.properties.into_iter().map(|p| Setting::new(Source::File, path, p)));
        if let Some(reading) = &found.reading {
            log.note(format_args!("{path}: {reading}"));
        }
        if !found.unused.is_empty() {
            log.note(format_args!("{path}: not used: {}", found.unused.join(", ")));
        }
    }
    if let Some(x) = env("KQ_X").filter(|x| !x.is_empty()) {
        let properties = environment::split_x(&x, catalogue)?;
        settings.extend(properties.into_iter().map(|p| Setting::new(Source::EnvX, "KQ_X", p)));
    }
    for x in &args.properties {
        let properties = Property::parse_given(x.reveal(), "-X", catalogue)?;
        settings.extend(properties.into_iter().map(|p| Setting::new(Source::X, "-X", p)));
    }

    let brokers = pick(env, args.brokers.as_deref(), "-b/--brokers", "KQ_BROKERS")?;
    if let Some(Given { value, source, name }) = brokers {
        settings.push(Setting::new(source, name, property("bootstrap.servers", value)));
    }
    let client_id = pick(env, args.client_id.as_deref(), "--client-id", "KQ_CLIENT_ID")?;
    if let Some(Given { value, source, name }) = client_id {
        settings.push(Setting::new(source, name, property("client.id", value)));
    }
    Ok(settings)
}

/// The setting of a property with the highest rank; `settings` are in ascending rank.
fn highest<'s>(settings: &'s [Setting], name: &str) -> Option<&'s Setting> {
    let name = canonical(name);
    settings.iter().rfind(|setting| setting.property.name == name)
}

fn property(name: &str, value: String) -> Property {
    Property { name: canonical(name).to_owned(), value }
}

/// Removes from a group of properties those of a lower rank than its highest one: a group describes one
/// thing, and librdkafka would combine both ranks. A password neither outranks the others nor is it removed,
/// since it may belong to them: a key of a flag and its password of a variable are the usual way.
fn drop_outranked(settings: &mut Vec<Setting>, group: &[&str]) {
    let is_thing = |setting: &Setting| {
        let name = setting.property.name.as_str();
        group.contains(&name) && !name.ends_with("password")
    };
    if let Some(highest) = settings.iter().filter(|s| is_thing(s)).map(|setting| setting.source).max() {
        settings.retain(|setting| !is_thing(setting) || setting.source >= highest);
    }
}

fn check_timeout(given: &Given) -> anyhow::Result<Duration> {
    let timeout = duration::parse(&given.value).map_err(|e| anyhow!("{}: {e}", given.name))?;
    if timeout < Duration::from_millis(1) || timeout > LONGEST_TIMEOUT {
        bail!("{} {}: give a time between 1ms and 24h", given.name, given.value);
    }
    Ok(timeout)
}

#[cfg(test)]
mod tests;
