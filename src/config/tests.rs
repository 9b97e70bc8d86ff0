//! Precedence and the connection's rules, with the environment injected.

use std::collections::HashMap;

use proptest::prelude::*;

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};

use super::*;
use crate::config::fake::Table;
use crate::config::secret::Secret;

fn resolve(args: &ConnectionArgs, env: &[(&str, &str)]) -> anyhow::Result<Config> {
    let env: HashMap<&str, &str> = env.iter().copied().collect();
    Config::resolve_with(args, &|name| env.get(name).map(|value| (*value).to_owned()), &Table)
}

fn property_of(config: &Config, name: &str) -> Option<String> {
    config.client(&[]).get(name).map(str::to_owned)
}

fn error(args: &ConnectionArgs, env: &[(&str, &str)]) -> String {
    format!("{:#}", resolve(args, env).unwrap_err())
}

fn brokers(brokers: &str) -> ConnectionArgs {
    ConnectionArgs { brokers: Some(brokers.to_owned()), ..Default::default() }
}

#[test]
fn with_nothing_given_the_defaults_are_in_effect() {
    let config = resolve(&ConnectionArgs::default(), &[]).unwrap();
    assert_eq!((config.brokers.as_str(), config.client_id.as_str()), ("localhost:9092", "kq"));
    assert_eq!(config.timeout, Duration::from_secs(10));
    assert_eq!((config.env_topic, config.group, config.tls), (None, None, false));
}

#[test]
fn every_empty_variable_counts_as_unset() {
    let empty = Config::resolve_with(&ConnectionArgs::default(), &|_| Some(String::new()), &Table).unwrap();
    let unset = resolve(&ConnectionArgs::default(), &[]).unwrap();
    assert_eq!(format!("{empty:?}"), format!("{unset:?}"));
}

#[test]
fn an_empty_flag_is_an_error_and_not_a_default() {
    assert!(error(&brokers(""), &[("KQ_BROKERS", "a:1")]).contains("-b/--brokers is empty"));
}

#[test]
fn brokers_of_x_are_the_brokers_that_messages_name() {
    let args = ConnectionArgs { properties: vec!["metadata.broker.list=x:1".into()], ..brokers("flag:1") };
    let config = resolve(&args, &[("KQ_BROKERS", "env:1")]).unwrap();
    assert_eq!(config.brokers, "x:1");
    assert_eq!(property_of(&config, "bootstrap.servers").as_deref(), Some("x:1"));
}

#[test]
fn a_wrong_broker_is_named() {
    assert!(error(&brokers("http://a:1"), &[]).contains("http://"));
    assert!(error(&brokers("a:99999"), &[]).contains("99999"));
    assert!(error(&brokers("a:"), &[]).contains("not a port"));
    assert!(error(&brokers(" , "), &[]).contains("no broker"));
    assert!(error(&ConnectionArgs::default(), &[("KQ_BROKERS", "a b:1")]).contains("KQ_BROKERS"));
    assert_eq!(resolve(&brokers(" a , b:2, [::1]:3 ,"), &[]).unwrap().brokers, "a,b:2,[::1]:3");
}

#[test]
fn the_timeout_reaches_what_would_outlast_it() {
    let args = ConnectionArgs { timeout: Some("3s".to_owned()), ..Default::default() };
    let config = resolve(&args, &[("KQ_TIMEOUT", "7")]).unwrap();
    assert_eq!(config.timeout, Duration::from_secs(3));
    assert_eq!(property_of(&config, "topic.metadata.propagation.max.ms").as_deref(), Some("3000"));
    assert_eq!(property_of(&config, "socket.timeout.ms").as_deref(), Some("3000"));
    let e = error(&ConnectionArgs::default(), &[("KQ_TIMEOUT", "soon")]);
    assert!(e.contains("KQ_TIMEOUT") && e.contains("soon"), "{e}");
    let args = ConnectionArgs { timeout: Some("0".to_owned()), ..Default::default() };
    assert!(error(&args, &[]).contains("--timeout 0"));
}

#[test]
fn a_request_may_take_longer_than_the_wait_of_a_fetch() {
    let args = ConnectionArgs { timeout: Some("1ms".to_owned()), ..Default::default() };
    let config = resolve(&args, &[("KQ_X", "fetch.wait.max.ms=5000")]).unwrap();
    assert_eq!(property_of(&config, "socket.timeout.ms").as_deref(), Some("6500"));
}

#[test]
fn a_command_default_yields_to_the_user_and_a_command_flag_to_x_only() {
    let config = resolve(&ConnectionArgs::default(), &[("KQ_X", "linger.ms=7")]).unwrap();
    let at = |role: &[(&str, &str)], flags: &[(&str, &str)]| {
        let client = config.client_with(role, flags);
        client.get("queue.buffering.max.ms").map(str::to_owned)
    };
    assert_eq!(at(&[("linger.ms", "1")], &[]).as_deref(), Some("7"));
    assert_eq!(at(&[], &[("linger.ms", "2")]).as_deref(), Some("2"));
    let args = ConnectionArgs { properties: vec!["linger.ms=9".into()], ..Default::default() };
    let config = resolve(&args, &[]).unwrap();
    let client = config.client_with(&[], &[("queue.buffering.max.ms", "2")]);
    assert_eq!(client.get("queue.buffering.max.ms"), Some("9"));
}

#[test]
fn debug_lines_that_are_asked_for_are_shown() {
    let args = ConnectionArgs { properties: vec!["debug=broker".into()], ..Default::default() };
    assert!(resolve(&args, &[]).unwrap().log.shows(3));
    assert!(resolve(&ConnectionArgs { quiet: true, ..args }, &[]).unwrap().log.is_quiet());
}

fn sasl() -> ConnectionArgs {
    ConnectionArgs {
        sasl_mechanism: Some("scram-sha-256".to_owned()),
        sasl_username: Some("u".to_owned()),
        sasl_password: Some("hunter2".into()),
        ..Default::default()
    }
}

fn protocol(args: &ConnectionArgs, env: &[(&str, &str)]) -> Option<String> {
    property_of(&resolve(args, env).unwrap(), "security.protocol")
}

#[test]
fn sasl_turns_tls_on_unless_every_broker_is_on_loopback() {
    assert_eq!(protocol(&sasl(), &[]).as_deref(), Some("sasl_plaintext"));
    let remote = [("KQ_BROKERS", "localhost:1,kafka:9092")];
    assert_eq!(protocol(&sasl(), &remote).as_deref(), Some("sasl_ssl"));
    let args = ConnectionArgs { no_tls: true, ..sasl() };
    assert_eq!(protocol(&args, &remote).as_deref(), Some("sasl_plaintext"));
    let args = ConnectionArgs { tls: true, ..sasl() };
    assert_eq!(protocol(&args, &[]).as_deref(), Some("sasl_ssl"));
}

#[test]
fn a_ca_alone_turns_tls_on() {
    let ca = tempfile::NamedTempFile::new().unwrap();
    let path = ca.path().to_str().unwrap();
    assert!(error(&ConnectionArgs::default(), &[("KQ_TLS_CA", path)]).contains("no certificate"));
    std::fs::write(path, "-----BEGIN CERTIFICATE-----\n").unwrap();
    let args = ConnectionArgs { tls_ca: Some(path.to_owned()), ..Default::default() };
    assert_eq!(protocol(&args, &[]).as_deref(), Some("ssl"));
    assert_eq!(protocol(&args, &[("KQ_TLS", "0")]).as_deref(), Some("ssl"), "a flag ranks above");
    let env = [("KQ_TLS_CA", path)];
    assert_eq!(protocol(&ConnectionArgs::default(), &env).as_deref(), Some("ssl"));
    let off = [("KQ_TLS_CA", path), ("KQ_TLS", "no")];
    assert_eq!(protocol(&ConnectionArgs::default(), &off).as_deref(), Some("plaintext"));
    let args = ConnectionArgs { no_tls: true, ..args };
    assert!(error(&args, &[]).contains("--no-tls"));
}

#[test]
fn a_store_that_a_flag_is_given_is_named_with_the_property_for_it() {
    let with = |ca: Option<&str>, cert: Option<&str>, key: Option<&str>| {
        let [tls_ca, tls_cert, tls_key] = [ca, cert, key].map(|name| name.map(tls));
        error(&ConnectionArgs { tls_ca, tls_cert, tls_key, ..Default::default() }, &[])
    };
    let trust = with(Some("trust.jks"), None, None);
    assert!(trust.contains(&format!("-X ssl.truststore.location={}", tls("trust.jks"))), "{trust}");
    for keys in [with(None, Some("client.p12"), None), with(None, Some("client.pem"), Some("client.p12"))] {
        assert!(keys.contains(&format!("-X ssl.keystore.location={}", tls("client.p12"))), "{keys}");
    }
    let text = with(Some("make"), None, None);
    assert!(text.ends_with("make contains no certificate in PEM form"), "{text}");
}

#[test]
fn without_a_ca_the_system_is_probed() {
    let args = ConnectionArgs { tls: true, ..Default::default() };
    assert_eq!(property_of(&resolve(&args, &[]).unwrap(), "ssl.ca.location").as_deref(), Some("probe"));
}

#[test]
fn a_file_that_is_not_there_fails_before_any_connection() {
    let args = ConnectionArgs { tls_ca: Some("/no/such/ca.pem".to_owned()), ..Default::default() };
    let e = error(&args, &[]);
    assert!(e.contains("--tls-ca /no/such/ca.pem") && e.contains("No such file"), "{e}");
}

#[test]
fn half_a_login_says_which_half_is_missing() {
    let args = ConnectionArgs { sasl_password: None, ..sasl() };
    assert!(error(&args, &[]).contains("KQ_SASL_PASSWORD"));
    let args = ConnectionArgs { sasl_username: None, ..sasl() };
    assert!(error(&args, &[]).contains("--sasl-username"));
    let args = ConnectionArgs { sasl_mechanism: None, ..sasl() };
    assert!(error(&args, &[]).contains("--sasl-mechanism"));
    let args = ConnectionArgs { sasl_mechanism: Some("LDAP".to_owned()), ..sasl() };
    assert!(error(&args, &[]).contains("SCRAM-SHA-512"));
}

#[test]
fn a_password_file_loses_its_last_newline_and_no_more() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "pass word\n\n").unwrap();
    let args = ConnectionArgs {
        sasl_password: None,
        sasl_password_file: Some(file.path().to_str().unwrap().to_owned()),
        ..sasl()
    };
    // A flag's file ranks above a password in the environment.
    let config = resolve(&args, &[("KQ_SASL_PASSWORD", "other")]).unwrap();
    assert_eq!(property_of(&config, "sasl.password").as_deref(), Some("pass word\n"));
    let args = ConnectionArgs { sasl_password: Some("x".into()), ..args };
    assert!(error(&args, &[]).contains("both given"));
}

#[test]
fn secrets_are_not_in_debug_output_nor_in_a_childs_environment() {
    let config = resolve(&sasl(), &[("KQ_X", "ssl.key.password=hunter2")]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!format!("{:?}", config.environment()).contains("hunter2"));
    let env = config.environment_with_credentials();
    assert!(env.contains(&("KQ_SASL_PASSWORD".to_owned(), "hunter2".to_owned())));
}

#[test]
fn a_child_resolves_to_the_same_connection() {
    let args = ConnectionArgs {
        timeout: Some("1500ms".to_owned()),
        client_id: Some("me".to_owned()),
        tls_insecure: true,
        properties: vec![Secret::from("bootstrap.servers=kafka:9")],
        ..sasl()
    };
    let parent = resolve(&args, &[]).unwrap();
    let env = parent.environment_with_credentials();
    let env: Vec<(&str, &str)> = env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let child = resolve(&ConnectionArgs::default(), &env).unwrap();
    let map = |config: &Config| {
        let client = config.client(&[]);
        client.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(map(&parent), map(&child));
    assert_eq!((child.brokers.as_str(), child.timeout), ("kafka:9", Duration::from_millis(1500)));
}

/// Flags that read a file with this text; the file lives as long as the second value.
fn with_file(text: &str) -> (ConnectionArgs, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    (ConnectionArgs { config_file: Some(path), ..Default::default() }, file)
}

#[test]
fn a_file_gives_what_no_variable_and_no_flag_gives() {
    let (args, file) = with_file(
        "bootstrap.servers=file:1\nsecurity.protocol=SASL_SSL\nsasl.mechanism=PLAIN\n\
        sasl.username=u\nsasl.password=hunter2\nclient.id=f\ngroup.id=g\n",
    );
    let config = resolve(&args, &[("KQ_CLIENT_ID", "env")]).unwrap();
    assert_eq!((config.brokers.as_str(), config.client_id.as_str(), config.tls), ("file:1", "env", true));
    assert_eq!(config.group, None, "a group is named by -g");
    assert_eq!(property_of(&config, "sasl.password").as_deref(), Some("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    let env = [("KQ_CONFIG_FILE", file.path().to_str().unwrap())];
    assert_eq!(resolve(&ConnectionArgs::default(), &env).unwrap().brokers, "file:1");
    let missing = ConnectionArgs { config_file: Some("/no/such/file".into()), ..Default::default() };
    assert!(error(&missing, &[]).contains("-F/--config-file /no/such/file"));
    let store = ConnectionArgs { config_file: Some(tls("trust.p12")), ..Default::default() };
    assert!(error(&store, &[]).contains("trust.p12 is not text in UTF-8"));
}

#[test]
fn flags_complete_the_login_of_a_file_and_never_remove_its_encryption() {
    let (args, _file) = with_file("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.username=u\n");
    let with = |change: &dyn Fn(&mut ConnectionArgs)| {
        let mut args = ConnectionArgs { config_file: args.config_file.clone(), ..Default::default() };
        change(&mut args);
        resolve(&args, &[]).unwrap()
    };
    let config = with(&|args| args.sasl_password = Some("p".into()));
    assert_eq!(property_of(&config, "sasl.password").as_deref(), Some("p"));
    // The broker is on loopback, where a login alone needs no TLS; the file wants it.
    let config = with(&|args| {
        args.sasl_mechanism = Some("SCRAM-SHA-256".into());
        args.sasl_password = Some("p".into());
    });
    assert_eq!(property_of(&config, "security.protocol").as_deref(), Some("sasl_ssl"));
    assert_eq!(property_of(&config, "sasl.username").as_deref(), Some("u"));
    let config = with(&|args| {
        args.no_tls = true;
        args.sasl_password = Some("p".into());
    });
    assert_eq!(property_of(&config, "security.protocol").as_deref(), Some("sasl_plaintext"));
}

#[test]
fn a_login_that_a_file_or_x_gives_is_used_as_one_of_flags_is() {
    let login = "sasl.mechanisms=PLAIN,sasl.username=u,sasl.password=p";
    let (file, _file) = with_file(&login.replace(',', "\n"));
    let x = ConnectionArgs { properties: login.split(',').map(Secret::from).collect(), ..Default::default() };
    let remote = ("KQ_BROKERS", "kafka:9092");
    assert_eq!(protocol(&file, &[remote]).as_deref(), Some("sasl_ssl"));
    assert_eq!(protocol(&x, &[remote]).as_deref(), Some("sasl_ssl"));
    assert_eq!(protocol(&ConnectionArgs::default(), &[remote, ("KQ_X", login)]).as_deref(), Some("sasl_ssl"));
    assert_eq!(protocol(&x, &[]).as_deref(), Some("sasl_plaintext"), "on loopback");
    let args = ConnectionArgs { no_tls: true, ..file };
    assert_eq!(protocol(&args, &[remote]).as_deref(), Some("sasl_plaintext"));
    let (file, _file) = with_file(&format!("security.protocol=ssl\n{}", login.replace(',', "\n")));
    assert_eq!(protocol(&file, &[remote]).as_deref(), Some("ssl"), "who names the protocol decides");
    let (file, _file) = with_file("sasl.mechanisms=PLAIN\n");
    assert!(error(&file, &[]).contains("SASL PLAIN needs a user"));
    let (file, _file) = with_file("sasl.mechanisms=GSSAPI\n");
    assert!(error(&file, &[]).contains("GSSAPI: this build has no Kerberos"));
}

#[test]
fn a_mechanism_without_a_source_of_tokens_is_an_error_at_once() {
    let args = ConnectionArgs { sasl_mechanism: Some("oauthbearer".into()), ..Default::default() };
    let e = error(&args, &[]);
    assert!(
        e.contains("--sasl-mechanism OAUTHBEARER: there is no source of tokens") && e.contains("no OIDC"),
        "{e}"
    );
    assert!(
        error(&ConnectionArgs::default(), &[("KQ_X", "sasl.mechanisms=OAUTHBEARER")])
            .contains("KQ_X OAUTHBEARER")
    );
    let unsecure = [("KQ_X", "enable.sasl.oauthbearer.unsecure.jwt=true")];
    assert_eq!(protocol(&args, &unsecure).as_deref(), Some("sasl_plaintext"));
    let oidc = [("KQ_X", "sasl.oauthbearer.method=oidc")];
    let e = error(&args, &oidc);
    assert!(e.contains("KQ_X sasl.oauthbearer.method=oidc") && e.contains("at build time"), "{e}");
}

#[test]
fn the_source_of_the_highest_rank_gives_the_whole_trust_and_the_whole_identity() {
    let pem = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(pem.path(), "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n").unwrap();
    let path = pem.path().to_str().unwrap();
    let (file, _file) = with_file("ssl.ca.pem=x\nssl.key.password=p\nssl.certificate.pem=y\nssl.key.pem=z\n");
    let flags = ConnectionArgs {
        config_file: file.config_file.clone(),
        tls_ca: Some(path.into()),
        tls_cert: Some(path.into()),
        ..Default::default()
    };
    let of = |args: &ConnectionArgs, env: &[(&str, &str)], name: &str| {
        property_of(&resolve(args, env).unwrap(), name)
    };
    for (name, alone, outranked) in [
        ("ssl.ca.pem", Some("x"), None),
        ("ssl.ca.location", None, Some(path)),
        ("ssl.certificate.pem", Some("y"), None),
        ("ssl.key.pem", Some("z"), None),
        ("ssl.certificate.location", None, Some(path)),
        ("ssl.key.location", None, Some(path)),
    ] {
        assert_eq!(of(&file, &[], name).as_deref(), alone, "{name}");
        assert_eq!(of(&flags, &[], name).as_deref(), outranked, "{name}");
    }
    // A password completes what ranks below it.
    let password = [("KQ_X", "ssl.key.password=q")];
    assert_eq!(of(&file, &password, "ssl.key.pem").as_deref(), Some("z"));
    assert_eq!(of(&file, &password, "ssl.key.password").as_deref(), Some("q"));
    let variable = [("KQ_TLS_KEY_PASSWORD", "v")];
    assert_eq!(of(&file, &variable, "ssl.key.password").as_deref(), Some("v"));
    assert_eq!(of(&file, &variable, "security.protocol"), None, "it does not turn TLS on");
    let flags = ConnectionArgs { tls_key: Some(path.into()), ..flags };
    assert_eq!(of(&flags, &variable, "ssl.key.password").as_deref(), Some("v"));
    assert!(error(&ConnectionArgs::default(), &variable).contains("KQ_TLS_KEY_PASSWORD is for a key"));
}

const CA: &str = include_str!("../../tests/fixtures/tls/ca.pem");
const CLIENT: &str = include_str!("../../tests/fixtures/tls/client.pem");
const CLIENT_KEY: &str = include_str!("../../tests/fixtures/tls/client.key");

/// The path of a fixture.
fn tls(name: &str) -> String {
    format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn stores_of_java_become_pem_text_whatever_their_type_says() {
    for kind in ["p12", "jks", "legacy.p12"] {
        let (trust, keys) = match kind {
            "legacy.p12" => (tls("trust-legacy.p12"), tls("client-legacy.p12")),
            kind => (tls(&format!("trust.{kind}")), tls(&format!("client.{kind}"))),
        };
        let (args, file) = with_file(&format!(
            "security.protocol=SSL\nssl.truststore.location={trust}\nssl.truststore.password=changeit\n\
             ssl.truststore.type=JKS\nssl.keystore.location={keys}\nssl.keystore.password=changeit\n\
             ssl.key.password=keypassword\n"
        ));
        let config = resolve(&args, &[]).unwrap();
        assert!(property_of(&config, "ssl.ca.pem").unwrap().contains(CA), "{kind}");
        assert_eq!(property_of(&config, "ssl.certificate.pem").as_deref(), Some(CLIENT), "{kind}");
        assert_eq!(property_of(&config, "ssl.key.pem").as_deref(), Some(CLIENT_KEY), "{kind}");
        for name in
            ["ssl.ca.location", "ssl.truststore.location", "ssl.keystore.password", "ssl.key.password"]
        {
            assert_eq!(property_of(&config, name), None, "{kind}");
        }
        let shown = config.show();
        let ca = shown.iter().find(|shown| shown.name == "ssl.ca.pem").unwrap();
        assert_eq!(ca.origin, format!("{} ssl.truststore.location={trust}", file.path().display()));
        assert_eq!(ca.value, "(2 in PEM form)");
        assert!(!format!("{shown:?}").contains(CLIENT_KEY.lines().nth(1).unwrap()));
        // Flags outrank a store, which is then not opened.
        let flags = ConnectionArgs { tls_ca: Some(tls("ca.pem")), ..args };
        let config = resolve(&flags, &[]).unwrap();
        assert_eq!(property_of(&config, "ssl.ca.pem"), None);
        assert_eq!(property_of(&config, "ssl.ca.location"), Some(tls("ca.pem")));
    }
}

#[test]
fn a_child_gets_what_is_in_the_stores_and_the_key_only_with_the_passwords() {
    let (args, _file) = with_file(&format!(
        "security.protocol=SSL\nssl.truststore.location={}\nssl.truststore.password=changeit\n\
         ssl.keystore.location={}\nssl.keystore.password=changeit\n",
        tls("trust.jks"),
        tls("client.p12")
    ));
    let parent = resolve(&args, &[]).unwrap();
    let child = |variables: Vec<(String, String)>| {
        let env: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let config = resolve(&ConnectionArgs::default(), &env).unwrap();
        ["ssl.ca.pem", "ssl.certificate.pem", "ssl.key.pem"].map(|name| property_of(&config, name))
    };
    let ca = property_of(&parent, "ssl.ca.pem");
    let (certificate, key) = (Some(CLIENT.to_owned()), Some(CLIENT_KEY.to_owned()));
    assert_eq!(child(parent.environment_with_credentials()), [ca.clone(), certificate, key]);
    assert_eq!(child(parent.environment()), [ca, None, None]);
}

#[test]
fn a_child_gets_certificate_and_key_even_where_the_ca_certificates_are_too_long_for_a_variable() {
    let with = |authorities: usize| {
        let (args, _file) = with_file(&format!(
            "security.protocol=SSL\nssl.ca.pem={}\nssl.certificate.pem={CLIENT}\nssl.key.pem={CLIENT_KEY}\n",
            CA.repeat(authorities)
        ));
        resolve(&args, &[]).unwrap()
    };
    let names = |variables: &[(String, String)]| {
        let x = variables.iter().find(|(name, _)| name == "KQ_X").map(|(_, value)| value.as_str());
        ["ssl.ca.pem=", "ssl.certificate.pem=", "ssl.key.pem="].map(|name| x.unwrap_or("").contains(name))
    };
    let fitting = LONGEST_VARIABLE / (CA.len() + 1);
    for (authorities, with_key, without, lacking) in [
        (1, [true, true, true], [true, false, false], [false, false]),
        (fitting, [false, true, true], [true, false, false], [true, false]),
        (2 * fitting, [false, true, true], [false, false, false], [true, true]),
    ] {
        let config = with(authorities);
        let both = [config.environment_with_credentials(), config.environment()];
        assert_eq!(both.each_ref().map(|variables| names(variables)), [with_key, without], "{authorities}");
        assert_eq!(both.map(|variables| config.lacks_authorities(&variables)), lacking, "{authorities}");
    }
}

#[test]
fn a_store_may_be_a_pem_file_and_may_be_given_by_x() {
    let x = |text: String| ConnectionArgs { properties: vec![text.into()], ..Default::default() };
    let config = resolve(&x(format!("ssl.truststore.location={}", tls("ca.pem"))), &[]).unwrap();
    assert_eq!(property_of(&config, "ssl.ca.location"), Some(tls("ca.pem")));
    let config = resolve(&x(format!("ssl.keystore.location={}", tls("client.pem"))), &[]).unwrap();
    assert_eq!(property_of(&config, "ssl.key.location"), Some(tls("client.pem")));
    let config = resolve(&x(format!("ssl.truststore.location={}", tls("trust-open.p12"))), &[]).unwrap();
    assert!(property_of(&config, "ssl.ca.pem").unwrap().contains(CA));
}

#[test]
fn a_key_store_in_a_form_that_kq_does_not_know_is_left_to_openssl() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"0\x80\x02\x01\x03").unwrap();
    let path = file.path().to_str().unwrap();
    let x = format!("ssl.keystore.location={path},ssl.keystore.password=p");
    let config = resolve(&ConnectionArgs::default(), &[("KQ_X", &x)]).unwrap();
    assert_eq!(property_of(&config, "ssl.keystore.location").as_deref(), Some(path));
    assert_eq!(property_of(&config, "ssl.keystore.password").as_deref(), Some("p"));
    let trust = format!("ssl.truststore.location={path}");
    let e = error(&ConnectionArgs::default(), &[("KQ_X", &trust)]);
    assert!(e.contains("it is damaged, or in a form that kq can't read") && e.contains("keytool"), "{e}");
}

#[test]
fn a_key_store_in_which_no_id_joins_key_and_certificate_is_left_to_openssl() {
    let passwords = keystore::Passwords { store: Some("changeit"), key: None };
    let bytes = std::fs::read(tls("client.p12")).unwrap();
    let key = keystore::read(&bytes, passwords, keystore::Wanted::Keys).unwrap().keys.remove(0);
    let with = |certificates: &[Vec<u8>]| {
        let mut store = KeyStore::new();
        let alone = PrivateKeyChain::new("id", PrivateKey::from_der(&key.der).unwrap(), []);
        store.add_entry("client", KeyStoreEntry::PrivateKeyChain(alone));
        for (number, der) in certificates.iter().enumerate() {
            let certificate = Certificate::from_der(der).unwrap();
            store.add_entry(&number.to_string(), KeyStoreEntry::Certificate(certificate));
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), store.writer("changeit").write().unwrap()).unwrap();
        file
    };
    let of = |file: &tempfile::NamedTempFile| {
        let path = file.path().display();
        let x = format!("ssl.keystore.location={path},ssl.keystore.password=changeit");
        resolve(&ConnectionArgs::default(), &[("KQ_X", &x)])
    };
    let file = with(&key.chain);
    let config = of(&file).unwrap();
    assert_eq!(property_of(&config, "ssl.keystore.location").as_deref(), file.path().to_str());
    assert_eq!(property_of(&config, "ssl.keystore.password").as_deref(), Some("changeit"));
    // That OpenSSL finds the certificate in it.
    let store = openssl::pkcs12::Pkcs12::from_der(&std::fs::read(file.path()).unwrap()).unwrap();
    let found = store.parse2("changeit").unwrap().cert.unwrap();
    assert_eq!(found.to_der().unwrap(), key.chain[0]);
    let e = of(&with(&[])).unwrap_err();
    assert!(format!("{e:#}").ends_with("it contains no certificate of its private key"), "{e:#}");
}

#[test]
fn a_store_that_can_not_be_used_is_named_with_its_property_and_no_password() {
    for (name, store, more, part) in [
        ("truststore", "none.p12", "", "No such file"),
        ("truststore", "trust.p12", "", "it has a password: give it as ssl.truststore.password"),
        (
            "truststore",
            "trust.p12",
            "ssl.truststore.password=hunter2",
            "the password is wrong (ssl.truststore.password)",
        ),
        ("truststore", "trust-legacy.p12", "ssl.truststore.password=hunter2", "the password is wrong"),
        ("truststore", "trust.jks", "ssl.truststore.password=hunter2", "the password is wrong"),
        ("truststore", "make", "", "neither a PKCS12 nor a JKS store"),
        ("truststore", "client.jks", "ssl.truststore.password=hunter2", "the password is wrong"),
        ("keystore", "trust.p12", "ssl.keystore.password=changeit", "it contains no private key"),
        ("keystore", "client.p12", "", "it has a password: give it as ssl.keystore.password"),
        (
            "keystore",
            "client.p12",
            "ssl.keystore.password=hunter2",
            "the password is wrong (ssl.keystore.password)",
        ),
        ("keystore", "two-keys.p12", "ssl.keystore.password=changeit", "it contains 2 keys (client, second)"),
        ("keystore", "client.jks", "ssl.keystore.password=changeit", "give it as ssl.key.password"),
        (
            "keystore",
            "client.jks",
            "ssl.keystore.password=changeit\nssl.key.password=hunter2",
            "the password of the key in it is wrong (ssl.key.password)",
        ),
    ] {
        let store = tls(store);
        let (args, file) = with_file(&format!("ssl.{name}.location={store}\n{more}\n"));
        let e = error(&args, &[]);
        let begin = format!("{} ssl.{name}.location={store}: ", file.path().display());
        assert!(e.starts_with(&begin) && e.contains(part) && !e.contains("hunter2"), "{e}");
    }
}

#[test]
fn sasl_without_a_mechanism_says_what_is_missing() {
    let (args, file) = with_file("security.protocol=SASL_SSL\nsasl.jaas.config=\n");
    let e = error(&args, &[]);
    assert!(
        e.starts_with(&format!("{} security.protocol=SASL_SSL needs a mechanism", file.path().display())),
        "{e}"
    );
    assert!(e.contains("sasl.mechanism") && e.contains("SCRAM-SHA-512") && e.contains("GSSAPI"), "{e}");
    assert!(
        error(&ConnectionArgs::default(), &[("KQ_X", "security.protocol=sasl_plaintext")]).contains("KQ_X")
    );
}

#[test]
fn the_cas_of_the_environment_count_where_none_are_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("1a2b3c4d.0"), CA).unwrap();
    std::fs::write(other.path().join("README"), CLIENT).unwrap();
    let ca = tls("ca.pem");
    let dir = other.path().to_str().unwrap();
    let both = format!("{path}:{dir}");
    let missing = format!("/none:{dir}:{path}/none");
    let on = ("KQ_TLS", "1");
    let of = |env: &[(&str, &str)]| {
        let config = resolve(&ConnectionArgs::default(), env).unwrap();
        ["ssl.ca.location", "ssl.ca.pem"].map(|name| property_of(&config, name))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(of(&[on, ("SSL_CERT_FILE", &ca)]), [some(&ca), None]);
    assert_eq!(of(&[on, ("SSL_CERT_DIR", dir)]), [some(dir), None]);
    assert_eq!(of(&[on, ("SSL_CERT_DIR", dir), ("SSL_CERT_FILE", &ca)]), [some(dir), some(CA)]);
    assert_eq!(of(&[on, ("SSL_CERT_DIR", path), ("SSL_CERT_FILE", &ca)]), [some(&ca), None]);
    assert_eq!(of(&[on, ("SSL_CERT_DIR", &both)]), [None, some(CA)]);
    assert_eq!(of(&[on, ("SSL_CERT_DIR", &missing)]), [some(dir), None]);
    assert_eq!(of(&[on, ("SSL_CERT_DIR", "/none"), ("SSL_CERT_FILE", &ca)]), [some(&ca), None]);
    assert_eq!(of(&[on, ("SSL_CERT_FILE", ""), ("SSL_CERT_DIR", "")]), [some("probe"), None]);
    let given = ("KQ_X", "ssl.ca.location=/given");
    assert_eq!(
        of(&[on, given, ("SSL_CERT_FILE", "/none"), ("SSL_CERT_DIR", "/none")]),
        [some("/given"), None]
    );
    // They do not turn TLS on, and are not looked at without it.
    assert_eq!(of(&[("SSL_CERT_FILE", "/none")]), [some("probe"), None]);
    assert_eq!(protocol(&ConnectionArgs::default(), &[("SSL_CERT_FILE", &ca)]), None);

    let config = resolve(&ConnectionArgs::default(), &[on, ("SSL_CERT_FILE", &ca)]).unwrap();
    let shown = config.show().into_iter().find(|shown| shown.name == "ssl.ca.location").unwrap();
    assert_eq!((shown.value, shown.origin.as_str()), (ca, "SSL_CERT_FILE"));
    assert!(
        !config.environment().iter().any(|(name, _)| name == "KQ_TLS_CA"),
        "a child has the variable itself"
    );
    for (variable, value, part) in [
        ("SSL_CERT_FILE", "/none", "SSL_CERT_FILE /none: No such file"),
        ("SSL_CERT_FILE", "/dev/null", "SSL_CERT_FILE /dev/null contains no certificate"),
        ("SSL_CERT_DIR", "/none", "SSL_CERT_DIR /none: No such file"),
        ("SSL_CERT_DIR", "/none:/none/2", "SSL_CERT_DIR /none:/none/2: No such file"),
        ("SSL_CERT_DIR", "/dev/null", "SSL_CERT_DIR /dev/null: Not a directory"),
        ("SSL_CERT_DIR", path, "no file in it is named by a hash (`openssl rehash` does it)"),
        ("SSL_CERT_DIR", "/dev:/proc/self", "SSL_CERT_DIR /dev:/proc/self: no file in it is named by a hash"),
    ] {
        let e = error(&ConnectionArgs::default(), &[on, (variable, value)]);
        assert!(e.contains(part), "{e}");
    }
}

#[test]
fn a_variable_turns_verification_on_again_that_a_file_turned_off() {
    let (args, _file) = with_file(
        "security.protocol=ssl\nenable.ssl.certificate.verification=false\nssl.endpoint.identification.algorithm=\n",
    );
    let config = resolve(&args, &[("KQ_TLS_INSECURE", "0")]).unwrap();
    assert_eq!(property_of(&config, "enable.ssl.certificate.verification").as_deref(), Some("true"));
    assert_eq!(property_of(&config, "ssl.endpoint.identification.algorithm").as_deref(), Some("https"));
    assert_eq!(
        protocol(&ConnectionArgs::default(), &[("KQ_TLS_INSECURE", "0")]),
        None,
        "it does not turn TLS on"
    );
}

#[test]
fn brokers_are_checked_wherever_they_come_from() {
    let (file, _file) = with_file("bootstrap.servers=a:99999\n");
    assert!(error(&file, &[]).contains("99999"));
    let with = |args: &str| ConnectionArgs { properties: vec![args.into()], ..Default::default() };
    assert!(error(&with("bootstrap.servers=a:1;b:1"), &[]).contains("-X `a:1;b:1`: commas separate brokers"));
    assert!(
        error(&ConnectionArgs::default(), &[("KQ_X", "metadata.broker.list=a:x")]).contains("KQ_X `a:x`")
    );
    assert_eq!(
        resolve(&brokers("good:1"), &[("KQ_X", "metadata.broker.list=a:x")]).unwrap().brokers,
        "good:1"
    );
    assert_eq!(resolve(&with("bootstrap.servers= a , b:2 "), &[]).unwrap().brokers, "a,b:2");
}

#[test]
fn a_broker_with_a_protocol_must_agree_with_the_flags() {
    let tls = ConnectionArgs { tls: true, ..brokers("SSL://a:1,ssl://b:2") };
    assert_eq!(resolve(&tls, &[]).unwrap().brokers, "SSL://a:1,ssl://b:2");
    let e = error(&brokers("ssl://a:1"), &[]);
    assert!(
        e.contains("-b/--brokers `ssl://a:1`: the connection is plaintext") && e.contains("--tls"),
        "{e}"
    );
    let e = error(&ConnectionArgs { tls: true, ..brokers("plaintext://a:1") }, &[]);
    assert!(e.contains("the connection is ssl") && e.contains("leave `plaintext://` out"), "{e}");
    let e = error(&brokers("sasl_ssl://a:1"), &[]);
    assert!(e.contains("--tls") && e.contains("--sasl-mechanism"), "{e}");
}

#[test]
fn what_decides_the_protocol_is_shown_with_it() {
    let shown = |args: &ConnectionArgs, env: &[(&str, &str)]| {
        let shown = resolve(args, env).unwrap().show();
        let line = shown.into_iter().find(|shown| shown.name == "security.protocol").unwrap();
        (line.value, line.origin)
    };
    let line = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(shown(&ConnectionArgs::default(), &[]), line("plaintext", "default"));
    assert_eq!(shown(&ConnectionArgs { tls: true, ..Default::default() }, &[]), line("ssl", "--tls"));
    assert_eq!(shown(&ConnectionArgs::default(), &[("KQ_TLS", "1")]), line("ssl", "KQ_TLS"));
    assert_eq!(shown(&sasl(), &[]), line("sasl_plaintext", "--sasl-mechanism"));
    assert_eq!(shown(&sasl(), &[("KQ_TLS", "1")]), line("sasl_ssl", "--sasl-mechanism, KQ_TLS"));
    let (file, handle) =
        with_file("security.protocol=sasl_ssl\nsasl.mechanisms=PLAIN\nsasl.username=u\nsasl.password=p\n");
    let path = handle.path().to_str().unwrap();
    assert_eq!(shown(&file, &[]), line("sasl_ssl", path));
    let args = ConnectionArgs { no_tls: true, ..file };
    assert_eq!(shown(&args, &[]), line("sasl_plaintext", &format!("--no-tls, {path}")));
}

#[test]
fn every_effective_value_is_shown_with_where_it_came_from() {
    let (args, file) = with_file("linger.ms=7\nsasl.password=hunter2\n");
    let args = ConnectionArgs { properties: vec!["acks=1".into()], timeout: Some("3s".into()), ..args };
    let env = [("KQ_BROKERS", "env:1"), ("KQ_X", "ssl.key.password=hunter3"), ("KQ_TOPIC", "t")];
    let shown = resolve(&args, &env).unwrap().show();
    let line = |name: &str| {
        let found =
            shown.iter().find(|shown| shown.name == name).unwrap_or_else(|| panic!("{name} in {shown:?}"));
        (found.value.clone(), found.origin.clone())
    };
    let path = file.path().to_str().unwrap();
    for (name, value, origin) in [
        ("timeout", "3s", "--timeout"),
        ("topic", "t", "KQ_TOPIC"),
        ("bootstrap.servers", "env:1", "KQ_BROKERS"),
        ("linger.ms", "7", path),
        ("acks", "1", "-X"),
        ("client.id", "kq", "default"),
        ("sasl.password", "***", path),
        ("ssl.key.password", "***", "KQ_X"),
    ] {
        assert_eq!(line(name), (value.to_owned(), origin.to_owned()), "{name}");
    }
    assert!(!format!("{shown:?}").contains("hunter"));
}

proptest! {
    /// default < file < KQ_CLIENT_ID < KQ_X < flag < -X, whichever of them are given.
    #[test]
    fn the_highest_rank_that_was_given_wins(
        file in proptest::option::of("[a-z]{1,5}"),
        env in proptest::option::of("[a-z]{1,5}"),
        env_x in proptest::option::of("[a-z]{1,5}"),
        flag in proptest::option::of("[a-z]{1,5}"),
        x in proptest::option::of("[a-z]{1,5}"),
    ) {
        let text = file.as_ref().map_or_else(String::new, |file| format!("client.id={file}\n"));
        let (args, _file) = with_file(&text);
        let args = ConnectionArgs {
            client_id: flag.clone(),
            properties: x.iter().map(|x| format!("client.id={x}").into()).collect(),
            ..args
        };
        let env_x_text = env_x.as_ref().map(|x| format!("client.id={x}"));
        let mut vars = Vec::new();
        vars.extend(env.as_deref().map(|v| ("KQ_CLIENT_ID", v)));
        vars.extend(env_x_text.as_deref().map(|v| ("KQ_X", v)));
        let config = resolve(&args, &vars).unwrap();
        let expected = x.or(flag).or(env_x).or(env).or(file).unwrap_or_else(|| "kq".to_owned());
        prop_assert_eq!(property_of(&config, "client.id"), Some(expected.clone()));
        prop_assert_eq!(config.client_id, expected);
    }
}
