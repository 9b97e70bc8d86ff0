//! A rebalance: the barrier that members join at, and the assignment that follows. Pure: no clock, no IO.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Group, State};
use crate::dev::code;
use crate::dev::groups::member::Member;
use crate::dev::groups::messages::{Answer, Joined, Millis, Sync, Synced, Waiter};

impl Group {
    pub(super) fn prepare_rebalance(&mut self, now: Millis) {
        if self.state != State::PreparingRebalance {
            for member in self.members.values_mut() {
                member.assignment = Bytes::new();
                if let Some(waiter) = member.syncing.take() {
                    member.deadline = now + member.session_timeout;
                    let again = Synced { error: code::REBALANCE_IN_PROGRESS, ..Synced::default() };
                    self.answers.push(Answer::Sync(waiter, again));
                }
            }
            self.state = State::PreparingRebalance;
            self.rebalance_deadline = now + self.longest_rebalance();
        }
        self.try_complete_join(now);
    }

    fn longest_rebalance(&self) -> Millis {
        self.members.values().map(|m| m.rebalance_timeout).max().unwrap_or(0)
    }

    pub(super) fn try_complete_join(&mut self, now: Millis) {
        if self.pending.is_empty() && self.members.values().all(|m| m.joining.is_some()) {
            self.complete_join(now);
        }
    }

    /// Ends the barrier: the members that have joined are the new generation.
    pub(super) fn complete_join(&mut self, now: Millis) {
        // Static members stay members until their session ends.
        self.members.retain(|_, m| m.joining.is_some() || m.instance_id.is_some());
        if self.members.is_empty() {
            self.generation += 1;
            self.state = State::Empty;
            self.protocol.clear();
            self.leader.clear();
            return;
        }
        let leader_is_here = self.members.get(&self.leader).is_some_and(|m| m.joining.is_some());
        if !leader_is_here {
            let first = self.members.iter().filter(|(_, m)| m.joining.is_some()).min_by_key(|(_, m)| m.order);
            let Some(id) = first.map(|(id, _)| id.clone()) else {
                // Only static members that have not rejoined: wait for them, or until their sessions end.
                self.rebalance_deadline = now + self.longest_rebalance().max(1);
                return;
            };
            self.leader = id;
        }
        self.generation += 1;
        self.protocol = self.choose_protocol();
        self.state = State::CompletingRebalance;
        self.sync_deadline = now + self.longest_rebalance().max(1);
        self.members.values_mut().for_each(|member| member.synced = false);
        let list = self.member_list();
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let members = if id == self.leader { list.clone() } else { Vec::new() };
            let answer = Joined { members, ..self.current(&id) };
            if let Some(member) = self.members.get_mut(&id)
                && let Some(waiter) = member.joining.take()
            {
                member.deadline = now + member.session_timeout;
                self.answers.push(Answer::Join(waiter, answer));
            }
        }
    }

    /// The assignor that all members support and most members prefer.
    pub(super) fn choose_protocol(&self) -> String {
        let common = |name: &str| self.members.values().all(|m| m.protocols.iter().any(|(n, _)| n == name));
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| common(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max().unwrap_or(0);
        votes.iter().find(|(_, n)| **n == most).map(|(name, _)| (*name).to_owned()).unwrap_or_default()
    }

    pub(super) fn current(&self, id: &str) -> Joined {
        Joined {
            error: code::NONE,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            skip_assignment: false,
            member_id: id.to_owned(),
            members: Vec::new(),
        }
    }

    pub(super) fn member_list(&self) -> Vec<(String, Option<String>, Bytes)> {
        let entry =
            |(id, m): (&String, &Member)| (id.clone(), m.instance_id.clone(), m.metadata(&self.protocol));
        self.members.iter().map(entry).collect()
    }

    /// The leader sends the assignment, the other members ask for theirs.
    pub(crate) fn sync(&mut self, request: Sync, waiter: Waiter, now: Millis) {
        let refused = |error| Answer::Sync(waiter, Synced { error, ..Synced::default() });
        if let Err(error) = self.check(&request.who) {
            self.answers.push(refused(error));
            return;
        }
        let differs = |said: &Option<String>, is: &str| said.as_deref().is_some_and(|said| said != is);
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol, &self.protocol)
        {
            self.answers.push(refused(code::INCONSISTENT_GROUP_PROTOCOL));
            return;
        }
        let id = request.who.member_id;
        if let Some(member) = self.members.get_mut(&id) {
            member.synced = true;
        }
        match self.state {
            State::Empty => self.answers.push(refused(code::UNKNOWN_MEMBER_ID)),
            State::PreparingRebalance => self.answers.push(refused(code::REBALANCE_IN_PROGRESS)),
            State::Stable => {
                let assignment = self.heard(&id, now).map(|m| m.assignment.clone()).unwrap_or_default();
                let answer = self.synced(assignment);
                self.answers.push(Answer::Sync(waiter, answer));
            }
            State::CompletingRebalance => {
                let older = self.members.get_mut(&id).and_then(|member| member.syncing.replace(waiter));
                if let Some(older) = older {
                    let twice = Synced { error: code::REBALANCE_IN_PROGRESS, ..Synced::default() };
                    self.answers.push(Answer::Sync(older, twice));
                }
                if id == self.leader {
                    self.assign(request.assignments, now);
                }
            }
        }
    }

    fn assign(&mut self, assignments: Vec<(String, Bytes)>, now: Millis) {
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.state = State::Stable;
        self.count_bytes();
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else { continue };
            let Some(waiter) = member.syncing.take() else { continue };
            member.deadline = now + member.session_timeout;
            let assignment = member.assignment.clone();
            let answer = self.synced(assignment);
            self.answers.push(Answer::Sync(waiter, answer));
        }
    }

    fn synced(&self, assignment: Bytes) -> Synced {
        Synced {
            error: code::NONE,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment,
        }
    }
}
