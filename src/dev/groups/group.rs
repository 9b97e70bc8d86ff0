//! One consumer group: its members, its state, and how each request changes them. Pure: the clock is
//! injected, no IO.
//!
//! The classic protocol, as in `kafka.coordinator.group.GroupCoordinator`
//! (KIP-345 static members, KIP-394 member ids, KIP-559 protocol checks, KIP-814
//! skipped assignments). Requests that must wait have a [`Waiter`]; the group
//! gives the [`Answer`] to it when it is due.
//!
//! [`Waiter`]: super::messages::Waiter

mod join;
mod rebalance;

use std::collections::BTreeMap;

use super::member::Member;
use super::messages::{Answer, Joined, Millis, Synced, Who};
use crate::dev::code::{self, Code};

/// The state of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    /// The name that clients know.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// One group of the classic protocol.
#[derive(Debug)]
pub(crate) struct Group {
    pub state: State,
    pub generation: i32,
    pub protocol_type: String,
    /// The assignor that was chosen, empty between generations.
    pub protocol: String,
    pub leader: String,
    pub members: BTreeMap<String, Member>,
    /// Ids that were assigned with `MEMBER_ID_REQUIRED` and have not joined yet, and their deadlines.
    pending: BTreeMap<String, Millis>,
    /// When a rebalance continues without the members that have not rejoined.
    rebalance_deadline: Millis,
    /// When members that did not send `SyncGroup` are removed.
    sync_deadline: Millis,
    joined: u64,
    /// Bytes of memory that members and pending ids hold.
    bytes: usize,
    answers: Vec<Answer>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            state: State::Empty,
            generation: 0,
            protocol_type: String::new(),
            protocol: String::new(),
            leader: String::new(),
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
            rebalance_deadline: 0,
            sync_deadline: 0,
            joined: 0,
            bytes: 0,
            answers: Vec::new(),
        }
    }
}

impl Group {
    /// The answers that are due since the last call.
    pub(crate) fn take_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    /// Bytes of memory that the members hold.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn count_bytes(&mut self) {
        let members = self.members.iter().map(|(id, member)| id.len() + member.bytes());
        let pending = self.pending.keys().map(|id| id.len() + size_of::<(String, Millis)>());
        self.bytes = self.protocol_type.len() + members.chain(pending).sum::<usize>();
    }

    /// Whether the group has no members and no pending ids.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty()
    }

    /// When [`Group::tick`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        let sessions = self.members.values().filter(|m| !m.is_waiting()).map(|m| m.deadline);
        let rebalance = match self.state {
            State::PreparingRebalance => Some(self.rebalance_deadline),
            State::CompletingRebalance | State::Stable if self.members.values().any(|m| !m.synced) => {
                Some(self.sync_deadline)
            }
            _ => None,
        };
        sessions.chain(self.pending.values().copied()).chain(rebalance).min()
    }

    /// Applies the time: sessions end, a rebalance continues without missing members.
    pub(crate) fn tick(&mut self, now: Millis) {
        self.pending.retain(|_, until| *until > now);
        let silent: Vec<String> = self
            .members
            .iter()
            .filter(|(_, m)| !m.is_waiting() && m.deadline <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in silent {
            self.remove(&id, now);
        }
        match self.state {
            State::PreparingRebalance if self.rebalance_deadline <= now => self.complete_join(now),
            State::PreparingRebalance => self.try_complete_join(now),
            // A member that never asks for its assignment would keep its partitions from the others.
            State::CompletingRebalance | State::Stable if self.sync_deadline <= now => {
                let missing: Vec<String> =
                    self.members.iter().filter(|(_, m)| !m.synced).map(|(id, _)| id.clone()).collect();
                for id in missing {
                    self.remove(&id, now);
                }
            }
            _ => {}
        }
        self.count_bytes();
    }

    /// The member with this id and instance id: a static member that was replaced is fenced.
    fn identify(&self, id: &str, instance: Option<&str>) -> Result<&Member, Code> {
        if let Some(instance) = instance {
            match self.static_member(instance) {
                None => return Err(code::UNKNOWN_MEMBER_ID),
                Some(current) if current != id => return Err(code::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        self.members.get(id).ok_or(code::UNKNOWN_MEMBER_ID)
    }

    fn static_member(&self, instance: &str) -> Option<String> {
        let found = self.members.iter().find(|(_, m)| m.instance_id.as_deref() == Some(instance));
        found.map(|(id, _)| id.clone())
    }

    fn heard(&mut self, id: &str, now: Millis) -> Option<&Member> {
        let member = self.members.get_mut(id)?;
        member.deadline = now + member.session_timeout;
        Some(member)
    }

    /// Whether the member is known, not fenced, and of this generation.
    fn check(&self, who: &Who) -> Result<(), Code> {
        self.identify(&who.member_id, who.instance_id.as_deref())?;
        if who.generation == self.generation { Ok(()) } else { Err(code::ILLEGAL_GENERATION) }
    }

    /// A heartbeat; the code says whether the member must join again.
    pub(crate) fn heartbeat(&mut self, who: &Who, now: Millis) -> Code {
        if let Err(error) = self.check(who) {
            return error;
        }
        self.heard(&who.member_id, now);
        match self.state {
            State::Empty => code::UNKNOWN_MEMBER_ID,
            State::PreparingRebalance => code::REBALANCE_IN_PROGRESS,
            State::CompletingRebalance | State::Stable => code::NONE,
        }
    }

    /// Whether the member may commit. Counts as a heartbeat.
    pub(crate) fn may_commit(&mut self, who: &Who, now: Millis) -> Code {
        if who.generation < 0 && self.members.is_empty() {
            return code::NONE;
        }
        if let Err(error) = self.check(who) {
            return error;
        }
        self.heard(&who.member_id, now);
        match self.state {
            State::Empty => code::UNKNOWN_MEMBER_ID,
            State::CompletingRebalance => code::REBALANCE_IN_PROGRESS,
            State::PreparingRebalance | State::Stable => code::NONE,
        }
    }

    /// A member leaves, named by its id, its instance id, or both.
    pub(crate) fn leave(&mut self, member_id: &str, instance_id: Option<&str>, now: Millis) -> Code {
        let left = self.let_go(member_id, instance_id, now);
        self.count_bytes();
        left
    }

    fn let_go(&mut self, member_id: &str, instance_id: Option<&str>, now: Millis) -> Code {
        if self.pending.remove(member_id).is_some() {
            if self.state == State::PreparingRebalance {
                self.try_complete_join(now);
            }
            return code::NONE;
        }
        let id = match (member_id, instance_id) {
            ("", Some(instance)) => self.static_member(instance).ok_or(code::UNKNOWN_MEMBER_ID),
            (id, instance) => self.identify(id, instance).map(|_| id.to_owned()),
        };
        match id {
            Ok(id) => {
                self.remove(&id, now);
                code::NONE
            }
            Err(error) => error,
        }
    }

    fn remove(&mut self, id: &str, now: Millis) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(waiter) = member.joining {
            self.answers.push(Answer::Join(waiter, Joined::refused(code::UNKNOWN_MEMBER_ID, id)));
        }
        if let Some(waiter) = member.syncing {
            let unknown = Synced { error: code::UNKNOWN_MEMBER_ID, ..Synced::default() };
            self.answers.push(Answer::Sync(waiter, unknown));
        }
        if self.leader == id {
            let next = self.members.iter().min_by_key(|(_, m)| m.order);
            self.leader = next.map(|(id, _)| id.clone()).unwrap_or_default();
        }
        self.prepare_rebalance(now);
    }
}

#[cfg(test)]
mod tests;
