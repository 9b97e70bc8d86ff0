//! What librdkafka says of a broker, in its parts: whose address, and the words. Pure: no clock, no IO.

/// Whose address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// One that the user gave.
    Bootstrap,
    /// The broker of this id, as the cluster advertises it.
    Broker(i32),
    /// The coordinator of the client's group: a broker whose id is not said.
    Coordinator,
}

impl Role {
    /// Whether the cluster advertises it.
    pub(super) fn is_advertised(self) -> bool {
        self != Self::Bootstrap
    }
}

/// What librdkafka said of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said<'a> {
    /// Empty for plain text, and where it is not said.
    pub protocol: &'a str,
    /// `host:port`.
    pub address: &'a str,
    pub role: Role,
    pub words: &'a str,
}

/// Parts `[thrd:…]: [protocol://]host:port/ID: words`, and `GroupCoordinator: host:port: words`.
pub(super) fn split_broker(text: &str) -> Option<Said<'_>> {
    let text = match text.strip_prefix("[thrd:") {
        Some(rest) => rest.split_once("]: ").map_or(rest, |(_, text)| text),
        None => text,
    };
    let (name, words) = text.split_once(": ")?;
    let (protocol, address, role, words) = if name == "GroupCoordinator" {
        let (address, words) = words.split_once(": ")?;
        ("", address, Role::Coordinator, words)
    } else {
        let (protocol, name) = name.split_once("://").unwrap_or(("", name));
        let (address, id) = name.rsplit_once('/')?;
        (protocol, address, id.parse().map_or(Role::Bootstrap, Role::Broker), words)
    };
    let is_address = !address.contains(' ') && address.contains(':');
    is_address.then_some(Said { protocol, address, role, words })
}
