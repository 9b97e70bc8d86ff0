//! JKS stores, Java's own format until Java 8. Pure: no clock, no IO.
//!
//! The format is that of `sun.security.provider.JavaKeyStore` of the JDK, the protection of keys that of
//! `sun.security.provider.KeyProtector`. The crate that reads it allocates by lengths from the file and
//! slices without a check, so a damaged file would end the process.

use sha1::{Digest as _, Sha1};

use super::{Key, Passwords, Refusal, Store, Wanted};

/// What Java adds to the password before it hashes the store.
const SALT: &[u8] = b"Mighty Aphrodite";
/// The length of a SHA-1 digest.
const DIGEST: usize = 20;
/// 1.3.6.1.4.1.42.2.17.1.1, Java's protection of keys, in DER.
const KEY_PROTECTOR: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];

/// Reads a store. Its certificates can be read without a password, as in Java: it then says nothing of
/// whether they were changed. If the trusted ones are wanted, each key's own is one of them, as in Java.
pub(super) fn read(bytes: &[u8], passwords: Passwords<'_>, wanted: Wanted) -> Result<Store, Refusal> {
    let cut = || Refusal::Damaged("it ends early".to_owned());
    let (content, digest) = bytes.split_at_checked(bytes.len().saturating_sub(DIGEST)).ok_or_else(cut)?;
    if let Some(password) = passwords.store
        && Sha1::new().chain_update(utf16(password)).chain_update(SALT).chain_update(content).finalize()[..]
            != *digest
    {
        return Err(Refusal::WrongPassword);
    }
    let mut fields = Fields(content);
    let _magic = fields.number()?;
    let version = fields.number()?;
    if !matches!(version, 1 | 2) {
        return Err(Refusal::Unsupported(format!("a JKS store of version {version}")));
    }
    let mut store = Store::default();
    for _ in 0..fields.number()? {
        let tag = fields.number()?;
        let alias = String::from_utf8_lossy(fields.short()?).into_owned();
        let _created = fields.take(8)?;
        match tag {
            1 => {
                let protected = fields.long()?;
                let mut chain = Vec::new();
                for _ in 0..fields.number()? {
                    chain.push(fields.certificate(version)?);
                }
                match wanted {
                    Wanted::Trusted => store.trusted.extend(chain.into_iter().next()),
                    Wanted::Keys => {
                        let password = passwords.key.or(passwords.store).ok_or(Refusal::NoPassword)?;
                        let der = unprotected(protected, password)?;
                        store.keys.push(Key { alias, der, chain });
                    }
                }
            }
            2 => store.trusted.push(fields.certificate(version)?),
            tag => return Err(Refusal::Damaged(format!("an entry of kind {tag}"))),
        }
    }
    Ok(store)
}

/// What is left of the store: each read takes its bytes away, and is an error where they are not there.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], Refusal> {
        let cut = || Refusal::Damaged("it ends early".to_owned());
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(cut)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Four bytes, the highest first.
    fn number(&mut self) -> Result<u32, Refusal> {
        Ok(self.take(4)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// Bytes after their length in two bytes.
    fn short(&mut self) -> Result<&'b [u8], Refusal> {
        let length = self.take(2)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        self.take(length)
    }

    /// Bytes after their length in four bytes.
    fn long(&mut self) -> Result<&'b [u8], Refusal> {
        let length = self.number()?;
        self.take(length as usize)
    }

    fn certificate(&mut self, version: u32) -> Result<Vec<u8>, Refusal> {
        if version == 2 {
            let kind = self.short()?;
            if !matches!(kind, b"X.509" | b"X509") {
                return Err(Refusal::Unsupported(
                    "a JKS store with certificates that are not X.509".to_owned(),
                ));
            }
        }
        Ok(self.long()?.to_vec())
    }
}

/// A password as Java hashes it.
fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// The key inside an `EncryptedPrivateKeyInfo` of Java's own cipher: 20 bytes of salt, the
/// exclusive or of the key and digests of the password, and a digest of both.
fn unprotected(protected: &[u8], password: &str) -> Result<Vec<u8>, Refusal> {
    let damaged = || Refusal::Damaged("a private key that can't be read".to_owned());
    let (info, _) = element(protected, 0x30).ok_or_else(damaged)?;
    let (algorithm, rest) = element(info, 0x30).ok_or_else(damaged)?;
    let (oid, _) = element(algorithm, 0x06).ok_or_else(damaged)?;
    let (sealed, _) = element(rest, 0x04).ok_or_else(damaged)?;
    if oid != KEY_PROTECTOR {
        return Err(Refusal::Unsupported("a JKS store with an unusual cipher".to_owned()));
    }
    let (salt, rest) = sealed.split_at_checked(DIGEST).ok_or_else(damaged)?;
    let (hidden, check) = rest
        .split_at_checked(rest.len().saturating_sub(DIGEST))
        .filter(|(_, c)| c.len() == DIGEST)
        .ok_or_else(damaged)?;
    let password = utf16(password);
    let mut block = salt.to_vec();
    let mut key = Vec::with_capacity(hidden.len());
    for hidden in hidden.chunks(DIGEST) {
        block = Sha1::new().chain_update(&password).chain_update(&block).finalize().to_vec();
        key.extend(hidden.iter().zip(&block).map(|(hidden, mask)| hidden ^ mask));
    }
    if Sha1::new().chain_update(&password).chain_update(&key).finalize()[..] != *check {
        return Err(Refusal::KeyPassword);
    }
    Ok(key)
}

/// The content of a DER element of this tag, and what stands behind it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(*length & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (*first == tag).then(|| rest.split_at_checked(length)).flatten()
}
