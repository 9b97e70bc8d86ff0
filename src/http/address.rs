//! Where an endpoint listens.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::str::FromStr;

use anyhow::Context as _;

/// Where to listen: `HOST:PORT`, or `:PORT` for all of this machine's addresses, as
/// Prometheus' exporters have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

/// Where to listen, where the port may be left out: `HOST`, `HOST:PORT` or `:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    host: String,
    pub(crate) port: Option<u16>,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        split(text).ok_or_else(|| {
            format!("{text:?} is not HOST, HOST:PORT (127.0.0.1:9092, [::1]:9092) or :PORT (all addresses)")
        })
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = split(text).and_then(|Listen { host, port }| Some(Self { host, port: port? }));
        address.ok_or_else(|| {
            format!("{text:?} is not HOST:PORT (127.0.0.1:8080, [::1]:8080) or :PORT (all addresses)")
        })
    }
}

/// The host, without the brackets of an IPv6 address, and the port; an empty host is all addresses.
fn split(text: &str) -> Option<Listen> {
    // An IPv6 address has colons of its own.
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some(Listen { host: text.to_owned(), port: None });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (text, None),
    };
    if let Some(bracketed) = host.strip_prefix('[') {
        let host = bracketed.strip_suffix(']')?;
        return host.parse::<Ipv6Addr>().is_ok().then(|| Listen { host: host.to_owned(), port });
    }
    // A port alone is no host, and the system would read any number as an IPv4 address.
    let is_number = host.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let is_host = if host.is_empty() { port.is_some() } else { is_name && !is_number };
    is_host.then(|| Listen { host: host.to_owned(), port })
}

impl Listen {
    /// With this port where it names none.
    pub(crate) fn with(&self, port: u16) -> Address {
        Address { host: self.host.clone(), port: self.port.unwrap_or(port) }
    }
}

impl Address {
    /// Takes the address, so that one that is in use is known before anything is consumed.
    ///
    /// `flag` is named in an error.
    pub(crate) fn bind(&self, flag: &str) -> anyhow::Result<TcpListener> {
        let listener = self.bound().with_context(|| format!("{flag} {self}"))?;
        listener.set_nonblocking(true).with_context(|| flag.to_owned())?;
        Ok(listener)
    }

    /// The first of its addresses that can be taken.
    fn bound(&self) -> io::Result<TcpListener> {
        let of = |ips: [IpAddr; 2]| TcpListener::bind(&ips.map(|ip| SocketAddr::new(ip, self.port))[..]);
        match self.host.as_str() {
            // The first one is for IPv4 too, where the system has IPv6 at all.
            "" => of([Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()]),
            // Clients try both addresses. IPv4 is there on all systems.
            "localhost" => of([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
            host => TcpListener::bind((host, self.port)),
        }
    }

    /// The host as it was given; empty for all addresses.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Address {
    /// Whether only this machine reaches it. A name is looked up; `flag` is named in an error.
    pub(crate) fn is_loopback(&self, flag: &str) -> anyhow::Result<bool> {
        if self.host.is_empty() {
            return Ok(false);
        }
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let mut found = found.with_context(|| format!("{flag} {self}"))?;
        Ok(found.all(|address| address.ip().to_canonical().is_loopback()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let read = |text: &str| text.parse::<Address>().map(|a| (a.host, a.port)).ok();
        assert_eq!(read("127.0.0.1:9100"), Some(("127.0.0.1".into(), 9100)));
        assert_eq!(read("localhost:0"), Some(("localhost".into(), 0)));
        assert_eq!(read("my-host_1.example:80"), Some(("my-host_1.example".into(), 80)));
        assert_eq!(read("[::1]:9100"), Some(("::1".into(), 9100)));
        assert_eq!(read(":9100"), Some((String::new(), 9100)));
        for wrong in [
            "",
            ":",
            "9100",
            "localhost",
            "localhost:",
            "localhost:65536",
            "localhost:-1",
            "http://localhost",
            "http://localhost:80",
            "::1",
            "::1:9100:",
            "[::1]",
            "[::1",
            "::1]:80",
            "[localhost]:80",
            "a b:80",
            "9100:80",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_port_may_be_left_out_where_there_is_a_usual_one() {
        let read = |text: &str| text.parse::<Listen>().map(|l| l.with(9092).to_string()).ok();
        assert_eq!(read("0.0.0.0").as_deref(), Some("0.0.0.0:9092"));
        assert_eq!(read("localhost:9").as_deref(), Some("localhost:9"));
        assert_eq!(read("::1").as_deref(), Some("[::1]:9092"));
        assert_eq!(read("[::1]").as_deref(), Some("[::1]:9092"));
        assert_eq!(read("[::1]:9").as_deref(), Some("[::1]:9"));
        assert_eq!(read(":9").as_deref(), Some(":9"));
        for wrong in ["", ":", "9092", "localhost:", "http://localhost"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_address_that_is_taken_is_named() {
        let localhost = "localhost:0".parse::<Address>().unwrap().bind("--listen").unwrap();
        let taken = localhost.local_addr().unwrap();
        assert!(taken.ip().is_loopback() && taken.is_ipv4());
        let again = format!("127.0.0.1:{}", taken.port());
        let error = again.parse::<Address>().unwrap().bind("--listen").unwrap_err();
        assert_eq!(error.to_string(), format!("--listen {again}"));
        assert!(format!("{error:#}").contains("Address already in use"), "{error:#}");
        let all = ":0".parse::<Address>().unwrap().bind("--listen").unwrap();
        assert!(all.local_addr().unwrap().ip().is_unspecified());
    }
}
