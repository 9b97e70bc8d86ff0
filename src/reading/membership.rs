//! How a group's members share its partitions: the protocol they speak, and what each needs to be told.

use std::time::Duration;

use anyhow::{bail, ensure};

use crate::config::Config;
use crate::named::Named;

/// `--group-protocol`: who assigns the partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The members do, by an [`Assignor`].
    Classic,
    /// The brokers do, without stopping the others (KIP-848).
    Consumer,
}

impl Named for GroupProtocol {
    const ALL: &'static [Self] = &[Self::Classic, Self::Consumer];

    fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// `--assignor`: how the members assign the partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assignor {
    /// Partitions that stay are never interrupted.
    #[default]
    CooperativeSticky,
    Range,
    RoundRobin,
}

impl Named for Assignor {
    const ALL: &'static [Self] = &[Self::CooperativeSticky, Self::Range, Self::RoundRobin];

    fn name(self) -> &'static str {
        match self {
            Self::CooperativeSticky => "cooperative-sticky",
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
        }
    }
}

/// How a member and its group share the partitions.
#[derive(Clone, Copy, Debug)]
pub struct Sharing {
    pub protocol: GroupProtocol,
    /// Where one was asked for.
    pub assignor: Option<Assignor>,
}

impl Sharing {
    /// Whether the group may leave a member without a word that it has nothing for it.
    pub fn is_silent(self) -> bool {
        self.protocol == GroupProtocol::Consumer
    }
}

/// What the brokers decide with the consumer protocol: librdkafka refuses to start with one of these.
const OF_THE_BROKERS: [&str; 4] =
    ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type"];

/// The client's properties for a member that shares so.
pub fn properties(sharing: Sharing, config: &Config) -> anyhow::Result<Vec<(&'static str, &'static str)>> {
    if sharing.protocol == GroupProtocol::Classic {
        let assignor = sharing.assignor.unwrap_or_default().name();
        return Ok(vec![("group.protocol", "classic"), ("partition.assignment.strategy", assignor)]);
    }
    if let Some(name) = OF_THE_BROKERS.iter().find(|name| config.is_given(name)) {
        bail!(
            "-X {name} does not go with --group-protocol consumer, where the brokers decide it: leave one of them out"
        );
    }
    ensure!(
        sharing.assignor.is_none(),
        "--assignor does not go with --group-protocol consumer, where the brokers assign \
         (-X group.remote.assignor=range names one of theirs)"
    );
    let mut properties = vec![("group.protocol", "consumer")];
    if !config.log.shows(3) {
        // What `is_unsupported` reads; with -vvv it is among librdkafka's debug lines anyhow.
        properties.push(("debug", "cgrp"));
    }
    Ok(properties)
}

/// A member that got no partition for so long has nothing to read: the group has enough others. `silently`:
/// with the consumer protocol nobody says so, and partitions of one that died stay its own for a session.
pub fn patience(silently: bool) -> Duration {
    Duration::from_secs(if silently { 60 } else { 10 })
}

/// A join that takes longer is told of, with what it may wait for.
pub const LONG_JOIN: Duration = Duration::from_secs(5);

/// What to say where a member waits long for its share.
pub const JOINING: &str = "the group has not let this member in yet: one that died is waited for until its session \
     ends, one that is busy until it has drained";
