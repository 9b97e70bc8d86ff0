//! Addresses that the cluster advertises and that can't be used: whose they are, and the sentences. Pure: no clock, no IO.

use std::time::Duration;

use super::cause::Cause;
use super::said::Role;

/// An address that the cluster advertises, and that can't be used. Only the cluster's own
/// configuration, `advertised.listeners`, or the network can mend that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Which address of which broker, and what is wrong with it.
    pub(crate) sentence: String,
    /// How long it may last before it is worth a note.
    pub(crate) patience: Duration,
    /// How long it took to show.
    pub(crate) hidden: Duration,
}

/// How long a name that does not resolve, or a port that refuses, is not worth a note: a broker that
/// restarts is such for a moment.
pub(super) const PATIENCE: Duration = Duration::from_millis(1200);

/// How long a client waits for an answer at the least, with the default time-out.
const SETUP: Duration = Duration::from_secs(4);

/// The fault of this address, `host:port`.
pub(super) fn fault(address: &str, role: Role, cause: &Cause) -> Fault {
    let who = match role {
        Role::Broker(id) => format!("broker {id}"),
        Role::Coordinator | Role::Bootstrap => "the group's coordinator".to_owned(),
    };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let (sentence, hidden) = match cause {
        Cause::Unresolved(_) => (
            format!("can't resolve {host}, which the cluster advertises for {who} (advertised.listeners)"),
            Duration::ZERO,
        ),
        Cause::Refused => (
            format!(
                "{address}, which the cluster advertises for {who}, refuses connections (advertised.listeners)"
            ),
            Duration::ZERO,
        ),
        Cause::TimedOut | Cause::Silent | Cause::SilentHandshake => (
            format!(
                "{address}, which the cluster advertises for {who}, does not answer (advertised.listeners)"
            ),
            SETUP,
        ),
        cause => {
            (format!("{address}, which the cluster advertises for {who}: {}", cause.sentence().0), PATIENCE)
        }
    };
    Fault { sentence, patience: PATIENCE, hidden }
}
