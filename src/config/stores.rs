//! Opens the trust store and the key store that settings name, and puts their contents in their place.

use std::fmt::Display;

use anyhow::{Context as _, anyhow, bail};

use super::environment::Source;
use super::keystore::{self, Passwords, Refusal, Wanted};
use super::{Setting, highest, pem, property};

const TRUST: &str = "ssl.truststore.location";
const TRUST_PASSWORD: &str = "ssl.truststore.password";
const KEYS: &str = "ssl.keystore.location";
const KEYS_PASSWORD: &str = "ssl.keystore.password";
const KEY_PASSWORD: &str = "ssl.key.password";

/// Replaces the stores among the settings by what librdkafka takes: `ssl.ca.pem`, `ssl.certificate.pem`
/// and `ssl.key.pem`, of the same rank. `settings` are in ascending rank, before and after.
///
/// librdkafka has no trust stores; its own reader of key stores knows PKCS12 only, and without the ciphers
/// of older ones, since OpenSSL is linked in without its legacy provider.
pub(super) fn open(settings: &mut Vec<Setting>) -> anyhow::Result<()> {
    let trust = Location::of(settings, TRUST);
    let keys = Location::of(settings, KEYS);
    let value = |name: &str| highest(settings, name).map(|setting| setting.property.value.clone());
    let of_trust = value(TRUST_PASSWORD);
    let of_keys = (value(KEYS_PASSWORD), value(KEY_PASSWORD));
    settings.retain(|setting| {
        let name = setting.property.name.as_str();
        let is_of_key = name == KEY_PASSWORD && keys.is_some();
        !([TRUST, TRUST_PASSWORD, KEYS, KEYS_PASSWORD].contains(&name) || is_of_key)
    });
    if let Some(location) = trust {
        let passwords = Passwords { store: of_trust.as_deref(), key: None };
        settings.extend(location.trusted(passwords)?);
    }
    if let Some(location) = keys {
        let passwords = Passwords { store: of_keys.0.as_deref(), key: of_keys.1.as_deref() };
        settings.extend(location.key(passwords)?);
    }
    settings.sort_by_key(|setting| setting.source);
    Ok(())
}

/// Where a store is, and which setting says so.
struct Location {
    source: Source,
    origin: String,
    name: &'static str,
    path: String,
}

impl Location {
    fn of(settings: &[Setting], name: &'static str) -> Option<Self> {
        let setting = highest(settings, name)?;
        Some(Self {
            source: setting.source,
            origin: setting.origin.clone(),
            name,
            path: setting.property.value.clone(),
        })
    }

    fn trusted(&self, passwords: Passwords<'_>) -> anyhow::Result<Vec<Setting>> {
        let store = match keystore::read(&self.bytes()?, passwords, Wanted::Trusted) {
            Ok(store) => store,
            Err(Refusal::Pem) => return Ok(vec![self.setting("ssl.ca.location", self.path.clone())]),
            Err(refusal) => bail!(self.refused(&refusal, TRUST_PASSWORD, passwords)),
        };
        if store.trusted.is_empty() {
            bail!(self.error("it contains no certificate to trust (`keytool -importcert` adds one)"));
        }
        Ok(vec![self.setting("ssl.ca.pem", certificates(&store.trusted))])
    }

    fn key(&self, passwords: Passwords<'_>) -> anyhow::Result<Vec<Setting>> {
        let bytes = self.bytes()?;
        let same = |names: &[&str]| names.iter().map(|name| self.setting(name, self.path.clone())).collect();
        let is_pkcs12 = bytes.starts_with(&[0x30]);
        let to_openssl = || {
            let mut settings: Vec<Setting> = same(&[KEYS]);
            settings.extend(passwords.store.map(|password| self.setting(KEYS_PASSWORD, password.to_owned())));
            settings
        };
        let store = match keystore::read(&bytes, passwords, Wanted::Keys) {
            Ok(store) => store,
            Err(Refusal::Pem) => {
                let mut settings: Vec<Setting> = same(&["ssl.certificate.location", "ssl.key.location"]);
                settings
                    .extend(passwords.key.map(|password| self.setting(KEY_PASSWORD, password.to_owned())));
                return Ok(settings);
            }
            // OpenSSL reads forms of PKCS12 that kq does not, such as those without lengths (BER).
            Err(Refusal::Damaged(_) | Refusal::Unsupported(_)) if is_pkcs12 => return Ok(to_openssl()),
            Err(refusal) => bail!(self.refused(&refusal, KEYS_PASSWORD, passwords)),
        };
        let key = match &store.keys[..] {
            // No certificate has the key's id. OpenSSL finds the key's own by its public key (PKCS12_parse).
            [key] if key.chain.is_empty() && is_pkcs12 && !store.trusted.is_empty() => {
                return Ok(to_openssl());
            }
            [key] => key,
            [] => bail!(self.error("it contains no private key")),
            keys => {
                let aliases: Vec<_> = keys.iter().map(|key| key.alias.as_str()).collect();
                bail!(self.error(format_args!(
                    "it contains {} keys ({}), and nothing says which to use; this makes a store with one: \
                     keytool -importkeystore -srckeystore {} -destkeystore one.p12 -srcalias NAME",
                    keys.len(),
                    aliases.join(", "),
                    self.path
                )))
            }
        };
        if key.chain.is_empty() {
            bail!(self.error("it contains no certificate of its private key"));
        }
        Ok(vec![
            self.setting("ssl.certificate.pem", certificates(&key.chain)),
            self.setting("ssl.key.pem", pem::from_der("PRIVATE KEY", &key.der)),
        ])
    }

    fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        std::fs::read(&self.path).with_context(|| self.what())
    }

    /// The error for a store that can't be read, which takes its password from the property `password`.
    fn refused(&self, refusal: &Refusal, password: &str, passwords: Passwords<'_>) -> anyhow::Error {
        let convert = format!(
            "this converts it: keytool -importkeystore -srckeystore {} -destkeystore new.p12 -deststoretype PKCS12",
            self.path
        );
        self.error(match refusal {
            Refusal::Pem | Refusal::NotAStore => {
                "it is neither a PKCS12 nor a JKS store, nor a PEM file".to_owned()
            }
            Refusal::Unsupported(what) => format!("it is {what}, which kq can't read; {convert}"),
            Refusal::NoPassword => format!("it has a password: give it as {password}"),
            Refusal::WrongPassword => format!("the password is wrong ({password}), or the file is damaged"),
            Refusal::KeyPassword if passwords.key.is_some() => {
                format!("the password of the key in it is wrong ({KEY_PASSWORD})")
            }
            Refusal::KeyPassword => {
                format!("the key in it has a password of its own: give it as {KEY_PASSWORD}")
            }
            Refusal::Damaged(why) => {
                format!("it is damaged, or in a form that kq can't read ({why}); {convert}")
            }
        })
    }

    fn setting(&self, name: &str, value: String) -> Setting {
        Setting::new(self.source, self.what(), property(name, value))
    }

    /// The setting that names the store, for errors and as the origin of what is in it.
    fn what(&self) -> String {
        format!("{} {}={}", self.origin, self.name, self.path)
    }

    fn error(&self, why: impl Display) -> anyhow::Error {
        anyhow!("{}: {why}", self.what())
    }
}

/// Certificates in DER as PEM text.
fn certificates(all: &[Vec<u8>]) -> String {
    all.iter().map(|der| pem::from_der("CERTIFICATE", der)).collect()
}
