//! Certificates for tests, made for each of them.

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::symm::Cipher;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

/// A certificate and its key.
pub(super) struct Pair {
    pub(super) certificate: X509,
    pub(super) key: PKey<Private>,
}

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Authority,
    Leaf,
    /// A leaf that was valid once.
    Expired,
}

impl Pair {
    /// A new pair, signed by `by` or by itself.
    pub(super) fn new(name: &str, kind: Kind, by: Option<&Self>) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
        let subject = subject.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let mut serial = BigNum::new().unwrap();
        serial.rand(100, MsbOption::MAYBE_ZERO, false).unwrap();
        builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
        builder.set_subject_name(&subject).unwrap();
        builder.set_issuer_name(by.map_or(&subject, |by| by.certificate.subject_name())).unwrap();
        builder.set_pubkey(&key).unwrap();
        let (from, to) = match kind {
            Kind::Expired => (Asn1Time::from_unix(0).unwrap(), Asn1Time::from_unix(1000).unwrap()),
            _ => (Asn1Time::days_from_now(0).unwrap(), Asn1Time::days_from_now(2).unwrap()),
        };
        builder.set_not_before(&from).unwrap();
        builder.set_not_after(&to).unwrap();
        let mut basic = BasicConstraints::new();
        if kind == Kind::Authority {
            basic.ca();
        }
        builder.append_extension(basic.critical().build().unwrap()).unwrap();
        let names = SubjectAlternativeName::new()
            .dns("localhost")
            .ip("127.0.0.1")
            .build(&builder.x509v3_context(None, None));
        builder.append_extension(names.unwrap()).unwrap();
        builder.sign(by.map_or(&key, |by| &by.key), MessageDigest::sha256()).unwrap();
        Self { certificate: builder.build(), key }
    }

    pub(super) fn certificate_pem(&self) -> String {
        String::from_utf8(self.certificate.to_pem().unwrap()).unwrap()
    }

    pub(super) fn key_pem(&self) -> String {
        String::from_utf8(self.key.private_key_to_pem_pkcs8().unwrap()).unwrap()
    }

    /// The key with a password, in both of the ways in which OpenSSL writes it.
    pub(super) fn locked_keys(&self) -> [Vec<u8>; 2] {
        let cipher = Cipher::aes_256_cbc();
        let legacy = self.key.ec_key().unwrap().private_key_to_pem_passphrase(cipher, b"secret").unwrap();
        [self.key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").unwrap(), legacy]
    }
}
