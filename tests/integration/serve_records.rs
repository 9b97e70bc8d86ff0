//! What a request of `kq serve` gives to its records, and what it never gives.

use crate::support::serve::{Call, JSON, Serve, stored};
use crate::support::{Cluster, Kq};

#[test]
fn what_names_a_request_is_copied_and_a_signature_never() {
    let cluster = Cluster::get();
    let topic = cluster.create("serve", 1);
    let kq = cluster.kq(["serve", &topic, "--copy-header", "*", "--webhook", "hmac:x-mac:secret"]);
    kq.file("secret", "0123456789abcdef0123456789abcdef\n");
    let serve = Serve::of(kq);
    let key = openssl::pkey::PKey::hmac(b"0123456789abcdef0123456789abcdef").expect("a key");
    let mut signer = openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &key).expect("sign");
    signer.update(b"{}").expect("sign");
    let mac: String = signer.sign_to_vec().expect("sign").iter().map(|byte| format!("{byte:02x}")).collect();
    let call = Call::post(&topic).of_type(JSON).body("{}").header("X-Mac", &mac);
    let call = ["Cookie", "Proxy-Secret", "X-Hub-Signature-256", "Stripe-Signature"]
        .into_iter()
        .fold(call, |call, secret| call.header(secret, "secret"));
    serve.send(&call.header("webhook-id", "w").header("tracestate", "a=1").header("X-A", "1")).demand(200);
    let records = stored(&cluster, &topic);
    let [record] = &records[..] else { panic!("{records:?}") };
    for (name, value) in [("webhook-id", "w"), ("tracestate", "a=1"), ("x-a", "1")] {
        assert_eq!(record.header(name), Some(value), "{:?}", record.headers);
    }
    for name in ["x-mac", "cookie", "proxy-secret", "x-hub-signature-256", "stripe-signature"] {
        assert_eq!(record.header(name), None, "{name}");
    }
}

#[test]
fn a_pattern_that_can_take_long_is_refused_at_the_start() {
    let kq = Kq::new(["serve", "-b", "127.0.0.1:1", "t", "--validate", "s.json"]);
    kq.file("s.json", r#"{"properties":{"id":{"pattern":"^(?!x)"}}}"#);
    kq.run()
        .status(2)
        .stderr_has("--validate s.json can't be used as a JSON Schema")
        .stderr_has("look-around");
}
