//! Where an endpoint listens.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use anyhow::Context as _;

/// Where to listen: `HOST:PORT`, or `:PORT` for all of this machine's addresses, as
/// Prometheus' exporters have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not HOST:PORT (127.0.0.1:9100) or :PORT (all addresses)");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Self { host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port })
    }
}

impl Address {
    /// Takes the address, so that one that is in use is known before anything is consumed.
    ///
    /// `flag` is named in an error.
    pub(crate) fn bind(&self, flag: &str) -> anyhow::Result<TcpListener> {
        let listener = if self.host.is_empty() {
            let any: [SocketAddr; 2] =
                [(Ipv6Addr::UNSPECIFIED, self.port).into(), (Ipv4Addr::UNSPECIFIED, self.port).into()];
            TcpListener::bind(&any[..])
        } else {
            TcpListener::bind((self.host.as_str(), self.port))
        };
        let listener = listener.with_context(|| format!("{flag} {self}"))?;
        listener.set_nonblocking(true).with_context(|| flag.to_owned())?;
        Ok(listener)
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
        assert_eq!(read("[::1]:9100"), Some(("::1".into(), 9100)));
        assert_eq!(read(":9100"), Some((String::new(), 9100)));
        for wrong in ["9100", "localhost", "localhost:", "localhost:65536", "http://localhost"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
