//! Events as librdkafka words them, and the sentences that come of them.

use super::*;

const TIMEOUT: Duration = Duration::from_secs(3);
const DOWN: Code = Code::BrokerTransportFailure;

fn explain(events: &[(Code, &str)]) -> String {
    let causes = Causes::default();
    for (code, reason) in events {
        causes.error(*code, reason);
    }
    causes.explain(DOWN, "kafka:9092", TIMEOUT).to_string()
}

#[test]
fn a_refused_connection_names_the_broker_and_what_to_do() {
    let e = explain(&[
        (
            Code::BrokerTransportFailure,
            "localhost:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)",
        ),
        (Code::AllBrokersDown, "1/1 brokers are down"),
    ]);
    assert!(e.starts_with("can't reach localhost:9092: connection refused ("), "{e}");
    assert!(e.contains("kq dev") && e.contains("KQ_BROKERS"), "{e}");
}

#[test]
fn without_a_cause_it_says_how_long_it_waited() {
    assert!(explain(&[]).contains("kafka:9092: no answer within 3s"));
}

#[test]
fn a_cluster_that_has_answered_needs_no_other_bootstrap_address() {
    let causes = Causes::default();
    causes.clear();
    let e = causes.explain(DOWN, "kafka:9092", TIMEOUT).to_string();
    assert_eq!(
        e,
        "no answer within 3s from kafka:9092, or from a broker that it names (give --timeout more)"
    );
}

#[test]
fn a_name_that_does_not_resolve_keeps_the_resolvers_words() {
    let e = explain(&[(
        Code::Resolve,
        "nosuch:9092/bootstrap: Failed to resolve 'nosuch:9092': Name or service not known (after 2ms in state CONNECT)",
    )]);
    assert!(e.contains("nosuch:9092: the name does not resolve: Name or service not known ("), "{e}");
}

#[test]
fn two_brokers_with_one_cause_share_a_clause() {
    let refused = |broker: &str| {
        format!("{broker}/bootstrap: Connect to ipv4#1.2.3.4:1 failed: Connection refused (after 0ms)")
    };
    let code = Code::BrokerTransportFailure;
    let e = explain(&[(code, &refused("a:1")), (code, &refused("b:2"))]);
    assert!(e.starts_with("can't reach a:1, b:2: connection refused"), "{e}");
}

#[test]
fn a_login_stays_the_cause_when_the_connection_closes_after_it() {
    let causes = Causes::default();
    causes.error(
        Code::Authentication,
        "sasl_plaintext://k:1/bootstrap: SASL authentication error: Authentication failed: Invalid username or password (after 3ms in state AUTH_REQ)",
    );
    causes.error(Code::BrokerTransportFailure, "sasl_plaintext://k:1/bootstrap: Disconnected (after 1ms)");
    let e = causes.explain(DOWN, "k:1", TIMEOUT).to_string();
    assert!(e.starts_with("can't reach k:1: login refused: Invalid username or password ("), "{e}");
    assert!(causes.are_final("k:1"));
    assert!(!causes.are_final("k:1,l:1"), "the other broker may still answer");
}

#[test]
fn a_thread_that_a_broker_lacks_is_named_whatever_else_is_known() {
    let causes = Causes::default();
    causes.error(Code::BrokerTransportFailure, "k:1/bootstrap: Disconnected (after 1ms)");
    causes.error(Code::CriticalSystemResource, "Unable to create broker thread");
    assert!(causes.are_final("k:1,l:1"));
    assert_eq!(causes.explain(DOWN, "k:1", TIMEOUT).to_string(), threads::NO_MORE);
    assert_eq!(causes.last().as_deref(), Some(threads::NO_MORE));
}

#[test]
fn tls_and_http_are_told_from_a_size_that_is_none() {
    let read = |bytes: &[u8; 4]| {
        let size = i32::from_be_bytes(*bytes);
        explain(&[(
            Code::BadMessage,
            &format!(
                "k:1/bootstrap: Receive failed: Invalid response size {size} (0..100000000): increase receive.message.max.bytes"
            ),
        )])
    };
    assert!(read(&[0x15, 3, 3, 0]).contains("--tls"));
    assert!(read(b"HTTP").contains("HTTP server"));
    assert!(read(b"SSH-").contains("does not speak Kafka"));
}

#[test]
fn a_refused_scram_login_says_why_and_no_more() {
    let e = explain(&[(
        Code::Authentication,
        "sasl_ssl://k:1/bootstrap: SASL authentication error: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256 (after 5ms in state AUTH_REQ)",
    )]);
    assert!(e.contains("login refused: invalid credentials with SASL mechanism SCRAM-SHA-256 ("), "{e}");
}

#[test]
fn a_demanded_client_certificate_draws_the_flags() {
    let e = explain(&[(
        Code::SSL,
        "ssl://k:1/bootstrap: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number 42 (after 3ms in state APIVERSION_QUERY)",
    )]);
    assert!(e.contains("--tls-cert"), "{e}");
}

#[test]
fn a_mechanism_that_the_broker_lacks_draws_those_it_has() {
    let handshake = |offered: &str| {
        explain(&[(
            Code::Authentication,
            &format!(
                "sasl_plaintext://k:1/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: {offered} (after 2ms in state AUTH_HANDSHAKE)"
            ),
        )])
    };
    assert!(
        handshake("SCRAM-SHA-256,SCRAM-SHA-512").contains("the broker offers SCRAM-SHA-256,SCRAM-SHA-512 (")
    );
    assert!(handshake("").contains("no login is wanted"));
}

#[test]
fn a_close_is_explained_by_the_state_it_came_in() {
    let closed = |state: &str| {
        let causes = Causes::default();
        let line = format!(
            "k:1/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN (after 3ms in state {state})"
        );
        causes.log(6, "FAIL", &line);
        causes.explain(DOWN, "k:1", TIMEOUT).to_string()
    };
    assert!(closed("APIVERSION_QUERY").contains("--tls"));
    assert!(closed("UP").contains("--sasl-mechanism"));
    assert!(closed("AUTH_REQ").contains("closed the connection"));
}

#[test]
fn log_lines_feed_the_causes_too() {
    let causes = Causes::default();
    causes.log(3, "FAIL", "[thrd:localhost:1/bootstrap]: localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)");
    assert_eq!(causes.last().as_deref(), Some("localhost:1: connection refused"));
}

#[test]
fn words_of_an_error_code_have_no_prefix() {
    assert_eq!(words(Code::InvalidPartitions), "Invalid number of partitions");
}

#[test]
fn a_close_in_the_tls_handshake_is_known_by_its_state() {
    let causes = Causes::default();
    // The second time librdkafka leaves its guess out.
    for words in [
        "SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT broker listener?",
        "Disconnected: SSL connection closed by peer",
    ] {
        let line = format!("ssl://k:1/bootstrap: {words} (after 0ms in state SSL_HANDSHAKE)");
        causes.error(Code::BrokerTransportFailure, &line);
        let known = causes.last().unwrap_or_default();
        assert!(known.contains("during the TLS handshake"), "{known}");
    }
}

const RESOLVE: &str = "kafka-0:9092/1: Failed to resolve 'kafka-0:9092': Name or service not known (after 0ms in state CONNECT)";

fn with_bootstrap(membership: Membership) -> Causes {
    Causes::new(Log::default(), "proxy:9092,ssl://other", membership)
}

#[test]
fn an_address_that_the_cluster_advertises_is_said_to_be_that() {
    let sentence = |line: &str| {
        let causes = with_bootstrap(Membership::Member);
        causes.log(3, "FAIL", line);
        causes.advertised().map(|fault| fault.sentence)
    };
    let resolve = "can't resolve kafka-0, which the cluster advertises for broker 1 (advertised.listeners)";
    assert_eq!(sentence(RESOLVE).as_deref(), Some(resolve));
    assert_eq!(
        sentence("ssl://k:1/7: Connect to ipv4#1.2.3.4:1 failed: Connection refused (after 0ms)").unwrap(),
        "k:1, which the cluster advertises for broker 7, refuses connections (advertised.listeners)"
    );
    assert_eq!(
        sentence(
            "[thrd:GroupCoordinator]: GroupCoordinator: k:1: Connection setup timed out in state CONNECT"
        )
        .unwrap(),
        "k:1, which the cluster advertises for the group's coordinator, does not answer (advertised.listeners)"
    );
    // What the user gave may be what the cluster advertises.
    for given in ["proxy:9092/1", "other:9092/1", "proxy:9092/bootstrap"] {
        assert_eq!(sentence(&format!("{given}: Connect failed: Connection refused")), None, "{given}");
    }
}

#[test]
fn the_error_and_the_note_name_an_advertised_address_and_advise_no_other_bootstrap() {
    let causes = with_bootstrap(Membership::None);
    causes.error(Code::Resolve, RESOLVE);
    let why = "can't resolve kafka-0, which the cluster advertises for broker 1 (advertised.listeners)";
    assert_eq!(causes.explain(DOWN, "proxy:9092", TIMEOUT).to_string(), why);
    assert_eq!(causes.last().as_deref(), Some(why));
}

#[test]
fn an_answer_of_a_bootstrap_address_does_not_mend_an_advertised_one() {
    let causes = with_bootstrap(Membership::None);
    causes.error(Code::Resolve, RESOLVE);
    causes.error(DOWN, "proxy:9092/bootstrap: Connect to ipv4#1.2.3.4:1 failed: Connection refused");
    assert_eq!(causes.advertised(), None, "the whole cluster is away");
    causes.clear();
    assert!(causes.advertised().is_some());
    causes.forget();
    assert_eq!(causes.advertised(), None);
}

#[test]
fn the_coordinator_is_a_broker_where_that_is_known_and_nothing_where_there_is_no_group() {
    let coordinator =
        "GroupCoordinator: kafka-0:9092: Failed to resolve 'kafka-0:9092': Name or service not known";
    let causes = with_bootstrap(Membership::Member);
    causes.error(Code::Resolve, RESOLVE);
    causes.error(Code::Resolve, coordinator);
    assert!(causes.advertised().unwrap().sentence.contains("for broker 1 ("));
    let causes = with_bootstrap(Membership::None);
    causes.error(Code::Resolve, coordinator);
    assert_eq!(causes.advertised(), None);
}
