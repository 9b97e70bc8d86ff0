//! PKCS12 stores (RFC 7292), with the ciphers of today and those that Java wrote before 2020.
//! Pure: no clock, no IO.

use p12_keystore::error::Error;
use p12_keystore::{CertificateBag, Pkcs12Archive, PrivateKeyBag};

use super::{Key, Passwords, Refusal, Store, Wanted};

/// Reads a store. Its keys have the store's password, as in every store that `keytool` or openssl writes.
///
/// Trusted are the certificates that Java marks so; without any, all that belong to no key, since
/// openssl does not set that mark. If they are wanted, each key's own certificate is one of them, as in Java.
pub(super) fn read(bytes: &[u8], passwords: Passwords<'_>, wanted: Wanted) -> Result<Store, Refusal> {
    let password = passwords.store.unwrap_or_default();
    let archive = Pkcs12Archive::from_pkcs12(bytes, password).map_err(|e| match e {
        Error::MacError(_) | Error::Pkcs5Error(_) | Error::UnpadError if passwords.store.is_none() => {
            Refusal::NoPassword
        }
        Error::MacError(_) => Refusal::WrongPassword,
        // The MAC, where there is one, was right.
        Error::Pkcs5Error(_) | Error::UnpadError => {
            Refusal::Unsupported("a PKCS12 store with a part that has another password".to_owned())
        }
        Error::UnsupportedEncryptionScheme | Error::UnsupportedMacAlgorithm => {
            Refusal::Unsupported("a PKCS12 store with an unusual cipher".to_owned())
        }
        e => Refusal::Damaged(e.to_string()),
    })?;
    let certificates = &archive.certs;
    let keys: Vec<Key> = archive.keys.iter().map(|key| with_chain(key, certificates)).collect();
    let is_of_key = |der: &[u8]| keys.iter().any(|key| key.chain.iter().any(|of_key| of_key == der));
    let any_marked = certificates.iter().any(|bag| bag.trusted);
    let mut trusted: Vec<Vec<u8>> = certificates
        .iter()
        .filter(|bag| if any_marked { bag.trusted } else { !is_of_key(bag.cert.as_der()) })
        .map(|bag| bag.cert.as_der().to_vec())
        .collect();
    if wanted == Wanted::Trusted {
        trusted.extend(keys.iter().filter_map(|key| key.chain.first().cloned()));
    }
    Ok(Store { trusted, keys })
}

/// A key with its certificate, which has the same id, and those that signed it, by their names.
fn with_chain(key: &PrivateKeyBag, certificates: &[CertificateBag]) -> Key {
    let is_own = |bag: &&CertificateBag| {
        key.local_key_id.as_ref().is_some_and(|id| bag.local_key_id.as_deref() == Some(id.as_ref()))
    };
    let mut chain: Vec<&CertificateBag> = Vec::new();
    let mut next = certificates.iter().find(is_own);
    while let Some(bag) = next.filter(|bag| !chain.contains(bag)) {
        chain.push(bag);
        next = certificates.iter().find(|other| other.cert.subject() == bag.cert.issuer());
    }
    Key {
        alias: key.friendly_name.clone().unwrap_or_default(),
        der: key.key.as_der().to_vec(),
        chain: chain.into_iter().map(|bag| bag.cert.as_der().to_vec()).collect(),
    }
}
