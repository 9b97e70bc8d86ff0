//! Which headers of a request become headers of its records. Pure: no clock, no IO.

use std::str::FromStr;

use anyhow::{bail, ensure};
use hyper::HeaderMap;
use hyper::header::HeaderName;

use super::settings::{CopyHeader, Topic};
use crate::record::OwnedHeader;

/// Copied always: they name the request or its trace, which is their purpose.
const ALWAYS: [&str; 4] = ["idempotency-key", "webhook-id", "traceparent", "tracestate"];

/// Whether a header carries a secret, or a signature that one made: never copied.
fn is_secret(name: &str) -> bool {
    matches!(name, "authorization" | "authentication-info" | "cookie" | "cookie2" | "set-cookie")
        || name.starts_with("proxy-")
        || ["signature", "secret", "password", "api-key", "apikey"].iter().any(|part| name.contains(part))
        || name.ends_with("-token")
}

/// Headers that are about the transfer of this body, and not about what is in it: a value that was decompressed is no
/// longer what `content-encoding` says.
const OF_TRANSFER: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl FromStr for CopyHeader {
    type Err = anyhow::Error;

    /// A name in any letter case, or what names begin with and `*`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let lower = text.to_ascii_lowercase();
        let (name, is_prefix) = match lower.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (lower.as_str(), false),
        };
        // A * within a name would be a name by HTTP's rules, but nobody means that.
        let is_token = !name.contains('*') && HeaderName::from_bytes(name.as_bytes()).is_ok();
        let is_token = is_token || (is_prefix && name.is_empty());
        ensure!(is_token, "{text:?} is not the name of a header, nor X-NAME-* for all that begin so");
        if is_prefix {
            return Ok(Self::Prefix(name.to_owned()));
        }
        if is_secret(name) {
            bail!("{text} carries a secret or a signature: it is never copied into records");
        }
        Ok(Self::Name(name.to_owned()))
    }
}

impl CopyHeader {
    fn takes(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

/// The headers of a request that its records get: names in lower case, values as they came. The values of
/// one name keep their order.
pub(crate) fn copied<'a>(
    headers: &'a HeaderMap,
    topic: &'a Topic,
) -> impl Iterator<Item = OwnedHeader> + use<'a> {
    let is_copied =
        |name: &str| ALWAYS.contains(&name) || topic.copy_headers.iter().any(|copied| copied.takes(name));
    let is_secret = |name: &HeaderName| is_secret(name.as_str()) || topic.signature_headers.contains(name);
    headers
        .iter()
        .filter(move |(name, _)| is_copied(name.as_str()) && !is_secret(name))
        .filter(|(name, _)| !OF_TRANSFER.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str().as_bytes().to_vec(), Some(value.as_bytes().to_vec())))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn read(text: &str) -> anyhow::Result<CopyHeader> {
        text.parse()
    }

    #[test]
    fn a_name_or_a_beginning_of_names_is_copied() {
        assert_eq!(read("X-GitHub-Event").unwrap(), CopyHeader::Name("x-github-event".into()));
        assert_eq!(read("X-GitHub-*").unwrap(), CopyHeader::Prefix("x-github-".into()));
        assert_eq!(read("*").unwrap(), CopyHeader::Prefix(String::new()));
        for text in ["", "a b", "*-a", "a:b", "**"] {
            assert!(read(text).unwrap_err().to_string().contains("is not the name of a header"), "{text}");
        }
        for text in [
            "Authorization",
            "cookie",
            "Proxy-Authorization",
            "X-Hub-Signature-256",
            "Stripe-Signature",
            "webhook-signature",
        ] {
            assert!(read(text).unwrap_err().to_string().contains("never copied"), "{text}");
        }
    }

    #[test]
    fn secrets_stay_behind_and_what_names_a_request_is_always_copied() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("Authorization", "Bearer secret"),
            ("Cookie", "secret"),
            ("Proxy-Authorization", "secret"),
            ("Proxy-Anything", "secret"),
            ("X-Hub-Signature", "secret"),
            ("X-Slack-Signature", "secret"),
            ("svix-signature", "secret"),
            ("X-Mac", "secret"),
            ("X-GitHub-Event", "push"),
            ("Idempotency-Key", "k"),
            ("Webhook-Id", "w"),
            ("traceparent", "00-1-2-01"),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
            ("Accept", "*/*"),
        ] {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static(value));
        }
        let names = |copy: &[&str]| {
            let topic = Topic {
                copy_headers: copy.iter().map(|text| read(text).unwrap()).collect(),
                signature_headers: vec![HeaderName::from_static("x-mac")],
                ..Topic::default()
            };
            let mut copied: Vec<String> = copied(&headers, &topic)
                .map(|(name, value)| format!("{}={}", name.escape_ascii(), value.unwrap().escape_ascii()))
                .collect();
            copied.sort();
            copied.join(" ")
        };
        let always = "idempotency-key=k traceparent=00-1-2-01 tracestate=a=1 tracestate=b=2 webhook-id=w";
        assert_eq!(names(&[]), always);
        assert_eq!(names(&["traceparent", "webhook-*"]), always);
        assert_eq!(names(&["x-*"]), format!("{always} x-github-event=push"));
        assert_eq!(names(&["*"]), format!("accept=*/* {always} x-github-event=push"));
    }
}
