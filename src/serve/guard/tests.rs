//! The guard as a whole, with its files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use hyper::header::{HeaderName, HeaderValue};
use tempfile::TempDir;

use super::*;
use crate::serve::settings::{Https, Webhook};

const BODY: &[u8] = b"Hello, World!";
/// Of [`BODY`], with the secret in GitHub's documentation.
const SIGNED: (&str, &str) =
    ("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
const SHOP: (&str, &str) = ("authorization", "Bearer shop-token-0000001");
const HERE: (&str, &str) = ("host", "localhost:8080");

/// The topics of all tests.
const TOPICS: [&str; 2] = ["orders", "hooks"];

/// Files and settings of a test.
struct Setup {
    folder: TempDir,
    settings: Security,
    is_loopback: bool,
}

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, settings: Security::default(), is_loopback: false }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        mode(&path, 0o600);
        path
    }

    fn on_loopback(self) -> Self {
        Self { is_loopback: true, ..self }
    }

    fn tokens(mut self, text: &str) -> Self {
        self.settings.token_file = Some(self.file("tokens", text));
        self
    }

    fn webhook(mut self, topic: Option<usize>, scheme: Scheme, secret: &str) -> Self {
        let secrets = self.file(&format!("secrets{}", self.settings.webhooks.len()), secret);
        self.settings.webhooks.push(Webhook { topic, scheme, secrets });
        self
    }

    fn github(self) -> Self {
        self.webhook(Some(1), Scheme::GitHub, "It's a Secret to Everybody\n")
    }

    fn certificates(mut self) -> Self {
        let key = self.file("key.pem", "");
        let client_ca = Some(key.clone());
        self.settings.https = Some(Https { certificate: key.clone(), key, client_ca });
        self
    }

    fn no_auth(mut self) -> Self {
        self.settings.no_auth = true;
        self
    }

    /// The guard, and what it says at the start.
    fn open(&self) -> anyhow::Result<(Guard, String)> {
        let notes = self.folder.path().join("notes");
        let log = Log::default().to_file(File::create(&notes).unwrap());
        let topics = TOPICS.map(topic);
        let guard = Guard::open(&self.settings, &topics, self.is_loopback, log)?;
        log.flush();
        Ok((guard, fs::read_to_string(notes).unwrap()))
    }

    fn guard(&self) -> Guard {
        self.open().unwrap().0
    }

    fn error(&self) -> String {
        self.open().err().map_or_else(String::new, |e| format!("{e:#}"))
    }
}

fn topic(name: &str) -> Topic {
    Topic { name: name.into(), ..Topic::default() }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    map
}

/// Status and code of a request with this body; 200 where it is let in.
fn of(guard: &Guard, topic: usize, pairs: &[(&str, &str)], body: &[u8]) -> (u16, &'static str) {
    let request = headers(pairs);
    let now = UNIX_EPOCH + Duration::from_secs(1);
    let verdict = guard
        .before_body(topic, &request, false)
        .and_then(|pass| guard.signature(&pass, &request, body, now));
    verdict.map_or_else(|problem| (problem.status.as_u16(), problem.code), |()| (200, ""))
}

#[test]
fn a_token_is_for_its_topics() {
    let setup = Setup::new().tokens("shop shop-token-0000001 orders\nadmin-token-000001");
    let guard = setup.guard();
    assert_eq!(of(&guard, 0, &[SHOP], b""), (200, ""));
    assert_eq!(of(&guard, 1, &[SHOP], b""), (403, "forbidden"));
    assert_eq!(of(&guard, 1, &[("authorization", "Bearer admin-token-000001")], b""), (200, ""));
    assert_eq!(of(&guard, 0, &[("authorization", "Bearer other-token-00001")], b""), (401, "unauthorized"));
    assert_eq!(of(&guard, 0, &[], b""), (401, "unauthorized"));
    let pass = guard.before_body(0, &headers(&[SHOP]), false).unwrap();
    assert_eq!(pass.who.as_deref(), Some("shop"));
    assert!(pass.signatures.is_empty());
    // What is signed for another topic is not looked at.
    assert_eq!(of(&guard, 0, &[SIGNED], BODY), (401, "unauthorized"));
}

#[test]
fn a_signature_or_a_token_is_enough_and_a_wrong_signature_is_refused_even_with_a_token() {
    let guard = Setup::new().tokens("shop-token-0000001").github().guard();
    assert_eq!(of(&guard, 1, &[SIGNED], BODY), (200, ""));
    assert_eq!(of(&guard, 1, &[SHOP], BODY), (200, ""));
    assert_eq!(of(&guard, 1, &[SHOP, SIGNED], BODY), (200, ""));
    assert_eq!(of(&guard, 1, &[SHOP, SIGNED], b"Hello, World."), (403, "bad_signature"));
    assert_eq!(of(&guard, 1, &[SIGNED], b"Hello, World."), (403, "bad_signature"));
    assert_eq!(of(&guard, 1, &[SHOP, ("x-hub-signature-256", "")], BODY), (403, "bad_signature"));
    let unknown = ("authorization", "Bearer other-token-00001");
    assert_eq!(of(&guard, 1, &[unknown, SIGNED], BODY), (200, ""), "any one is enough");
    assert_eq!(of(&guard, 1, &[unknown], BODY), (401, "unauthorized"));
    assert_eq!(of(&guard, 1, &[], BODY), (401, "unauthorized"));
    assert_eq!(of(&guard, 0, &[SIGNED], BODY), (401, "unauthorized"), "not this topic's");
    assert_eq!(of(&guard, 0, &[SHOP, ("x-hub-signature-256", "")], BODY), (200, ""), "not this topic's");
    assert_eq!(guard.before_body(1, &headers(&[SHOP, SIGNED]), false).unwrap().signatures, [Scheme::GitHub]);
}

#[test]
fn a_topic_with_a_signature_alone_refuses_what_has_none() {
    let guard = Setup::new().github().no_auth().guard();
    assert_eq!(of(&guard, 1, &[SIGNED], BODY), (200, ""));
    assert_eq!(of(&guard, 1, &[], BODY), (403, "bad_signature"));
    assert_eq!(of(&guard, 1, &[SHOP], BODY), (403, "bad_signature"));
    let problem = guard.before_body(1, &headers(&[]), false).unwrap_err();
    assert_eq!(problem.detail, "the request has no signature (X-Hub-Signature-256)");
    assert_eq!(problem.header, None, "a challenge is for tokens");
    assert_eq!(of(&guard, 0, &[], BODY), (200, ""), "the other topic is open");
}

#[test]
fn several_schemes_and_files_of_a_topic() {
    let hmac = Scheme::Hmac(HeaderName::from_static("x-shop-hmac"));
    let setup = Setup::new().github().webhook(None, Scheme::GitHub, "other");
    let guard = setup.webhook(None, hmac, "It's a Secret to Everybody").guard();
    let plain = ("x-shop-hmac", SIGNED.1);
    assert_eq!(of(&guard, 1, &[SIGNED], BODY), (200, ""), "a secret of any of its files");
    assert_eq!(of(&guard, 0, &[SIGNED], BODY), (403, "bad_signature"), "the secret is for the other topic");
    assert_eq!(of(&guard, 0, &[plain], BODY), (200, ""));
    assert_eq!(of(&guard, 1, &[SIGNED, plain], BODY), (200, ""));
    assert_eq!(of(&guard, 1, &[SIGNED, ("x-shop-hmac", "x")], BODY), (403, "bad_signature"), "each is right");
    let problem = guard.before_body(1, &headers(&[]), false).unwrap_err();
    assert_eq!(problem.detail, "the request has no signature (X-Hub-Signature-256 or x-shop-hmac)");
}

#[test]
fn a_signed_body_that_is_encoded_is_415() {
    let guard = Setup::new().tokens("shop-token-0000001").github().guard();
    let gzip = ("content-encoding", "gzip");
    assert_eq!(of(&guard, 1, &[SIGNED, gzip], BODY), (415, "signed_encoding"));
    assert_eq!(of(&guard, 1, &[SIGNED, SHOP, gzip], BODY), (415, "signed_encoding"));
    assert_eq!(
        of(&guard, 1, &[SIGNED, ("content-encoding", "identity"), gzip], BODY),
        (415, "signed_encoding")
    );
    assert_eq!(of(&guard, 1, &[SIGNED, ("content-encoding", "identity")], BODY), (200, ""));
    assert_eq!(of(&guard, 1, &[SHOP, gzip], BODY), (200, ""));
}

#[test]
fn a_client_certificate_counts_alone_where_there_is_no_file_of_tokens() {
    let verdict = |guard: &Guard, pairs: &[(&str, &str)], tls_client| {
        guard
            .before_body(0, &headers(pairs), tls_client)
            .map_or_else(|problem| problem.status.as_u16(), |_| 200)
    };
    let alone = Setup::new().certificates().guard();
    assert_eq!(verdict(&alone, &[], true), 200);
    assert_eq!(verdict(&alone, &[], false), 403);
    // A browser shows its certificate for any page.
    assert_eq!(verdict(&alone, &[("origin", "https://evil.example"), HERE], true), 403);
    let with_tokens = Setup::new().certificates().tokens("shop-token-0000001").guard();
    assert_eq!(verdict(&with_tokens, &[], true), 401);
    assert_eq!(verdict(&with_tokens, &[SHOP], true), 200);
}

#[test]
fn an_open_topic_on_loopback_checks_host_and_origin() {
    let mut setup = Setup::new().on_loopback().github();
    setup.settings.allow_hosts.push("tunnel.example".into());
    let guard = setup.guard();
    let (evil, page) = (("host", "evil.example"), ("origin", "https://evil.example"));
    assert_eq!(of(&guard, 0, &[HERE], b""), (200, ""));
    assert_eq!(of(&guard, 0, &[("host", "tunnel.example")], b""), (200, ""));
    assert_eq!(of(&guard, 0, &[evil], b""), (403, "host_not_allowed"));
    assert_eq!(of(&guard, 0, &[HERE, page], b""), (403, "origin_not_allowed"));
    assert_eq!(of(&guard, 0, &[evil, page], b""), (403, "host_not_allowed"), "the same name does not help");
    assert_eq!(of(&guard, 1, &[SIGNED, evil, page], BODY), (200, ""), "its sender knows a secret");
    let tokens = Setup::new().on_loopback().tokens("shop-token-0000001").guard();
    assert_eq!(of(&tokens, 0, &[SHOP, evil, page], b""), (200, ""), "its sender knows a token");
}

#[test]
fn an_open_topic_of_the_network_checks_the_origin_and_not_the_host() {
    let guard = Setup::new().no_auth().guard();
    let named = ("host", "kq.example");
    assert_eq!(of(&guard, 0, &[named], b""), (200, ""));
    assert_eq!(of(&guard, 0, &[named, ("origin", "https://evil.example")], b""), (403, "origin_not_allowed"));
    let rebound = [named, ("origin", "https://kq.example")];
    assert_eq!(of(&guard, 0, &rebound, b""), (403, "origin_not_allowed"), "a name can be made to lead here");
    let mut setup = Setup::new().no_auth();
    setup.settings.cors_origins.push("*".into());
    assert_eq!(of(&setup.guard(), 0, &[named, ("origin", "https://any.example")], b""), (200, ""));
}

#[test]
fn a_listed_origin_is_asked_of_each_page_even_with_a_token() {
    let mut setup = Setup::new().tokens("shop-token-0000001");
    setup.settings.cors_origins.push("https://app.example".into());
    let guard = setup.guard();
    let (app, evil) = (("origin", "https://app.example"), ("origin", "https://evil.example"));
    assert_eq!(of(&guard, 0, &[SHOP, app], b""), (200, ""));
    assert_eq!(of(&guard, 0, &[SHOP, evil], b""), (403, "origin_not_allowed"));
    assert_eq!(of(&guard, 0, &[SHOP], b""), (200, ""));
    assert!(!guard.cors(&headers(&[app])).is_empty());
    let asked = [app, ("access-control-request-method", "POST")];
    assert!(guard.preflight(0, &headers(&asked)).unwrap().is_some(), "a browser sends no token with it");
    let asked = [evil, ("access-control-request-method", "POST")];
    assert_eq!(guard.preflight(0, &headers(&asked)).unwrap_err().status.as_u16(), 403);
}

#[test]
fn a_preflight_for_an_open_topic_on_loopback_checks_the_host() {
    let mut setup = Setup::new().on_loopback();
    setup.settings.cors_origins.push("https://app.example".into());
    let guard = setup.guard();
    let asked = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    assert!(guard.preflight(0, &headers(&[&asked[..], &[HERE]].concat())).unwrap().is_some());
    let rebound = headers(&[&asked[..], &[("host", "evil.example")]].concat());
    assert_eq!(guard.preflight(0, &rebound).unwrap_err().code, "host_not_allowed");
}

#[test]
fn metrics_on_the_main_listener_need_loopback_or_a_token() {
    let verdict = |guard: &Guard, pairs: &[(&str, &str)], tls_client| {
        guard.metrics(&headers(pairs), tls_client).map_or_else(|problem| problem.status.as_u16(), |()| 200)
    };
    let local = Setup::new().on_loopback().tokens("shop-token-0000001").guard();
    assert_eq!(verdict(&local, &[HERE], false), 200);
    assert_eq!(verdict(&local, &[("host", "evil.example")], false), 403);
    let tokens = Setup::new().tokens("shop shop-token-0000001 orders,hooks").guard();
    assert_eq!((verdict(&tokens, &[SHOP], false), verdict(&tokens, &[], false)), (200, 401));
    let certificates = Setup::new().certificates().guard();
    assert_eq!((verdict(&certificates, &[], true), verdict(&certificates, &[], false)), (200, 403));
    let signed = Setup::new().webhook(None, Scheme::GitHub, "x").guard();
    assert_eq!(verdict(&signed, &[], false), 403);
    assert_eq!(verdict(&Setup::new().no_auth().guard(), &[], false), 200);
}

#[test]
fn a_topic_that_would_be_open_to_the_network_is_refused_at_the_start() {
    let open = "anyone who reaches --listen could publish to ";
    assert!(Setup::new().error().starts_with(&format!("{open}orders, hooks:")));
    assert!(Setup::new().github().error().starts_with(&format!("{open}orders:")));
    for right in [
        Setup::new().no_auth(),
        Setup::new().on_loopback(),
        Setup::new().tokens("shop-token-0000001"),
        Setup::new().certificates(),
        Setup::new().webhook(None, Scheme::Stripe, "x"),
    ] {
        assert_eq!(right.error(), "");
    }
    let mut any = Setup::new().on_loopback();
    any.settings.cors_origins.push("*".into());
    assert!(any.error().contains("--no-auth"));
}

#[test]
fn an_error_names_the_flag_the_file_and_the_line() {
    let said = Setup::new().tokens("# x\nshort").error();
    assert!(
        said.starts_with("--token-file: /") && said.contains("tokens: line 2: the token has 5"),
        "{said}"
    );
    let said = Setup::new().webhook(None, Scheme::Standard, "whsec_!").error();
    assert!(said.starts_with("--webhook: /") && said.contains("secrets0: line 1: not whsec_"), "{said}");
    let mut setup = Setup::new();
    setup.settings.token_file = Some("/nowhere/tokens".into());
    let said = setup.error();
    assert!(said.starts_with("--token-file: ") && said.contains("/nowhere/tokens"), "{said}");
}

#[test]
fn a_file_that_others_can_read_is_a_note() {
    let setup = Setup::new().tokens("shop-token-0000001").github();
    let (_, notes) = setup.open().unwrap();
    assert_eq!(notes, "");
    mode(&setup.folder.path().join("secrets0"), 0o444);
    let (guard, notes) = setup.open().unwrap();
    assert!(notes.contains("secrets0: each user of this machine can read it"), "{notes}");
    assert_eq!(notes.lines().count(), 1, "{notes}");
    assert_eq!(of(&guard, 1, &[SIGNED], BODY), (200, ""));
}

#[test]
fn a_topic_for_which_there_is_no_token_is_refused_at_the_start() {
    let one = || Setup::new().tokens("shop shop-token-0000001 orders");
    let said = "--token-file: no token is for topic hooks: nobody could publish to it";
    assert_eq!(one().error(), said);
    for open in [one().on_loopback(), one().no_auth()] {
        let (guard, notes) = open.open().unwrap();
        assert!(notes.contains(said), "{notes}");
        assert_eq!(of(&guard, 1, &[SHOP], b""), (403, "forbidden"), "it is not open for that");
    }
    let (_, notes) = one().github().open().unwrap();
    assert_eq!(notes, "", "its senders sign");
}
