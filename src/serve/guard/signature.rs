//! Signatures over a body as it came, in the ways of GitHub, Stripe, Standard Webhooks, and a plain HMAC in a
//! header. Pure: no clock, no IO.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::secrets::Secrets;
use crate::serve::settings::Scheme;

/// Seconds by which a time stamp may differ from kq's clock, as the vendors' libraries have it.
const TOLERANCE: u64 = 300;

const GITHUB: &str = "x-hub-signature-256";
const STRIPE: &str = "stripe-signature";
/// Standard Webhooks, and the names that Svix had before.
const STANDARD: [&str; 2] = ["webhook", "svix"];

/// With its padding or without it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a request's headers say of its signature.
#[derive(Debug, PartialEq, Eq)]
struct Signed {
    /// The signed text before the body.
    before: Vec<u8>,
    /// Any of them may be the right one.
    signatures: Vec<[u8; 32]>,
}

/// The header of a scheme, as people write it.
pub(super) fn header_name(scheme: &Scheme) -> String {
    match scheme {
        Scheme::GitHub => "X-Hub-Signature-256".to_owned(),
        Scheme::Stripe => "Stripe-Signature".to_owned(),
        Scheme::Standard => "webhook-signature".to_owned(),
        Scheme::Hmac(name) => name.as_str().to_owned(),
    }
}

/// Whether a request has this scheme's signature, right or wrong.
pub(super) fn is_in(headers: &HeaderMap, scheme: &Scheme) -> bool {
    match scheme {
        Scheme::GitHub => headers.contains_key(GITHUB),
        Scheme::Stripe => headers.contains_key(STRIPE),
        Scheme::Standard => STANDARD.iter().any(|prefix| headers.contains_key(format!("{prefix}-signature"))),
        Scheme::Hmac(name) => headers.contains_key(name),
    }
}

/// Whether one of these secrets signed the body. An error says what is wrong, in a sentence.
pub(super) fn check(
    scheme: &Scheme,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[Arc<Secrets>],
    now: SystemTime,
) -> Result<(), String> {
    let signed = match scheme {
        Scheme::GitHub => github(headers),
        Scheme::Stripe => stripe(headers, now),
        Scheme::Standard => standard(headers, now),
        Scheme::Hmac(name) => plain(headers, name),
    }?;
    let text: [&[u8]; 2] = [&signed.before, body];
    if secrets.iter().any(|secrets| secrets.have_signed(&signed.signatures, text)) {
        return Ok(());
    }
    let header = header_name(scheme);
    Err(format!("{header} is not the signature of this body with a secret that is known here"))
}

/// `X-Hub-Signature-256: sha256=HEX`.
///
/// Source: <https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries>
fn github(headers: &HeaderMap) -> Result<Signed, String> {
    let value = text(headers, GITHUB)?;
    let signature = value.strip_prefix("sha256=").and_then(hex);
    let signature = signature.ok_or_else(|| format!("{GITHUB} is not sha256= and 64 hexadecimal digits"))?;
    Ok(Signed { before: Vec::new(), signatures: vec![signature] })
}

/// `Stripe-Signature: t=SECONDS,v1=HEX[,v1=HEX…]`; other items count for nothing. Signed: `SECONDS.BODY`.
///
/// Source: <https://docs.stripe.com/webhooks/signature>
fn stripe(headers: &HeaderMap, now: SystemTime) -> Result<Signed, String> {
    let value = text(headers, STRIPE)?;
    let items = || value.split(',').filter_map(|item| item.trim().split_once('='));
    let mut times = items().filter(|(name, _)| *name == "t").map(|(_, time)| time);
    let (Some(time), None) = (times.next(), times.next()) else {
        return Err(format!("{STRIPE} has no time, or more than one (t=…)"));
    };
    is_fresh(time, now)?;
    let signatures: Vec<_> =
        items().filter(|(name, _)| *name == "v1").filter_map(|(_, value)| hex(value)).collect();
    if signatures.is_empty() {
        return Err(format!("{STRIPE} has no signature of the scheme v1"));
    }
    Ok(Signed { before: format!("{time}.").into_bytes(), signatures })
}

/// `webhook-id`, `webhook-timestamp: SECONDS`, `webhook-signature: v1,BASE64[ v1,BASE64…]`, or the same with `svix-`;
/// other versions of a signature count for nothing. Signed: `ID.SECONDS.BODY`.
///
/// Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
fn standard(headers: &HeaderMap, now: SystemTime) -> Result<Signed, String> {
    let has = |prefix: &&&str| headers.contains_key(format!("{prefix}-signature"));
    let prefix = STANDARD.iter().find(has).unwrap_or(&STANDARD[0]);
    let header = |name: &str| text(headers, &format!("{prefix}-{name}"));
    let (id, time, list) = (header("id")?, header("timestamp")?, header("signature")?);
    // The parts are joined by dots: with one in the id, two different messages could have one signed text.
    if id.is_empty() || id.contains('.') {
        return Err(format!("{prefix}-id is empty, or contains a dot"));
    }
    is_fresh(time, now)?;
    let signatures: Vec<_> =
        list.split(' ').filter_map(|item| item.strip_prefix("v1,")).filter_map(base64).collect();
    if signatures.is_empty() {
        return Err(format!("{prefix}-signature has no signature of the version v1"));
    }
    Ok(Signed { before: format!("{id}.{time}.").into_bytes(), signatures })
}

/// The HMAC of the body alone, in hexadecimal digits or base64, after `sha256=` or without it.
fn plain(headers: &HeaderMap, name: &HeaderName) -> Result<Signed, String> {
    let value = text(headers, name.as_str())?;
    let value = value.strip_prefix("sha256=").unwrap_or(value);
    let signature = hex(value).or_else(|| base64(value));
    let signature =
        signature.ok_or_else(|| format!("{name} is not an HMAC-SHA256 in hexadecimal digits or base64"))?;
    Ok(Signed { before: Vec::new(), signatures: vec![signature] })
}

/// The one value of a header, as visible ASCII.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, String> {
    let mut values = headers.get_all(name).iter();
    match (values.next().map(HeaderValue::to_str), values.next()) {
        (None, _) => Err(format!("the request has no {name}")),
        (Some(Ok(value)), None) => Ok(value.trim()),
        (Some(Err(_)), None) => Err(format!("{name} is not visible ASCII")),
        (Some(_), Some(_)) => Err(format!("{name} comes more than once")),
    }
}

/// Whether a time stamp, in seconds since the epoch, is near enough. A recorded request is refused later.
fn is_fresh(seconds: &str, now: SystemTime) -> Result<(), String> {
    let is_number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    let then: Option<u64> = is_number.then(|| seconds.parse().ok()).flatten();
    let then = then.ok_or("the signature's time is not a number of seconds")?;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if then.saturating_add(TOLERANCE) < now {
        return Err(format!("the signature is {} s old: more than {TOLERANCE} s are refused", now - then));
    }
    if then > now.saturating_add(TOLERANCE) {
        let ahead = then - now;
        return Err(format!(
            "the signature's time is {ahead} s ahead of this clock: more than {TOLERANCE} s"
        ));
    }
    Ok(())
}

/// 32 bytes from 64 hexadecimal digits.
fn hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let digits: Vec<u8> = text.bytes().map(digit).collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

/// 32 bytes from base64.
fn base64(text: &str) -> Option<[u8; 32]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests;
