//! A file of secrets, with which senders sign. Pure: no clock, no IO.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;

use crate::serve::settings::Scheme;

/// The secrets of a file, as keys: none is shown by `{:?}`.
pub(super) struct Secrets(Vec<PKey<Private>>);

impl Secrets {
    /// Reads one secret a line. Empty lines and those that begin with `#` count for nothing.
    ///
    /// An error names the line and never shows its secret.
    pub(super) fn parse(bytes: &[u8], scheme: &Scheme) -> anyhow::Result<Self> {
        let mut keys = Vec::new();
        for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let text = text.trim_ascii();
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            let key = match scheme {
                Scheme::Standard => &standard(text).with_context(|| format!("line {line}"))?[..],
                Scheme::GitHub | Scheme::Stripe | Scheme::Hmac(_) => text,
            };
            keys.push(PKey::hmac(key).with_context(|| format!("line {line}"))?);
        }
        if keys.is_empty() {
            bail!("no secret: one is read from each line");
        }
        Ok(Self(keys))
    }

    /// Whether some secret signs this text with one of these signatures. Each is compared in constant time.
    pub(super) fn have_signed(&self, signatures: &[[u8; 32]], text: [&[u8]; 2]) -> bool {
        let mut is_right = false;
        for key in &self.0 {
            let Ok(own) = hmac(key, text) else { continue };
            for signature in signatures {
                is_right |= openssl::memcmp::eq(signature, &own);
            }
        }
        is_right
    }
}

/// HMAC-SHA256 (RFC 2104) of the parts, one after the other.
fn hmac(key: &PKey<Private>, parts: [&[u8]; 2]) -> anyhow::Result<[u8; 32]> {
    let mut signer = Signer::new(MessageDigest::sha256(), key)?;
    for part in parts {
        signer.update(part)?;
    }
    let mut own = [0; 32];
    signer.sign(&mut own)?;
    Ok(own)
}

/// The key in a secret of Standard Webhooks: base64, after `whsec_` or without it.
fn standard(secret: &[u8]) -> anyhow::Result<Vec<u8>> {
    let text = secret.strip_prefix(b"whsec_").unwrap_or(secret);
    // The cause would show a character of the secret.
    let key =
        STANDARD.decode(text).ok().context("not whsec_ and base64, as Standard Webhooks' secrets are")?;
    if key.is_empty() {
        bail!("whsec_ without a secret");
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8], scheme: &Scheme) -> String {
        Secrets::parse(bytes, scheme).err().map_or_else(String::new, |e| format!("{e:#}"))
    }

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let key = PKey::hmac(b"Jefe").unwrap();
        let own = hmac(&key, [b"what do ya want ", b"for nothing?"]).unwrap();
        let hex: String = own.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn each_line_is_a_secret() {
        let secrets = Secrets::parse(b"# old\nfirst one\r\n\n  second\n", &Scheme::GitHub).unwrap();
        let signed = |secret: &[u8]| hmac(&PKey::hmac(secret).unwrap(), [b"a", b"b"]).unwrap();
        for right in ["first one", "second"] {
            assert!(secrets.have_signed(&[signed(right.as_bytes())], [b"", b"ab"]), "{right}");
        }
        for wrong in ["first", "# old", "second\n", "x"] {
            assert!(!secrets.have_signed(&[signed(wrong.as_bytes())], [b"", b"ab"]), "{wrong}");
        }
        assert!(secrets.have_signed(&[[0; 32], signed(b"second")], [b"a", b"b"]), "any of several");
        assert!(!secrets.have_signed(&[], [b"a", b"b"]));
    }

    #[test]
    fn an_error_of_the_file_names_the_line_and_not_the_secret() {
        for scheme in [Scheme::GitHub, Scheme::Stripe, Scheme::Standard] {
            assert!(said(b"\n# x\n", &scheme).starts_with("no secret"), "{scheme:?}");
        }
        for (file, line) in [
            (&b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nwhsec_hunter2!"[..], "line 2: not whsec_"),
            (b"whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "line 1: not whsec_"),
            (b"whsec_", "line 1: whsec_ without a secret"),
        ] {
            let said = said(file, &Scheme::Standard);
            assert!(said.starts_with(line), "{said}");
            assert!(!said.contains("hunter") && !said.contains('!'), "{said}");
        }
        assert_eq!(said(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &Scheme::Standard), "");
        assert_eq!(said(b"whsec_hunter2!", &Scheme::Stripe), "", "Stripe's secrets are text as they stand");
    }
}
