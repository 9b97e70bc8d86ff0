//! Why librdkafka can't make a client: its words, and what is in the files that they are about, as a sentence.

use anyhow::anyhow;
use rdkafka::ClientConfig;

/// What a property with a key or certificates is about.
struct Subject {
    /// The property with a path, and the one with PEM text.
    properties: [&'static str; 2],
    what: &'static str,
    flag: &'static str,
    /// What the first line of its PEM text says, in lower case.
    content: &'static str,
}

const AUTHORITIES: Subject = Subject {
    properties: ["ssl.ca.location", "ssl.ca.pem"],
    what: "the CA certificates",
    flag: "--tls-ca",
    content: "certificate",
};

const CERTIFICATE: Subject = Subject {
    properties: ["ssl.certificate.location", "ssl.certificate.pem"],
    what: "the client's certificate",
    flag: "--tls-cert",
    content: "certificate",
};

const KEY: Subject = Subject {
    properties: ["ssl.key.location", "ssl.key.pem"],
    what: "the private key",
    flag: "--tls-key",
    content: "private key",
};

/// Where the password of a key is given.
const PASSWORD: &str = "--tls-key-password, KQ_TLS_KEY_PASSWORD or ssl.key.password";

/// The error for a client that could not be made: `why` is librdkafka's reason, `config` what it was to
/// be made with. It shows no secret.
///
/// OpenSSL says of most files that it can't use no more than that: "PEM lib". So the files are looked at.
pub(crate) fn error(why: &str, config: &ClientConfig) -> anyhow::Error {
    let is_about = |subject: &&Subject| subject.properties.iter().any(|name| why.contains(name));
    let found = [AUTHORITIES, CERTIFICATE, KEY]
        .iter()
        .find(is_about)
        .and_then(|subject| subject.explain(why, config));
    anyhow!(found.unwrap_or_else(|| format!("the connection can't be set up: {why}")))
}

impl Subject {
    /// The thing itself: `the private key me.key (--tls-key, ssl.key.location)`.
    fn name(&self, config: &ClientConfig) -> String {
        let [location, pem] = self.properties;
        match config.get(location) {
            Some(path) => format!("{} {path} ({}, {location})", self.what, self.flag),
            None => format!("{} of {pem}", self.what),
        }
    }

    fn explain(&self, why: &str, config: &ClientConfig) -> Option<String> {
        let name = self.name(config);
        let [location, pem] = self.properties;
        let is_special = |path: &str| std::fs::metadata(path).is_ok_and(|found| !found.is_file());
        let text = match (config.get(location), config.get(pem)) {
            (None, None) => return None,
            _ if why.contains("mismatch") => {
                return Some(format!("{name} does not belong to {}", CERTIFICATE.name(config)));
            }
            (Some(path), _) if std::path::Path::new(path).is_dir() => {
                return Some(format!("{name} can't be read: {}", openssl_words(why)));
            }
            // What a pipe held is read already, and to open it again may wait for a writer.
            (Some(path), _) if is_special(path) => {
                let hint = if self.flag == KEY.flag {
                    format!("; where it is encrypted, check its password ({PASSWORD})")
                } else {
                    String::new()
                };
                return Some(format!("{name} can't be used: {}{hint}", openssl_words(why)));
            }
            (Some(path), _) => match std::fs::read(path) {
                Ok(bytes) => bytes,
                Err(e) => return Some(format!("{name} can't be read: {e}")),
            },
            (None, Some(pem)) => pem.as_bytes().to_vec(),
        };
        let holds = |mark: &str| memchr::memmem::find(&text, mark.as_bytes()).is_some();
        let is_encrypted = holds("BEGIN ENCRYPTED ") || holds("4,ENCRYPTED");
        Some(if !holds(&format!("{}-----", self.content.to_uppercase())) {
            format!(
                "{name}: there is no {} in PEM form in it (ssl.truststore.location and ssl.keystore.location \
                 take PKCS12 and JKS stores)",
                self.content
            )
        } else if is_encrypted && config.get("ssl.key.password").is_none() {
            format!("{name} is encrypted: give its password ({PASSWORD})")
        } else if is_encrypted {
            format!("{name} can't be decrypted: the password is wrong ({PASSWORD}), or the file is damaged")
        } else {
            format!("{name} is damaged, or of a kind that is not known: {}", openssl_words(why))
        })
    }
}

/// The reason at the end of `error:0A080009:SSL routines::PEM lib`.
fn openssl_words(why: &str) -> &str {
    why.rsplit_once("::").map_or(why, |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;

    use super::*;

    const CLIENT: &str = include_str!("../../../tests/fixtures/tls/client.pem");
    const ENCRYPTED: &str = include_str!("../../../tests/fixtures/tls/encrypted.key");

    fn tls(name: &str) -> String {
        format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    /// What a client with these properties says, which can't be made.
    fn refusal(properties: &[(&str, &str)]) -> String {
        let mut config = ClientConfig::new();
        config.set("security.protocol", "ssl").set("bootstrap.servers", "127.0.0.1:1");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        let why = match config.create::<BaseConsumer>() {
            Ok(_) => panic!("{properties:?} made a client"),
            Err(rdkafka::error::KafkaError::ClientCreation(why)) => why,
            Err(e) => e.to_string(),
        };
        error(&why, &config).to_string()
    }

    #[test]
    fn a_key_that_can_not_be_used_is_named_with_the_cause_and_the_flag() {
        let certificate = tls("client.pem");
        let damaged = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(damaged.path(), "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n")
            .unwrap();
        let password = ("ssl.key.password", "hunter2");
        for (key, more, part) in [
            ("/none".to_owned(), None, "can't be read: No such file"),
            (tls("client.p12"), None, "there is no private key in PEM form in it"),
            (
                tls("encrypted.key"),
                None,
                "is encrypted: give its password (--tls-key-password, KQ_TLS_KEY_PASSWORD",
            ),
            (
                tls("traditional.key"),
                None,
                "is encrypted: give its password (--tls-key-password, KQ_TLS_KEY_PASSWORD",
            ),
            (
                tls("encrypted.key"),
                Some(password),
                "can't be decrypted: the password is wrong (--tls-key-password",
            ),
            (
                tls("traditional.key"),
                Some(password),
                "can't be decrypted: the password is wrong (--tls-key-password",
            ),
            (damaged.path().to_str().unwrap().to_owned(), None, "is damaged, or of a kind that is not known"),
            (
                tls("other.key"),
                None,
                &format!("does not belong to the client's certificate {certificate} (--tls-cert, "),
            ),
        ] {
            let location =
                [("ssl.certificate.location", certificate.as_str()), ("ssl.key.location", key.as_str())];
            let e = refusal(&location.into_iter().chain(more).collect::<Vec<_>>());
            let begin = format!("the private key {key} (--tls-key, ssl.key.location)");
            assert!(e.starts_with(&begin) && e.contains(part) && !e.contains("hunter2"), "{e}");
        }
        let e = refusal(&[("ssl.certificate.pem", CLIENT), ("ssl.key.pem", ENCRYPTED), password]);
        assert!(e.starts_with("the private key of ssl.key.pem can't be decrypted: the password"), "{e}");
        assert!(!e.contains(ENCRYPTED.lines().nth(1).unwrap()) && !e.contains("hunter2"), "{e}");
    }

    #[test]
    fn a_key_from_a_pipe_is_not_read_a_second_time_to_say_why_it_can_not_be_used() {
        use std::io::Write as _;
        use std::os::fd::AsRawFd as _;

        let certificate = tls("client.pem");
        for (key, part) in [
            ("encrypted.key", "can't be used: "),
            ("client.p12", "can't be used: "),
            ("other.key", "does not belong to the client's certificate"),
        ] {
            let (reader, mut writer) = std::io::pipe().unwrap();
            writer.write_all(&std::fs::read(tls(key)).unwrap()).unwrap();
            drop(writer);
            // What a shell gives for `<(command)`.
            let path = format!("/dev/fd/{}", reader.as_raw_fd());
            let e = refusal(&[
                ("ssl.certificate.location", &certificate),
                ("ssl.key.location", &path),
                ("ssl.key.password", "hunter2"),
            ]);
            let begin = format!("the private key {path} (--tls-key, ssl.key.location) {part}");
            assert!(e.starts_with(&begin) && !e.contains("hunter2"), "{e}");
            assert_eq!(e.contains("--tls-key-password"), key != "other.key", "{e}");
        }
    }

    #[test]
    fn certificates_that_can_not_be_used_are_named_with_the_cause_and_the_flag() {
        let damaged = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(damaged.path(), "-----BEGIN CERTIFICATE-----\nMIGH\n-----END CERTIFICATE-----\n")
            .unwrap();
        for (name, what, flag) in [
            ("ssl.ca.location", "the CA certificates", "--tls-ca"),
            ("ssl.certificate.location", "the client's certificate", "--tls-cert"),
        ] {
            for (path, part) in [
                ("/none", "can't be read: No such file"),
                (&*tls("client.key"), "there is no certificate in PEM form in it"),
                (damaged.path().to_str().unwrap(), "is damaged, or of a kind that is not known"),
            ] {
                let e = refusal(&[(name, path)]);
                assert!(e.starts_with(&format!("{what} {path} ({flag}, {name})")) && e.contains(part), "{e}");
            }
        }
        let e = refusal(&[("ssl.ca.pem", "x")]);
        assert!(
            e.starts_with("the CA certificates of ssl.ca.pem: there is no certificate in PEM form"),
            "{e}"
        );
    }

    #[test]
    fn another_reason_is_shown_as_it_is() {
        let e = error("`acks` must be set to `all`", &ClientConfig::new()).to_string();
        assert_eq!(e, "the connection can't be set up: `acks` must be set to `all`");
    }
}
