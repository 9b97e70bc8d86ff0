//! A store of keys and certificates as Java's clients use them, PKCS12 or JKS. Pure: no clock, no IO.

mod jks;
mod pkcs12;

use std::fmt;

/// What a store contains. `{:?}` shows no key.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Store {
    /// The certificates that are trusted, in DER. Where [`Wanted::Trusted`] is asked for, also the own
    /// certificate of each key, which Java trusts too (`TrustStoreUtil`).
    pub trusted: Vec<Vec<u8>>,
    pub keys: Vec<Key>,
}

/// A private key and its certificates.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Its name in the store; it may be empty.
    pub alias: String,
    /// PKCS#8, in DER, not encrypted.
    pub der: Vec<u8>,
    /// The key's own certificate, then the one that signed it, and so on; each in DER.
    pub chain: Vec<Vec<u8>>,
}

/// The passwords that are given for a store.
#[derive(Clone, Copy, Default)]
pub(super) struct Passwords<'p> {
    pub store: Option<&'p str>,
    /// That of the keys in it, where it is another one.
    pub key: Option<&'p str>,
}

/// Which of a store's contents is wanted: in JKS keys have passwords of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Trusted,
    Keys,
}

/// Why a store can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is PEM text.
    Pem,
    /// It is no store at all.
    NotAStore,
    /// It is a store of a kind that is not read; holds which.
    Unsupported(String),
    /// No password is given, and it needs one.
    NoPassword,
    WrongPassword,
    /// The password of the store is right, that of the key is not.
    KeyPassword,
    /// Its first bytes are right, and then it ends early or contains what can't be; holds where.
    Damaged(String),
}

/// Reads a store of either kind, by its first bytes: `ssl.truststore.type=JKS` is Java's default and is
/// written for both.
pub(super) fn read(bytes: &[u8], passwords: Passwords<'_>, wanted: Wanted) -> Result<Store, Refusal> {
    match bytes {
        [0xfe, 0xed, 0xfe, 0xed, ..] => jks::read(bytes, passwords, wanted),
        [0xce, 0xce, 0xce, 0xce, ..] => Err(Refusal::Unsupported("a JCEKS store".to_owned())),
        // A DER sequence with a length of more than one byte.
        [0x30, 0x80..=0x84, ..] => pkcs12::read(bytes, passwords, wanted),
        _ if memchr::memmem::find(bytes, b"-----BEGIN ").is_some() => Err(Refusal::Pem),
        _ => Err(Refusal::NotAStore),
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({} trusted, {:?})", self.trusted.len(), self.keys)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, {} certificates)", self.alias, self.chain.len())
    }
}

#[cfg(test)]
mod tests;
