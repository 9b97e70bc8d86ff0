//! One consumer group: its members, its state, what each request makes of them. Pure: the clock is injected, no IO.
//!
//! The classic protocol, after `kafka.coordinator.group.GroupCoordinator`
//! (KIP-345 static members, KIP-394 member ids, KIP-559 protocol checks, KIP-814
//! skipped assignments). Answers that must wait carry a [`Waiter`]; they come
//! out as [`Answer`]s when their time has come.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::dev::code::{self, Code};

/// Milliseconds on a clock that never goes back.
pub type Millis = u64;

/// Ids of one group that were given out and did not come back yet.
const MAX_PENDING: usize = 1000;

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waiter(pub u64);

/// An answer for a request that waited, or that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Join(Waiter, Joined),
    Sync(Waiter, Synced),
}

/// The answer to a `JoinGroup`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    pub error: Code,
    pub generation: i32,
    pub protocol_type: String,
    pub protocol: String,
    pub leader: String,
    pub skip_assignment: bool,
    pub member_id: String,
    /// Id, instance id and metadata of each member; for the leader only.
    pub members: Vec<(String, Option<String>, Bytes)>,
}

impl Joined {
    fn refused(error: Code, member_id: &str) -> Self {
        Self { error, generation: -1, member_id: member_id.to_owned(), ..Self::default() }
    }
}

/// The answer to a `SyncGroup`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    pub error: Code,
    pub protocol_type: String,
    pub protocol: String,
    pub assignment: Bytes,
}

/// A `JoinGroup`.
#[derive(Clone, Debug, Default)]
pub struct Join {
    /// Empty for a new member.
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout: Millis,
    pub rebalance_timeout: Millis,
    pub protocol_type: String,
    /// Name and metadata of each assignor that the member supports, best first.
    pub protocols: Vec<(String, Bytes)>,
    /// Version 4 and later: a new member must come again with the id it is given.
    pub id_required: bool,
    /// Version 9 and later: the leader can be told to leave the assignment as it is.
    pub can_skip_assignment: bool,
    /// The id that a new member gets.
    pub new_id: String,
}

impl Join {
    /// Bytes that it brings to be kept.
    pub fn bytes(&self) -> usize {
        let protocols = self.protocols.iter().map(|(name, metadata)| name.len() + metadata.len());
        size_of::<Member>() + self.new_id.len() + self.client_id.len() + protocols.sum::<usize>()
    }
}

/// A `SyncGroup`.
#[derive(Clone, Debug, Default)]
pub struct Sync {
    pub who: Who,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    /// Member id and assignment, from the leader.
    pub assignments: Vec<(String, Bytes)>,
}

impl Sync {
    /// Bytes that it brings to be kept.
    pub fn bytes(&self) -> usize {
        self.assignments.iter().map(|(_, assignment)| assignment.len()).sum()
    }
}

/// Who makes a request, and in which generation.
#[derive(Clone, Debug, Default)]
pub struct Who {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
}

/// The state of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    /// The name that clients know.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// One member.
#[derive(Clone, Debug)]
pub struct Member {
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout: Millis,
    pub rebalance_timeout: Millis,
    pub protocols: Vec<(String, Bytes)>,
    pub assignment: Bytes,
    can_skip_assignment: bool,
    /// When its session ends, unless it is heard of.
    deadline: Millis,
    joining: Option<Waiter>,
    syncing: Option<Waiter>,
    /// Whether it sent its `SyncGroup` in this generation.
    synced: bool,
    /// Counts members in the order in which they joined.
    order: u64,
}

impl Member {
    /// What the member said under this assignor.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|(name, _)| name == protocol).map(|(_, m)| m.clone()).unwrap_or_default()
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        let protocols = self.protocols.iter().map(|(name, metadata)| name.len() + metadata.len());
        let names = self.client_id.len() + self.instance_id.as_ref().map_or(0, String::len);
        size_of::<Self>() + names + protocols.sum::<usize>() + self.assignment.len()
    }

    /// Whether silence means anything: who waits for us is not silent.
    fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }
}

/// One group of the classic protocol.
#[derive(Debug)]
pub struct Group {
    pub state: State,
    pub generation: i32,
    pub protocol_type: String,
    /// The assignor that was chosen, empty between generations.
    pub protocol: String,
    pub leader: String,
    pub members: BTreeMap<String, Member>,
    /// Ids given out under `MEMBER_ID_REQUIRED` that did not come back yet, and until when they may.
    pending: BTreeMap<String, Millis>,
    /// When a rebalance goes on without those who have not rejoined.
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
    pub fn take_answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.answers)
    }

    /// Bytes of memory that the members hold.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn count_bytes(&mut self) {
        let members = self.members.iter().map(|(id, member)| id.len() + member.bytes());
        let pending = self.pending.keys().map(|id| id.len() + size_of::<(String, Millis)>());
        self.bytes = self.protocol_type.len() + members.chain(pending).sum::<usize>();
    }

    /// Whether nobody is in the group or about to be.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty()
    }

    /// When [`Group::tick`] has something to do next.
    pub fn next_deadline(&self) -> Option<Millis> {
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

    /// Lets time pass: sessions end, a rebalance goes on without the missing.
    pub fn tick(&mut self, now: Millis) {
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
            // Who joined and never asked for its assignment would keep its partitions from the others.
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

    /// A member joins, or joins again.
    pub fn join(&mut self, request: Join, waiter: Waiter, now: Millis) {
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

    /// Who may not join, and why.
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

    /// The member with this id, if it is who it says: a static member that was replaced is fenced.
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
                // The same member asked twice: only the later request can be answered well.
                self.answers.push(Answer::Join(older, Joined::refused(code::UNKNOWN_MEMBER_ID, id)));
            }
        }
        self.prepare_rebalance(now);
    }

    /// A static member came back without its id: it takes the place of the old one.
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
            // It goes on with its assignment; nobody else notices.
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

    fn current(&self, id: &str) -> Joined {
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

    fn member_list(&self) -> Vec<(String, Option<String>, Bytes)> {
        let entry =
            |(id, m): (&String, &Member)| (id.clone(), m.instance_id.clone(), m.metadata(&self.protocol));
        self.members.iter().map(entry).collect()
    }

    /// A member whose last answer was lost asks again: the same answer.
    fn answer_as_it_is(&mut self, id: &str, waiter: Waiter) {
        let members = if self.leader == id { self.member_list() } else { Vec::new() };
        let answer = Joined { members, ..self.current(id) };
        self.answers.push(Answer::Join(waiter, answer));
    }

    fn prepare_rebalance(&mut self, now: Millis) {
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

    fn try_complete_join(&mut self, now: Millis) {
        if self.pending.is_empty() && self.members.values().all(|m| m.joining.is_some()) {
            self.complete_join(now);
        }
    }

    /// The barrier opens: a new generation of those who are there.
    fn complete_join(&mut self, now: Millis) {
        // Static members keep their place until their session ends.
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
                // Only absent static members: wait for them, or for their sessions to end.
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

    /// The assignor that all members support and most put first.
    fn choose_protocol(&self) -> String {
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

    /// The leader brings the assignment, the others ask for theirs.
    pub fn sync(&mut self, request: Sync, waiter: Waiter, now: Millis) {
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

    /// A sign of life; says whether the member must join again.
    pub fn heartbeat(&mut self, who: &Who, now: Millis) -> Code {
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

    /// Whether a commit may be taken; a sign of life too.
    pub fn may_commit(&mut self, who: &Who, now: Millis) -> Code {
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
    pub fn leave(&mut self, member_id: &str, instance_id: Option<&str>, now: Millis) -> Code {
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
