//! How a group's members share its partitions: the protocol they speak, and the client's properties of each.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use crate::config::Config;
use crate::kafka::client::Departure;
use crate::named::Named;

/// `--group-protocol`: who assigns the partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupProtocol {
    /// The members do, by an [`Assignor`].
    Classic,
    /// The brokers do, without stopping the others (KIP-848).
    Consumer,
}

impl GroupProtocol {
    /// Whether the group may leave this member without telling it that it has nothing for it: the brokers
    /// have none for a share of nothing.
    pub(crate) fn joins_silently(self) -> bool {
        self == Self::Consumer
    }

    /// A member that got no partition for so long has nothing to read: the group has enough others.
    /// Where it joins silently, partitions of a member that died stay that one's own for a session.
    pub(crate) fn patience(self) -> Duration {
        Duration::from_secs(if self.joins_silently() { 60 } else { 10 })
    }
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
pub(crate) enum Assignor {
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
pub(crate) struct Sharing {
    pub protocol: GroupProtocol,
    /// Where one was asked for.
    pub assignor: Option<Assignor>,
}

/// What the brokers decide with the consumer protocol: librdkafka refuses to start with one of these.
const OF_THE_BROKERS: [&str; 4] =
    ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type"];

/// The client's properties for a member that shares so.
pub(crate) fn properties(
    sharing: Sharing,
    config: &Config,
) -> anyhow::Result<Vec<(&'static str, &'static str)>> {
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

/// A join that takes longer is noted, with what it may wait for.
const LONG_JOIN: Duration = Duration::from_secs(5);

/// The note of a member that waits long for its share.
pub(crate) const JOINING: &str = "the group has not let this member in yet: one that died is waited for until its session \
     ends, one that is busy until it has drained";

/// The note of a member that ends because it has nothing to read.
pub(crate) const LEFT_OUT: &str = "the group's other members have all partitions: nothing to do here";

/// The note of a member that ended and for which its group waits all the same, where that is so.
pub(crate) fn left_behind(departure: Departure) -> Option<String> {
    let Departure::Unknown { session } = departure else { return None };
    let limit = session.map_or_else(
        || "until its session ends".to_owned(),
        |session| format!("up to session.timeout.ms ({} s)", session.as_secs_f64()),
    );
    Some(format!("left the group without an answer: the group waits {limit} for this member"))
}

/// Whether a member has its share of the group's partitions, and since when. Pure: the clock is injected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joining {
    protocol: GroupProtocol,
    /// When the join, or the rebalance, began.
    began: Instant,
    /// When the group gave this member its share, which may be nothing; `None` while it is about to.
    joined: Option<Instant>,
    is_noted: bool,
}

impl Joining {
    /// Joins now.
    pub(crate) fn new(protocol: GroupProtocol, now: Instant) -> Self {
        Self { protocol, began: now, joined: protocol.joins_silently().then_some(now), is_noted: false }
    }

    /// The group is joined only now: before, there was no topic to join it for.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.revoked(now);
    }

    /// Since when it is as it is.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Partitions were assigned, if only none.
    pub(crate) fn assigned(&mut self, now: Instant) {
        self.joined = Some(now);
    }

    /// Partitions were taken away: a new assignment follows, if only of nothing.
    pub(crate) fn revoked(&mut self, now: Instant) {
        let Self { protocol, is_noted, .. } = *self;
        *self = Self { is_noted, ..Self::new(protocol, now) };
    }

    /// Since when this member has its share, as far as it can know.
    pub(crate) fn joined_since(&self) -> Option<Instant> {
        self.joined
    }

    /// Whether the note [`JOINING`] is due now; it comes once. In an outage it would not be true.
    pub(crate) fn is_worth_a_note(&mut self, now: Instant, is_in_reach: bool) -> bool {
        let is_long = self.joined.is_none() && now.saturating_duration_since(self.began) >= LONG_JOIN;
        let is_due = is_long && is_in_reach && !self.is_noted;
        self.is_noted |= is_due;
        is_due
    }

    /// Whether a member without any partition has had none for so long that it will get none.
    pub(crate) fn is_left_out(&self, now: Instant) -> bool {
        self.joined.is_some_and(|joined| now.saturating_duration_since(joined) >= self.protocol.patience())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_join_is_noted_once() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut joining = Joining::new(GroupProtocol::Classic, began);
        assert!(!joining.is_worth_a_note(at(4), true));
        assert!(!joining.is_worth_a_note(at(6), false), "the brokers are away");
        assert!(joining.is_worth_a_note(at(7), true));
        assert!(!joining.is_worth_a_note(at(8), true));
        joining.assigned(at(9));
        joining.revoked(at(10));
        assert!(!joining.is_worth_a_note(at(30), true), "once a run");
        assert_eq!(joining.joined_since(), None);
    }

    #[test]
    fn a_member_is_left_out_once_it_had_nothing_for_long() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut joining = Joining::new(GroupProtocol::Classic, began);
        assert!(!joining.is_left_out(at(100)), "the group has not answered");
        joining.assigned(at(100));
        assert!(!joining.is_left_out(at(109)) && joining.is_left_out(at(110)));
        joining.revoked(at(111));
        assert!(!joining.is_left_out(at(200)));
        let silent = Joining::new(GroupProtocol::Consumer, began);
        assert!(!silent.is_left_out(at(59)) && silent.is_left_out(at(60)));
    }

    #[test]
    fn the_note_of_a_member_that_is_waited_for_says_for_how_long() {
        let note = |session| left_behind(Departure::Unknown { session }).unwrap();
        let begin = "left the group without an answer: the group waits ";
        assert_eq!(
            note(Some(Duration::from_secs(45))),
            format!("{begin}up to session.timeout.ms (45 s) for this member")
        );
        assert_eq!(note(None), format!("{begin}until its session ends for this member"));
        assert_eq!(left_behind(Departure::Known), None);
    }

    #[test]
    fn a_silent_join_is_never_noted() {
        let began = Instant::now();
        let mut joining = Joining::new(GroupProtocol::Consumer, began);
        assert!(!joining.is_worth_a_note(began + Duration::from_mins(1), true));
        joining.revoked(began + Duration::from_mins(2));
        assert_eq!(joining.joined_since(), Some(began + Duration::from_mins(2)));
    }
}
