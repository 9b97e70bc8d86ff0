//! Which pages of browsers may send requests: `Host`, `Origin`, CORS. Pure: no clock, no IO.
//!
//! Any page can send a browser's request to any address that the browser reaches, loopback included, and some of
//! them without asking first. What kq then sees is the page's `Origin`; or, where the page's own name was made to
//! lead to this address (DNS rebinding), that name in `Host`.

use std::net::IpAddr;

use anyhow::bail;
use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};

use super::access::forbidden;
use crate::serve::problem::Problem;

/// Seconds for which a browser remembers the answer to a preflight.
const MAX_AGE: &str = "600";

/// Headers of an answer.
pub(crate) type Headers = Vec<(HeaderName, HeaderValue)>;

/// The origins and names that are configured.
#[derive(Debug)]
pub(super) struct Browsers {
    origins: Origins,
    hosts: Vec<String>,
}

#[derive(Debug)]
enum Origins {
    Any,
    Listed(Vec<String>),
}

/// How far a request's origin is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// Nothing in the request shows that its sender knows a secret.
    Always,
    /// Only against a list that is given.
    IfListed,
}

impl Browsers {
    /// Reads `--cors-origin` and `--allow-host`.
    pub(super) fn new(origins: &[String], hosts: &[String]) -> anyhow::Result<Self> {
        let listed = origins.iter().filter(|origin| *origin != "*");
        let listed = listed.map(|text| origin(text)).collect::<Result<_, _>>()?;
        let is_any = origins.iter().any(|origin| origin == "*");
        let hosts = hosts.iter().map(|text| host(text)).collect::<Result<_, _>>()?;
        Ok(Self { origins: if is_any { Origins::Any } else { Origins::Listed(listed) }, hosts })
    }

    /// Refuses a name that does not lead to loopback by itself and is not one of `--allow-host`.
    pub(super) fn check_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let mut values = headers.get_all(header::HOST).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Problem::bad_request(
                "the request has no Host, or more than one (RFC 9112, section 3.2)",
            ));
        };
        let name = value.to_str().ok().and_then(name);
        match name {
            Some(name) if is_loopback(&name) || self.hosts.contains(&name) => Ok(()),
            name => {
                let name =
                    name.map_or_else(|| "the Host".to_owned(), |name| format!("the Host {}", short(&name)));
                let detail = format!("{name} is not a name of loopback: --allow-host adds names");
                Err(forbidden("host_not_allowed", detail))
            }
        }
    }

    /// Refuses a page of an origin that is not allowed. A request without `Origin` is not a browser's, or is a plain
    /// GET.
    ///
    /// That the origin is the name in `Host` does not help: after DNS rebinding it is.
    pub(super) fn check_origin(&self, headers: &HeaderMap, care: Care) -> Result<(), Problem> {
        let is_listed = !matches!(&self.origins, Origins::Listed(list) if list.is_empty());
        if !headers.contains_key(header::ORIGIN) || (care == Care::IfListed && !is_listed) {
            return Ok(());
        }
        if self.allowed(headers).is_some() {
            return Ok(());
        }
        let origin = one(headers, &header::ORIGIN).map_or_else(String::new, short);
        Err(forbidden(
            "origin_not_allowed",
            format!("the Origin {origin} is not allowed: --cors-origin adds origins"),
        ))
    }

    /// What the answer to a preflight has besides [`Browsers::answer`], or `None` where the request is not one.
    pub(super) fn preflight(&self, headers: &HeaderMap) -> Result<Option<Headers>, Problem> {
        if !headers.contains_key(header::ORIGIN)
            || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        {
            return Ok(None);
        }
        if self.allowed(headers).is_none() {
            self.check_origin(headers, Care::Always)?;
        }
        let mut answer = vec![(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"))];
        // Names of headers cannot be listed beforehand: Kafka-Header-*, ce-*.
        if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            answer.push((header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone()));
        }
        answer.push((header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE)));
        Ok(Some(answer))
    }

    /// What each answer carries, errors too: a page could not read it otherwise.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Headers {
        if matches!(&self.origins, Origins::Listed(list) if list.is_empty()) {
            return Headers::new();
        }
        let mut answer = Headers::new();
        if let Origins::Listed(_) = self.origins {
            // A cache must not give one origin's answer to another.
            answer.push((header::VARY, HeaderValue::from_static("Origin")));
        }
        if let Some(origin) = self.allowed(headers) {
            answer.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin));
            let exposed = HeaderValue::from_static("Kq-Request-Id, Retry-After");
            answer.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed));
        }
        answer
    }

    /// The value of `Access-Control-Allow-Origin`, for an origin that is allowed.
    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut values = headers.get_all(header::ORIGIN).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        match &self.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::Listed(list) => {
                let text = origin(value.to_str().ok()?).ok()?;
                list.contains(&text).then(|| value.clone())
            }
        }
    }
}

/// An origin as browsers write it (RFC 6454, section 6.2): `scheme://host[:port]`, without the scheme's own port.
fn origin(text: &str) -> anyhow::Result<String> {
    let lower = text.to_ascii_lowercase();
    let parts = lower.split_once("://").filter(|(scheme, rest)| {
        let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        is_scheme && !scheme.is_empty() && name(rest).is_some()
    });
    let Some((scheme, authority)) = parts else {
        bail!("{text:?} is not an origin: https://app.example, or https://app.example:8443, without a path");
    };
    let port = own_port(scheme).unwrap_or("");
    let authority = authority.strip_suffix(port).and_then(|rest| rest.strip_suffix(':')).unwrap_or(authority);
    Ok(format!("{scheme}://{authority}"))
}

/// The port that a scheme has by itself.
fn own_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "http" => Some("80"),
        "https" => Some("443"),
        _ => None,
    }
}

/// The name in `--allow-host`.
fn host(text: &str) -> anyhow::Result<String> {
    let Some(name) = name(text) else { bail!("{text:?} is not a name of a host, such as kq.example") };
    Ok(name)
}

/// The name in `NAME[:PORT]`, in lower case, without the dot of a full name and the brackets of an IPv6 address.
fn name(authority: &str) -> Option<String> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').filter(|(name, _)| name.contains(':'))?,
        None => authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon)),
    };
    let is_port = port.strip_prefix(':').is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte) || !byte.is_ascii();
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_right = !name.is_empty()
        && name.bytes().all(is_name)
        && is_port
        && (port.is_empty() || port.starts_with(':'));
    is_right.then(|| name.to_ascii_lowercase())
}

/// Whether a name can't be made to lead to another machine, or from another machine to this one.
fn is_loopback(name: &str) -> bool {
    // RFC 6761, section 6.3.
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// The one value of a header, as text.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok()
}

/// A value for an error: what is long is cut.
fn short(text: &str) -> String {
    let mut short: String = text.chars().take(64).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
