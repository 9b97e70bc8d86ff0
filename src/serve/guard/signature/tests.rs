//! The vendors' own examples, and what is changed in them.

use std::time::Duration;

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use proptest::prelude::*;

use super::*;

/// In GitHub's documentation.
const SECRET: &str = "It's a Secret to Everybody";
const BODY: &[u8] = b"Hello, World!";
const DIGEST: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

/// In the tests of Standard Webhooks' libraries.
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SENT: u64 = 1_614_265_330;
const EVENT: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

/// What stripe's Python library (16.1.0) computes for the secret `whsec_test_secret`.
const STRIPE_TIME: u64 = 1_492_774_577;
const STRIPE_BODY: &[u8] = br#"{"id":"evt_1"}"#;
const STRIPE_DIGEST: &str = "799c4ba7bb339f3c8601adfd112f0e477c930a268be1243d341abb8286501c2f";

/// Something else in the right form.
const OTHER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

/// What is wrong with a signature, so many seconds after the epoch; nothing where it is right.
fn wrong(scheme: &Scheme, pairs: &[(&str, &str)], body: &[u8], secrets: &str, seconds: u64) -> String {
    let secrets = [Arc::new(Secrets::parse(secrets.as_bytes(), scheme).unwrap())];
    let now = UNIX_EPOCH + Duration::from_secs(seconds);
    check(scheme, &headers(pairs), body, &secrets, now).err().unwrap_or_default()
}

#[track_caller]
fn is_refused(said: &str, because: &str) {
    assert!(said.contains(because), "{said:?} should say {because:?}");
}

fn github(value: &str, secrets: &str) -> String {
    wrong(&Scheme::GitHub, &[("x-hub-signature-256", value)], BODY, secrets, 0)
}

#[test]
fn the_example_of_githubs_documentation_is_right() {
    assert_eq!(github(&format!("sha256={DIGEST}"), SECRET), "");
    assert_eq!(github(&format!("sha256={}", DIGEST.to_uppercase()), SECRET), "");
    assert_eq!(github(&format!("sha256={DIGEST}"), &format!("new\n{SECRET}\n")), "", "while it is rotated");
}

#[test]
fn what_github_did_not_sign_is_refused() {
    is_refused(&github(&format!("sha256={DIGEST}"), "other"), "not the signature of this body");
    is_refused(&github(&format!("sha256={OTHER}"), SECRET), "not the signature of this body");
    for malformed in [
        "",
        "sha256=",
        DIGEST,
        &format!("sha1={DIGEST}"),
        &format!("sha256={}", &DIGEST[1..]),
        &format!("sha256={DIGEST}00"),
        &format!("sha256={}", DIGEST.replace('7', "g")),
        &format!("sha256={}ä", &DIGEST[..62]),
    ] {
        is_refused(&github(malformed, SECRET), "x-hub-signature-256 is not");
    }
    let right = format!("sha256={DIGEST}");
    let twice = [("x-hub-signature-256", &*right), ("x-hub-signature-256", &*right)];
    is_refused(&wrong(&Scheme::GitHub, &twice, BODY, SECRET, 0), "more than once");
}

fn stripe(value: &str, secrets: &str, seconds: u64) -> String {
    wrong(&Scheme::Stripe, &[("stripe-signature", value)], STRIPE_BODY, secrets, seconds)
}

#[test]
fn any_v1_of_stripe_is_enough() {
    for right in [
        format!("t={STRIPE_TIME},v1={STRIPE_DIGEST}"),
        format!("t={STRIPE_TIME},v1={OTHER},v1={STRIPE_DIGEST},v0={OTHER}"),
        format!("v1={STRIPE_DIGEST}, t={STRIPE_TIME}"),
        format!("t={STRIPE_TIME},v1=x,v1={STRIPE_DIGEST}"),
    ] {
        assert_eq!(stripe(&right, "whsec_test_secret", STRIPE_TIME), "", "{right}");
        assert_eq!(stripe(&right, "whsec_new\nwhsec_test_secret", STRIPE_TIME), "", "{right}");
    }
}

#[test]
fn what_stripe_did_not_sign_is_refused() {
    let at = STRIPE_TIME;
    for (value, because) in [
        (format!("t={at},v1={OTHER}"), "not the signature"),
        (format!("t={},v1={STRIPE_DIGEST}", at + 1), "not the signature"),
        (format!("t={at},v0={STRIPE_DIGEST}"), "no signature of the scheme v1"),
        (format!("t={at}"), "no signature of the scheme v1"),
        (format!("v1={STRIPE_DIGEST}"), "no time"),
        (format!("t={at},t={at},v1={STRIPE_DIGEST}"), "more than one"),
        (format!("t=,v1={STRIPE_DIGEST}"), "not a number"),
        (format!("t=+{at},v1={STRIPE_DIGEST}"), "not a number"),
        (format!("t={at}.0,v1={STRIPE_DIGEST}"), "not a number"),
        (format!("t=99999999999999999999999,v1={STRIPE_DIGEST}"), "not a number"),
        (format!("t={},v1={STRIPE_DIGEST}", u64::MAX), "ahead"),
        (String::new(), "no time"),
    ] {
        is_refused(&stripe(&value, "whsec_test_secret", at), because);
    }
    is_refused(&stripe(&format!("t={at},v1={STRIPE_DIGEST}"), "whsec_other", at), "not the signature");
}

#[test]
fn a_stale_time_stamp_is_refused_and_one_far_ahead_too() {
    let value = format!("t={STRIPE_TIME},v1={STRIPE_DIGEST}");
    let at = |seconds| stripe(&value, "whsec_test_secret", seconds);
    for near in [STRIPE_TIME - 300, STRIPE_TIME, STRIPE_TIME + 300] {
        assert_eq!(at(near), "", "{near}");
    }
    is_refused(&at(STRIPE_TIME + 301), "301 s old");
    is_refused(&at(STRIPE_TIME - 301), "301 s ahead");
    is_refused(&at(0), "ahead");
}

fn standard(prefix: &str, change: (&str, &str), secrets: &str, seconds: u64) -> String {
    let sent = SENT.to_string();
    let pairs = [("id", ID), ("timestamp", &*sent), ("signature", SIGNATURE)];
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (format!("{prefix}-{name}"), if *name == change.0 { change.1 } else { value }))
        .collect();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&**name, *value)).collect();
    wrong(&Scheme::Standard, &pairs, EVENT, secrets, seconds)
}

#[test]
fn the_example_of_standard_webhooks_is_right() {
    let bare = WHSEC.strip_prefix("whsec_").unwrap();
    for prefix in ["webhook", "svix", "Webhook"] {
        for secrets in [WHSEC, bare, &format!("whsec_AAAA\n{WHSEC}")] {
            assert_eq!(standard(prefix, ("", ""), secrets, SENT), "", "{prefix} {secrets}");
        }
    }
    let unpadded = SIGNATURE.trim_end_matches('=');
    for list in [format!("v1,AAAA {SIGNATURE}"), format!("v1a,{OTHER} {SIGNATURE} v2,x"), unpadded.to_owned()]
    {
        assert_eq!(standard("webhook", ("signature", &list), WHSEC, SENT), "", "{list}");
    }
}

#[test]
fn what_standard_webhooks_did_not_sign_is_refused() {
    for (name, value, because) in [
        ("id", "msg_other", "not the signature"),
        ("id", "", "is empty"),
        ("id", "msg.1", "contains a dot"),
        ("timestamp", "1614265331", "not the signature"),
        ("timestamp", "1614265330.5", "not a number"),
        ("timestamp", "", "not a number"),
        ("signature", "", "no signature of the version v1"),
        ("signature", "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "no signature of the version v1"),
        ("signature", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "no signature of the version v1"),
        ("signature", "v1,AAAA", "no signature of the version v1"),
        ("signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "not the signature"),
    ] {
        is_refused(&standard("webhook", (name, value), WHSEC, SENT), because);
    }
    is_refused(&standard("svix", ("", ""), "whsec_AAAA", SENT), "not the signature");
    is_refused(&standard("svix", ("", ""), WHSEC, SENT + 301), "301 s old");
    let alone = [("webhook-signature", SIGNATURE)];
    is_refused(&wrong(&Scheme::Standard, &alone, EVENT, WHSEC, SENT), "the request has no webhook-id");
    // Names of two sets are not one set.
    let mixed = [("svix-id", ID), ("webhook-timestamp", "1614265330"), ("svix-signature", SIGNATURE)];
    is_refused(&wrong(&Scheme::Standard, &mixed, EVENT, WHSEC, SENT), "the request has no svix-timestamp");
}

#[test]
fn a_plain_hmac_is_in_hex_or_base64() {
    let scheme = Scheme::Hmac(HeaderName::from_static("x-shop-hmac"));
    let base64 = "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=";
    for right in [DIGEST, &format!("sha256={DIGEST}"), base64, &base64[..43], &format!("sha256={base64}")] {
        assert_eq!(wrong(&scheme, &[("x-shop-hmac", right)], BODY, SECRET, 0), "", "{right}");
    }
    for malformed in ["", "x", &DIGEST[2..], "sha256=", &base64[1..], &format!("v0={DIGEST}")] {
        let said = wrong(&scheme, &[("x-shop-hmac", malformed)], BODY, SECRET, 0);
        is_refused(&said, "x-shop-hmac is not an HMAC-SHA256");
    }
    is_refused(&wrong(&scheme, &[("x-shop-hmac", OTHER)], BODY, SECRET, 0), "not the signature");
    is_refused(&wrong(&scheme, &[], BODY, SECRET, 0), "has no x-shop-hmac");
}

#[test]
fn a_request_has_a_signature_if_its_header_is_there() {
    let hmac = Scheme::Hmac(HeaderName::from_static("x-shop-hmac"));
    let all = [Scheme::GitHub, Scheme::Stripe, Scheme::Standard, hmac];
    let names = ["X-Hub-Signature-256", "Stripe-Signature", "webhook-signature", "x-shop-hmac"];
    for (scheme, name) in all.iter().zip(names) {
        let request = headers(&[(name, "")]);
        let found: Vec<_> = all.iter().filter(|scheme| is_in(&request, scheme)).collect();
        assert_eq!(found, [scheme], "{name}");
        assert_eq!(header_name(scheme), name);
    }
    assert!(is_in(&headers(&[("svix-signature", "")]), &Scheme::Standard));
    // The old one of GitHub, SHA-1, is not looked at.
    assert!(!is_in(&headers(&[("x-hub-signature", "sha1=x")]), &Scheme::GitHub));
}

proptest! {
    #[test]
    fn one_changed_bit_of_body_or_signature_is_refused(
        body in proptest::collection::vec(any::<u8>(), 1..200),
        secret in "[!-~]{1,40}",
        at in any::<proptest::sample::Index>(),
        bit in 0..8_u32,
    ) {
        prop_assume!(!secret.starts_with('#'));
        let mut signer = Signer::new(MessageDigest::sha256(), &PKey::hmac(secret.as_bytes()).unwrap()).unwrap();
        signer.update(&body).unwrap();
        let digest = signer.sign_to_vec().unwrap();
        let verdict = |digest: &[u8], body: &[u8]| {
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            wrong(&Scheme::GitHub, &[("x-hub-signature-256", &format!("sha256={hex}"))], body, &secret, 0)
        };
        prop_assert_eq!(verdict(&digest, &body), "");
        let change = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            bytes
        };
        prop_assert_ne!(verdict(&digest, &change(&body)), "");
        prop_assert_ne!(verdict(&change(&digest), &body), "");
        prop_assert_ne!(verdict(&digest, &body[1..]), "");
    }

    #[test]
    fn no_header_makes_it_fail(value in proptest::collection::vec(b' '..=b'~', 0..80), at in any::<u64>()) {
        let value = String::from_utf8(value).unwrap();
        let names = ["x-hub-signature-256", "stripe-signature", "webhook-signature", "webhook-id", "webhook-timestamp"];
        let pairs: Vec<_> = names.iter().map(|name| (*name, &*value)).collect();
        for scheme in [Scheme::GitHub, Scheme::Stripe, Scheme::Standard] {
            prop_assert_ne!(wrong(&scheme, &pairs, b"", WHSEC, at >> 1), "");
        }
    }
}
