//! How members join: new ones, known ones, static ones that came back. Pure: no clock, no IO.

use bytes::Bytes;

use super::{Group, State};
use crate::dev::code::{self, Code};
use crate::dev::groups::member::Member;
use crate::dev::groups::messages::{Answer, Join, Joined, Millis, Synced, Waiter};

/// The most ids of one group that are assigned and have not joined yet.
pub(super) const MAX_PENDING: usize = 1000;

impl Group {
    /// A member joins, or joins again.
    pub(crate) fn join(&mut self, request: Join, waiter: Waiter, now: Millis) {
        self.take_in(request, waiter, now);
        self.count_bytes();
    }

    fn take_in(&mut self, request: Join, waiter: Waiter, now: Millis) {
        let id = request.member_id.clone();
        if let Err(error) = self.admit(&request) {
            self.answers.push(Answer::Join(waiter, Joined::refused(error, &id)));
            return;
        }
        if id.is_empty() {
            let known = request.instance_id.as_deref().and_then(|instance| self.static_member(instance));
            match known {
                Some(old) => self.replace_static(&old, &request, waiter, now),
                None if request.id_required && request.instance_id.is_none() => {
                    if self.pending.len() >= MAX_PENDING {
                        let full = Joined::refused(code::GROUP_MAX_SIZE_REACHED, "");
                        self.answers.push(Answer::Join(waiter, full));
                        return;
                    }
                    let id = request.new_id;
                    self.pending.insert(id.clone(), now + request.session_timeout);
                    let answer = Joined::refused(code::MEMBER_ID_REQUIRED, &id);
                    self.answers.push(Answer::Join(waiter, answer));
                }
                None => {
                    let id = request.new_id.clone();
                    self.add(id, request, waiter, now);
                }
            }
            return;
        }
        if self.pending.remove(&id).is_some() {
            self.add(id, request, waiter, now);
            return;
        }
        let is_leader = self.leader == id;
        let same = self.members.get(&id).is_some_and(|member| member.protocols == request.protocols);
        match self.state {
            State::Stable if !is_leader && same => self.answer_as_it_is(&id, waiter),
            State::CompletingRebalance if same => self.answer_as_it_is(&id, waiter),
            _ => self.rejoin(&id, request, waiter, now),
        }
    }

    /// Refuses a member that may not join.
    fn admit(&self, request: &Join) -> Result<(), Code> {
        if request.protocols.is_empty() || request.protocol_type.is_empty() {
            return Err(code::INCONSISTENT_GROUP_PROTOCOL);
        }
        if !self.members.is_empty() {
            let others = self.members.iter().filter(|(id, _)| **id != request.member_id);
            let supported = |name: &str| {
                others.clone().all(|(_, member)| member.protocols.iter().any(|(other, _)| other == name))
            };
            if self.protocol_type != request.protocol_type
                || !request.protocols.iter().any(|(name, _)| supported(name))
            {
                return Err(code::INCONSISTENT_GROUP_PROTOCOL);
            }
        }
        if request.member_id.is_empty() || self.pending.contains_key(&request.member_id) {
            return Ok(());
        }
        self.identify(&request.member_id, request.instance_id.as_deref()).map(|_| ())
    }

    fn add(&mut self, id: String, request: Join, waiter: Waiter, now: Millis) {
        if self.members.is_empty() {
            self.protocol_type.clone_from(&request.protocol_type);
        }
        self.joined += 1;
        let member = Member {
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: request.protocols,
            assignment: Bytes::new(),
            can_skip_assignment: request.can_skip_assignment,
            deadline: now + request.session_timeout,
            joining: Some(waiter),
            syncing: None,
            synced: false,
            order: self.joined,
        };
        if self.leader.is_empty() {
            self.leader.clone_from(&id);
        }
        self.members.insert(id, member);
        self.prepare_rebalance(now);
    }

    fn rejoin(&mut self, id: &str, request: Join, waiter: Waiter, now: Millis) {
        if let Some(member) = self.members.get_mut(id) {
            member.protocols = request.protocols;
            member.session_timeout = request.session_timeout;
            member.rebalance_timeout = request.rebalance_timeout;
            member.can_skip_assignment = request.can_skip_assignment;
            member.client_id = request.client_id;
            member.client_host = request.client_host;
            member.deadline = now + member.session_timeout;
            if let Some(older) = member.joining.replace(waiter) {
                // The member sent two requests: only the later one can be answered with success.
                self.answers.push(Answer::Join(older, Joined::refused(code::UNKNOWN_MEMBER_ID, id)));
            }
        }
        self.prepare_rebalance(now);
    }

    /// A static member restarted and has no id: it replaces the old member.
    fn replace_static(&mut self, old: &str, request: &Join, waiter: Waiter, now: Millis) {
        let Some(mut member) = self.members.remove(old) else { return };
        let id = request.new_id.clone();
        if let Some(older) = member.joining.take() {
            self.answers.push(Answer::Join(older, Joined::refused(code::FENCED_INSTANCE_ID, old)));
        }
        if let Some(older) = member.syncing.take() {
            let fenced = Synced { error: code::FENCED_INSTANCE_ID, ..Synced::default() };
            self.answers.push(Answer::Sync(older, fenced));
        }
        let was_leader = self.leader == old;
        if was_leader {
            self.leader.clone_from(&id);
        }
        member.deadline = now + request.session_timeout;
        member.client_id.clone_from(&request.client_id);
        member.client_host.clone_from(&request.client_host);
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        member.protocols.clone_from(&request.protocols);
        member.can_skip_assignment = request.can_skip_assignment;
        self.members.insert(id.clone(), member);
        if self.state == State::Stable && self.choose_protocol() == self.protocol {
            // It keeps its assignment; there is no rebalance.
            let skip = was_leader && request.can_skip_assignment;
            let leader = if was_leader && !skip { old.to_owned() } else { self.leader.clone() };
            let members = if skip { self.member_list() } else { Vec::new() };
            let answer = Joined { skip_assignment: skip, leader, members, ..self.current(&id) };
            self.answers.push(Answer::Join(waiter, answer));
            return;
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.joining = Some(waiter);
        }
        self.prepare_rebalance(now);
    }

    /// The same answer again, for a member that lost the last one.
    fn answer_as_it_is(&mut self, id: &str, waiter: Waiter) {
        let members = if self.leader == id { self.member_list() } else { Vec::new() };
        let answer = Joined { members, ..self.current(id) };
        self.answers.push(Answer::Join(waiter, answer));
    }
}
