//! Stores that keytool and openssl wrote (tests/fixtures/tls/make), whole and damaged.

use proptest::prelude::*;

use super::*;
use crate::config::pem;

macro_rules! fixture {
    ($name:literal) => {
        (
            concat!("../../../tests/fixtures/tls/", $name),
            &include_bytes!(concat!("../../../tests/fixtures/tls/", $name))[..],
        )
    };
}

const CA: &str = include_str!("../../../tests/fixtures/tls/ca.pem");
const CLIENT: &str = include_str!("../../../tests/fixtures/tls/client.pem");
const CLIENT_KEY: &str = include_str!("../../../tests/fixtures/tls/client.key");

fn trust_stores() -> [(&'static str, &'static [u8]); 3] {
    [fixture!("trust.p12"), fixture!("trust-legacy.p12"), fixture!("trust.jks")]
}

fn key_stores() -> [(&'static str, &'static [u8]); 3] {
    [fixture!("client.p12"), fixture!("client-legacy.p12"), fixture!("client.jks")]
}

const RIGHT: Passwords<'_> = Passwords { store: Some("changeit"), key: Some("keypassword") };

fn certificates(all: &[Vec<u8>]) -> String {
    all.iter().map(|der| pem::from_der("CERTIFICATE", der)).collect()
}

#[test]
fn a_trust_store_of_each_kind_has_its_certificates() {
    for (name, bytes) in trust_stores() {
        let store = read(bytes, RIGHT, Wanted::Trusted).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!((store.trusted.len(), store.keys.len()), (2, 0), "{name}");
        assert!(certificates(&store.trusted).contains(CA), "{name}");
    }
}

#[test]
fn of_a_key_store_the_certificate_of_its_key_is_trusted_and_not_the_chain() {
    for (name, bytes) in key_stores() {
        let store = read(bytes, RIGHT, Wanted::Trusted).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let own = read(bytes, RIGHT, Wanted::Keys).unwrap().keys.remove(0).chain.remove(0);
        assert_eq!(store.trusted, [own], "{name}");
    }
}

#[test]
fn a_key_store_of_each_kind_has_its_key_and_the_whole_chain() {
    for (name, bytes) in key_stores() {
        let store = read(bytes, RIGHT, Wanted::Keys).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let [key] = &store.keys[..] else { panic!("{name}: {store:?}") };
        assert_eq!(key.alias, "client", "{name}");
        assert_eq!(certificates(&key.chain), CLIENT, "{name}");
        assert_eq!(pem::from_der("PRIVATE KEY", &key.der), CLIENT_KEY, "{name}");
    }
    let (_, two) = fixture!("two-keys.p12");
    let store = read(two, RIGHT, Wanted::Keys).unwrap();
    let aliases: Vec<_> = store.keys.iter().map(|key| key.alias.as_str()).collect();
    assert_eq!(aliases, ["client", "second"]);
}

#[test]
fn a_wrong_password_is_known_as_one_and_a_missing_one_too() {
    let wrong = Passwords { store: Some("wrong"), ..RIGHT };
    for (name, bytes) in trust_stores() {
        assert_eq!(read(bytes, wrong, Wanted::Trusted), Err(Refusal::WrongPassword), "{name}");
    }
    for (name, bytes) in key_stores() {
        assert_eq!(read(bytes, wrong, Wanted::Keys), Err(Refusal::WrongPassword), "{name}");
        assert_eq!(read(bytes, Passwords::default(), Wanted::Keys), Err(Refusal::NoPassword), "{name}");
    }
    let (_, jks) = fixture!("client.jks");
    let without = Passwords { key: None, ..RIGHT };
    assert_eq!(read(jks, without, Wanted::Keys), Err(Refusal::KeyPassword));
    assert_eq!(
        read(fixture!("trust.p12").1, Passwords::default(), Wanted::Trusted),
        Err(Refusal::NoPassword)
    );
}

#[test]
fn certificates_that_are_not_protected_need_no_password() {
    for (name, bytes) in [fixture!("trust.jks"), fixture!("trust-open.p12")] {
        let store = read(bytes, Passwords::default(), Wanted::Trusted);
        assert_eq!(store.map(|store| store.trusted.len()), Ok(2), "{name}");
    }
    assert!(read(fixture!("client.jks").1, Passwords::default(), Wanted::Trusted).is_ok());
}

#[test]
fn what_is_no_store_is_known() {
    let kind = |bytes: &[u8]| read(bytes, RIGHT, Wanted::Trusted).unwrap_err();
    assert_eq!(kind(CA.as_bytes()), Refusal::Pem);
    assert_eq!(kind(b""), Refusal::NotAStore);
    assert_eq!(kind(b"client.id=x"), Refusal::NotAStore);
    assert!(matches!(kind(b"\xce\xce\xce\xce"), Refusal::Unsupported(_)));
    assert!(matches!(kind(b"0\x82\x01\x01"), Refusal::Damaged(_)));
}

#[test]
fn debug_output_shows_no_key() {
    let (_, bytes) = fixture!("client.p12");
    let store = read(bytes, RIGHT, Wanted::Keys).unwrap();
    assert_eq!(format!("{store:?}"), r#"Store(0 trusted, [Key("client", 2 certificates)])"#);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_store_that_is_cut_or_changed_is_an_error_or_what_it_was(
        which in 0..6_usize, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let (name, bytes) = if which < 3 { trust_stores()[which] } else { key_stores()[which - 3] };
        let wanted = if which < 3 { Wanted::Trusted } else { Wanted::Keys };
        let whole = read(bytes, RIGHT, wanted).unwrap();
        let mut bytes = bytes.to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(store) = read(&bytes, RIGHT, wanted) {
            prop_assert_eq!(store.trusted, whole.trusted, "{}", name);
            prop_assert_eq!(certificates(&store.keys[..].iter().flat_map(|k| k.chain.clone()).collect::<Vec<_>>()),
                certificates(&whole.keys[..].iter().flat_map(|k| k.chain.clone()).collect::<Vec<_>>()), "{}", name);
        }
        // Without the store's password nothing tells that it was changed; it is still read within its bounds.
        let _ = read(&bytes, Passwords { store: None, key: Some("keypassword") }, wanted);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), magic in 0..3_usize) {
        let magic: &[u8] = [&b""[..], &[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2][..], &[0x30, 0x81][..]][magic];
        let _ = read(&[magic, &bytes].concat(), Passwords::default(), Wanted::Keys);
    }
}
