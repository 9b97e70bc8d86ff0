//! Brokers as users give them: whether each is an address, its protocol, and its host. Pure: no clock, no IO.

use std::net::{IpAddr, Ipv6Addr};

use anyhow::bail;

/// One of `[protocol://]host[:port]`, in its parts.
struct Broker<'a> {
    protocol: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
}

impl<'a> Broker<'a> {
    /// An IPv6 address stands in brackets, or bare and without a port; `%` begins its zone.
    fn parse(text: &'a str) -> Option<Self> {
        let (protocol, address) = match text.split_once("://") {
            Some((protocol, address)) => (Some(protocol), address),
            None => (None, text),
        };
        let (host, rest) = match address.strip_prefix('[') {
            Some(address) => address.split_once(']')?,
            None if address.matches(':').count() > 1 => (address, ""),
            None => address.split_at(address.find(':').unwrap_or(address.len())),
        };
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        let is_v6 = || host.split('%').next().is_some_and(|host| host.parse::<Ipv6Addr>().is_ok());
        let is_host = |c: char| !c.is_whitespace() && c != '/';
        let is_right = !host.is_empty() && host.chars().all(is_host);
        let wants_v6 = host.contains(':') || address.starts_with('[');
        (is_right && (!wants_v6 || is_v6())).then_some(Self { protocol, host, port })
    }
}

/// Brokers as given, without blanks and empty entries; an entry that is not an address is an error.
pub(super) fn check(text: &str, origin: &str) -> anyhow::Result<String> {
    if text.contains(';') {
        bail!("{origin} `{text}`: commas separate brokers (write a:9092,b:9092)");
    }
    let brokers: Vec<&str> = text.split(',').map(str::trim).filter(|broker| !broker.is_empty()).collect();
    if brokers.is_empty() {
        bail!("{origin} `{text}` names no broker (write host:port, or several with commas)");
    }
    for broker in &brokers {
        if let Some((protocol, _)) = broker.split_once("://")
            && !["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
                .contains(&protocol.to_ascii_lowercase().as_str())
        {
            bail!("{origin} `{broker}`: a broker is host:port, without `{protocol}://`");
        }
        let Some(Broker { port, .. }) = Broker::parse(broker) else {
            bail!("{origin} `{broker}` is not host:port");
        };
        if let Some(port) = port
            && !port.parse::<u16>().is_ok_and(|port| port > 0)
        {
            bail!("{origin} `{broker}`: `{port}` is not a port (1 to 65535)");
        }
    }
    Ok(brokers.join(","))
}

/// Refuses a broker whose `protocol://` is not the connection's: librdkafka would ignore it without a message.
pub(super) fn check_protocols(brokers: &str, origin: &str, protocol: &str) -> anyhow::Result<()> {
    for broker in brokers.split(',') {
        let Some(its) = Broker::parse(broker).and_then(|broker| broker.protocol) else { continue };
        let flags = match its.to_ascii_lowercase().as_str() {
            its if its == protocol => continue,
            "ssl" => "give --tls, or ",
            "sasl_ssl" => "give --tls and --sasl-mechanism, or ",
            "sasl_plaintext" => "give --no-tls and --sasl-mechanism, or ",
            _ => "",
        };
        bail!("{origin} `{broker}`: the connection is {protocol} ({flags}leave `{its}://` out)");
    }
    Ok(())
}

/// Whether every broker is this machine by name or address.
pub(super) fn all_on_loopback(brokers: &str) -> bool {
    brokers.split(',').all(|broker| {
        let Some(Broker { host, .. }) = Broker::parse(broker.trim()) else { return false };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_of_ipv6_is_bare_or_in_brackets() {
        for address in ["::1", "2001:db8::1", "[2001:db8::1]:9092", "[::1]", "fe80::1%eth0", "ssl://[::1]:1"]
        {
            assert_eq!(check(address, "-b").unwrap(), address);
        }
        for wrong in ["a:1:2", "kafka::9092", "[kafka]:9092", "[::1", "[::1]9092", "a/b:1", "ssl://"] {
            let error = check(wrong, "-b").unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}` is not host:port")), "{error}");
        }
    }

    #[test]
    fn a_port_is_a_number_whatever_the_host_ends_in() {
        for wrong in ["a:", "a:0", "a:99999", "a:9a", "[::1]:x"] {
            assert!(check(wrong, "-b").unwrap_err().to_string().contains("is not a port"), "{wrong}");
        }
    }

    #[test]
    fn loopback_is_known_by_name_and_by_address() {
        for brokers in ["localhost", "localhost:9092,127.0.0.1:1", "[::1]:9092", "::1", "a.localhost:1"] {
            assert!(all_on_loopback(brokers), "{brokers}");
        }
        for brokers in ["kafka:9092", "localhost:1,kafka:2", "10.0.0.1:9092", "localhost.example.com"] {
            assert!(!all_on_loopback(brokers), "{brokers}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_right_stays_right(text in "[a-z0-9:/%\\[\\], ;.é]{0,30}") {
            if let Ok(checked) = check(&text, "-b") {
                prop_assert_eq!(check(&checked, "-b").unwrap(), checked);
            }
        }
    }
}
