//! TLS and SASL: from flags and environment to librdkafka's security properties.

use anyhow::{Context as _, anyhow, bail};

use super::brokers::all_on_loopback;
use super::environment::{self, Given, Lookup, Source, pick};
use super::{Setting, property};
use crate::config::flags::ConnectionArgs;
use crate::config::secret::Secret;

/// Groups of properties that describe one thing each: whom to trust, and who this client is.
pub(super) const GROUPS: [&[&str]; 2] = [
    &["ssl.ca.location", "ssl.ca.pem", "ssl.truststore.location", "ssl.truststore.password"],
    &[
        "ssl.certificate.location",
        "ssl.certificate.pem",
        "ssl.key.location",
        "ssl.key.pem",
        "ssl.key.password",
        "ssl.keystore.location",
        "ssl.keystore.password",
    ],
];

/// The properties that say which CA certificates are trusted.
pub(super) const AUTHORITIES: [&str; 2] = ["ssl.ca.location", "ssl.ca.pem"];

/// Who decided something: how it ranks, and the flag, variable or file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Decider {
    source: Source,
    origin: String,
}

impl Decider {
    fn new(source: Source, origin: &str) -> Self {
        Self { source, origin: origin.to_owned() }
    }
}

/// Resolves the TLS and SASL settings.
///
/// TLS is on with `--tls` or any `--tls-…` flag, and with SASL unless every one of
/// `brokers` is on loopback; `--no-tls` turns it off. Flags decide before the environment.
/// Properties of a file or of `-X`, `given`, are completed and not removed: the other half of a
/// login may be there, and a protocol with TLS keeps TLS.
pub(super) fn resolve<'g>(
    args: &ConnectionArgs,
    env: Lookup<'_>,
    brokers: &str,
    given: &dyn Fn(&str) -> Option<&'g Setting>,
) -> anyhow::Result<Vec<Setting>> {
    let mut settings = Vec::new();
    let protocol = given("security.protocol");
    let protocol_has = |part: fn(&str) -> bool| {
        protocol.filter(|protocol| part(&protocol.property.value.to_ascii_lowercase()))
    };

    let files = tls_files(args, env, given, &mut settings)?;
    let sasl = sasl(args, env, given, &mut settings)?;

    let of_flag = files.clone().filter(|files| files.source == Source::Flag);
    let tls = if args.tls && args.no_tls {
        bail!("--tls and --no-tls contradict each other (give one of them)");
    } else if args.no_tls {
        if of_flag.is_some() {
            bail!("--no-tls contradicts the other --tls flags (give one or the other)");
        }
        Some((false, Decider::new(Source::Flag, "--no-tls")))
    } else if args.tls {
        Some((true, Decider::new(Source::Flag, "--tls")))
    } else if let Some(files) = of_flag {
        Some((true, files))
    } else if let Some(on) = environment::switch(env, "KQ_TLS")? {
        Some((on, Decider::new(Source::Env, "KQ_TLS")))
    } else {
        files.map(|files| (true, files))
    };

    let of_protocol = |protocol: &Setting| Decider::new(protocol.source, &protocol.origin);
    let tls = tls.or_else(|| protocol_has(|p| p.ends_with("ssl")).map(|p| (true, of_protocol(p))));
    let sasl = sasl.or_else(|| protocol_has(|p| p.starts_with("sasl")).map(of_protocol));
    let on = tls.as_ref().map_or_else(|| sasl.is_some() && !all_on_loopback(brokers), |(on, _)| *on);
    let name = match (on, sasl.is_some()) {
        (false, false) => "plaintext",
        (true, false) => "ssl",
        (false, true) => "sasl_plaintext",
        (true, true) => "sasl_ssl",
    };
    let mut deciders: Vec<Decider> = tls.map(|(_, decider)| decider).into_iter().chain(sasl).collect();
    deciders.sort();
    deciders.dedup();
    // Where only the protocol itself was given, it is in the settings already.
    if let Some(highest) = deciders.last().filter(|last| protocol.is_none_or(|p| of_protocol(p) != **last)) {
        let source = highest.source;
        let origins: Vec<&str> = deciders.iter().rev().map(|decider| decider.origin.as_str()).collect();
        settings.push(setting(source, &origins.join(", "), "security.protocol", name.to_owned()));
    }
    Ok(settings)
}

fn setting(source: Source, origin: &str, name: &str, value: String) -> Setting {
    Setting::new(source, origin, property(name, value))
}

/// The settings of TLS, and the source of the highest rank among those that turn it on.
fn tls_files<'g>(
    args: &ConnectionArgs,
    env: Lookup<'_>,
    given: &dyn Fn(&str) -> Option<&'g Setting>,
    settings: &mut Vec<Setting>,
) -> anyhow::Result<Option<Decider>> {
    let mut tls = Tls { settings, highest: None };
    tls.authorities(args, env)?;
    tls.certificate_and_key(args, env, given)?;
    tls.verification(args, env)?;
    Ok(tls.highest)
}

/// The settings of TLS as they are collected.
struct Tls<'s> {
    settings: &'s mut Vec<Setting>,
    highest: Option<Decider>,
}

impl Tls<'_> {
    /// Adds a setting that turns TLS on.
    fn set(&mut self, given: &Given, name: &str, value: String) {
        if self.highest.as_ref().is_none_or(|highest| highest.source < given.source) {
            self.highest = Some(Decider::new(given.source, given.name));
        }
        self.settings.push(setting(given.source, given.name, name, value));
    }

    fn authorities(&mut self, args: &ConnectionArgs, env: Lookup<'_>) -> anyhow::Result<()> {
        let Some(ca) = pick(env, args.tls_ca.as_deref(), "--tls-ca", "KQ_TLS_CA")? else { return Ok(()) };
        let pem = readable(&ca)?;
        if !std::path::Path::new(&ca.value).is_dir() && !holds(&pem, b"CERTIFICATE-----") {
            return Err(no_pem(&ca, "certificate", &pem, "ssl.truststore.location"));
        }
        self.set(&ca, "ssl.ca.location", ca.value.clone());
        Ok(())
    }

    fn certificate_and_key<'g>(
        &mut self,
        args: &ConnectionArgs,
        env: Lookup<'_>,
        given: &dyn Fn(&str) -> Option<&'g Setting>,
    ) -> anyhow::Result<()> {
        let cert = pick(env, args.tls_cert.as_deref(), "--tls-cert", "KQ_TLS_CERT")?;
        let mut key = pick(env, args.tls_key.as_deref(), "--tls-key", "KQ_TLS_KEY")?;
        if let Some(cert) = &cert {
            let pem = readable(cert)?;
            if !holds(&pem, b"CERTIFICATE-----") {
                return Err(no_pem(cert, "certificate", &pem, "ssl.keystore.location"));
            }
            self.set(cert, "ssl.certificate.location", cert.value.clone());
            if key.is_none() {
                // One PEM file may contain both.
                if !holds(&pem, b"PRIVATE KEY-----") {
                    bail!("{} {} contains no private key: give it with --tls-key", cert.name, cert.value);
                }
                key = Some(cert.clone());
            }
        }
        if let Some(key) = &key {
            if cert.is_none() {
                bail!("{} needs the certificate too: give it with --tls-cert", key.name);
            }
            let pem = readable(key)?;
            if !holds(&pem, b"PRIVATE KEY-----") {
                return Err(no_pem(key, "private key", &pem, "ssl.keystore.location"));
            }
            self.set(key, "ssl.key.location", key.value.clone());
        }
        let password = args.tls_key_password.as_ref().map(Secret::reveal);
        if let Some(password) = pick(env, password, "--tls-key-password", "KQ_TLS_KEY_PASSWORD")? {
            let is_elsewhere = ["ssl.key.location", "ssl.key.pem", "ssl.keystore.location"];
            if key.is_some() {
                self.set(&password, "ssl.key.password", password.value.clone());
            } else if is_elsewhere.iter().any(|name| given(name).is_some()) {
                let (source, value) = (password.source, password.value);
                self.settings.push(setting(source, password.name, "ssl.key.password", value));
            } else {
                bail!("{} is for a key: give that with --tls-key", password.name);
            }
        }
        Ok(())
    }

    fn verification(&mut self, args: &ConnectionArgs, env: Lookup<'_>) -> anyhow::Result<()> {
        let (insecure, source, name) = if args.tls_insecure {
            (Some(true), Source::Flag, "--tls-insecure")
        } else {
            (environment::switch(env, "KQ_TLS_INSECURE")?, Source::Env, "KQ_TLS_INSECURE")
        };
        let properties = ["enable.ssl.certificate.verification", "ssl.endpoint.identification.algorithm"];
        match insecure {
            Some(true) => {
                let given = Given { value: String::new(), source, name };
                for (property, value) in properties.into_iter().zip(["false", "none"]) {
                    self.set(&given, property, value.to_owned());
                }
            }
            // It ranks above a file that turns verification off. It does not turn TLS on.
            Some(false) => {
                let on = properties.into_iter().zip(["true", "https"]);
                self.settings
                    .extend(on.map(|(property, value)| setting(source, name, property, value.into())));
            }
            None => {}
        }
        Ok(())
    }
}

/// The error for a file of a flag that has no PEM text in it; what is no text either may be a store.
fn no_pem(given: &Given, what: &str, file: &[u8], store: &str) -> anyhow::Error {
    let Given { name, value, .. } = given;
    if std::str::from_utf8(file).is_ok() {
        return anyhow!("{name} {value} contains no {what} in PEM form");
    }
    anyhow!(
        "{name} {value} contains no {what} in PEM form: a PKCS12 or JKS store is given as -X {store}={value}, \
         and openssl converts a file in DER form"
    )
}

fn holds(file: &[u8], mark: &[u8]) -> bool {
    memchr::memmem::find(file, mark).is_some()
}

/// The content of a file that a setting names: a bad path fails before kq tries to
/// connect. A folder (of CA certificates) counts as empty.
fn readable(given: &Given) -> anyhow::Result<Vec<u8>> {
    if std::path::Path::new(&given.value).is_dir() {
        return Ok(Vec::new());
    }
    std::fs::read(&given.value).with_context(|| format!("{} {}", given.name, given.value))
}

/// The SASL settings, and the source of the mechanism. SASL is on where a flag or a variable gives the
/// mechanism, and where a file or `-X` gives it and the protocol is not given.
fn sasl<'g>(
    args: &ConnectionArgs,
    env: Lookup<'_>,
    given: &dyn Fn(&str) -> Option<&'g Setting>,
    settings: &mut Vec<Setting>,
) -> anyhow::Result<Option<Decider>> {
    let mechanism = pick(env, args.sasl_mechanism.as_deref(), "--sasl-mechanism", "KQ_SASL_MECHANISM")?;
    let username = pick(env, args.sasl_username.as_deref(), "--sasl-username", "KQ_SASL_USERNAME")?;
    let password = sasl_password(args, env)?;

    let login = [("sasl.username", &username), ("sasl.password", &password)];
    settings.extend(login.into_iter().filter_map(|(name, given)| {
        let Given { value, source, name: origin } = given.as_ref()?;
        Some(setting(*source, origin, name, value.clone()))
    }));
    let (typed, other) = (mechanism, given("sasl.mechanisms"));
    let (value, source, origin) = match (&typed, other) {
        (Some(typed), _) if other.is_none_or(|other| other.source < typed.source) => {
            (typed.value.as_str(), typed.source, typed.name)
        }
        (_, Some(other)) => (other.property.value.as_str(), other.source, other.origin.as_str()),
        _ => {
            if let Some(stray) = username.or(password) {
                bail!("{} needs --sasl-mechanism too: {MECHANISMS}", stray.name);
            }
            if let Some(protocol) = given("security.protocol").filter(|p| is_sasl(&p.property.value)) {
                bail!(
                    "{} security.protocol={} needs a mechanism: give sasl.mechanism or --sasl-mechanism, one of \
                     {MECHANISMS} (Java's default is GSSAPI, and this build has no Kerberos)",
                    protocol.origin,
                    protocol.property.value
                );
            }
            return Ok(None);
        }
    };
    let protocol = given("security.protocol");
    if typed.is_none() && protocol.is_some_and(|protocol| !is_sasl(&protocol.property.value)) {
        return Ok(None);
    }
    let name = value.to_ascii_uppercase();
    let needs_login = match name.as_str() {
        "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" => true,
        "OAUTHBEARER" if given(UNSECURE).is_some_and(|unsecure| unsecure.property.value == "true") => false,
        "OAUTHBEARER" => bail!(
            "{origin} OAUTHBEARER: there is no source of tokens, since this build has no OIDC \
             (-X {UNSECURE}=true makes unsecured ones, for tests)"
        ),
        "GSSAPI" => bail!("{origin} GSSAPI: this build has no Kerberos; it has {MECHANISMS}"),
        _ => bail!("{origin} {value}: write {MECHANISMS}"),
    };
    if needs_login && username.is_none() && given("sasl.username").is_none() {
        bail!("SASL {name} needs a user: --sasl-username or KQ_SASL_USERNAME");
    }
    if needs_login && password.is_none() && given("sasl.password").is_none() {
        bail!(
            "SASL {name} needs a password: --sasl-password-file, KQ_SASL_PASSWORD_FILE or KQ_SASL_PASSWORD"
        );
    }
    let decider = Decider::new(source, origin);
    settings.push(setting(source, origin, "sasl.mechanisms", name));
    Ok((typed.is_some() || protocol.is_none()).then_some(decider))
}

fn is_sasl(protocol: &str) -> bool {
    protocol.to_ascii_lowercase().starts_with("sasl")
}

/// With it, librdkafka makes tokens itself.
const UNSECURE: &str = "enable.sasl.oauthbearer.unsecure.jwt";

const MECHANISMS: &str = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";

/// The password, given directly or as a file that contains it (one newline at its end is removed).
fn sasl_password(args: &ConnectionArgs, env: Lookup<'_>) -> anyhow::Result<Option<Given>> {
    let direct = args.sasl_password.as_ref().map(Secret::reveal);
    let direct = pick(env, direct, "--sasl-password", "KQ_SASL_PASSWORD")?;
    let file = args.sasl_password_file.as_deref();
    let file = pick(env, file, "--sasl-password-file", "KQ_SASL_PASSWORD_FILE")?;
    match (direct, file) {
        (Some(direct), Some(file)) if direct.source == file.source => {
            bail!("{} and {} are both given (give one of them)", direct.name, file.name)
        }
        (Some(direct), Some(file)) if direct.source > file.source => Ok(Some(direct)),
        (_, Some(file)) => {
            let text = std::fs::read_to_string(&file.value)
                .with_context(|| format!("{} {}", file.name, file.value))?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            if text.is_empty() {
                bail!("{} {} is empty", file.name, file.value);
            }
            Ok(Some(Given { value: text.to_owned(), ..file }))
        }
        (direct, None) => Ok(direct),
    }
}
