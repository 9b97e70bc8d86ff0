//! The group coordinator: all groups, the clock, and the requests that wait for an answer.

pub(crate) mod group;
pub(crate) mod member;
pub(crate) mod messages;
pub(crate) mod offsets;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::dev::code::{self, Code};
use crate::lock::{Guard, Lock};
use group::Group;
use member::Member;
use messages::{Answer, Join, Joined, Millis, Sync, Synced, Waiter, Who};
use offsets::{Committed, GroupOffsets, Offsets, Place};

/// The most groups at a time; a further one is refused. Bounds the cost of invented names.
const MAX_GROUPS: usize = 100_000;
/// Bytes of metadata that a commit may carry, as Kafka's default.
const MAX_METADATA: usize = 4096;
/// Bytes that all members may hold together: metadata, assignments, ids. The committed offsets may hold
/// as many.
const MAX_BYTES: usize = 64 << 20;
/// The longest name of a group.
pub(crate) const MAX_ID: usize = 1024;

/// All groups of the broker.
pub(crate) struct Coordinator {
    inner: Lock<Inner>,
    /// Notified when a deadline may have changed.
    moved: Notify,
    began: Instant,
    /// Bytes of metadata that a commit may carry.
    max_metadata: usize,
}

struct Inner {
    groups: BTreeMap<String, Group>,
    offsets: Offsets,
    waiting: HashMap<Waiter, Waiting>,
    asked: u64,
    /// Bytes that the groups and their members hold.
    bytes: usize,
}

/// Bytes that a group holds, without its members.
fn bare(id: &str) -> usize {
    id.len() + size_of::<(String, Group)>()
}

enum Waiting {
    Join(oneshot::Sender<Joined>),
    Sync(oneshot::Sender<Synced>),
}

/// A group as `DescribeGroups` and `ListGroups` show it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Described {
    pub id: String,
    pub state: &'static str,
    pub protocol_type: String,
    pub protocol: String,
    pub members: Vec<DescribedMember>,
}

/// A member of a group as `DescribeGroups` shows it.
#[derive(Clone, Debug)]
pub(crate) struct DescribedMember {
    pub id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub metadata: bytes::Bytes,
    pub assignment: bytes::Bytes,
}

impl Inner {
    fn next_waiter(&mut self) -> Waiter {
        self.asked += 1;
        Waiter(self.asked)
    }

    fn deliver(&mut self, answers: Vec<Answer>) {
        for answer in answers {
            // A member whose connection is gone gets no answer; its session will time out.
            match answer {
                Answer::Join(waiter, joined) => {
                    if let Some(Waiting::Join(to)) = self.waiting.remove(&waiter) {
                        let _ = to.send(joined);
                    }
                }
                Answer::Sync(waiter, synced) => {
                    if let Some(Waiting::Sync(to)) = self.waiting.remove(&waiter) {
                        let _ = to.send(synced);
                    }
                }
            }
        }
    }

    fn with<T>(&mut self, id: &str, act: impl FnOnce(&mut Group) -> T) -> Option<T> {
        let group = self.groups.get_mut(id)?;
        let before = group.bytes();
        let result = act(group);
        self.bytes = (self.bytes + group.bytes()).saturating_sub(before);
        let answers = group.take_answers();
        self.deliver(answers);
        Some(result)
    }

    /// Whether the group exists, or one more may be added.
    fn may_add(&self, id: &str) -> bool {
        self.groups.contains_key(id)
            || self.offsets.of(id).is_some()
            || self.groups.len() + self.offsets.groups().len() < MAX_GROUPS
    }

    fn describe(&self, id: &str) -> Option<Described> {
        let group = self.groups.get(id);
        if group.is_none() && self.offsets.of(id).is_none() {
            return None;
        }
        let Some(group) = group else {
            return Some(Described { id: id.to_owned(), state: "Empty", ..Described::default() });
        };
        let stable = group.state == group::State::Stable;
        let members = group.members.iter().map(|(id, m)| DescribedMember {
            id: id.clone(),
            instance_id: m.instance_id.clone(),
            client_id: m.client_id.clone(),
            client_host: m.client_host.clone(),
            metadata: if stable { m.metadata(&group.protocol) } else { bytes::Bytes::new() },
            assignment: if stable { m.assignment.clone() } else { bytes::Bytes::new() },
        });
        Some(Described {
            id: id.to_owned(),
            state: group.state.name(),
            protocol_type: group.protocol_type.clone(),
            protocol: if stable { group.protocol.clone() } else { String::new() },
            members: members.collect(),
        })
    }
}

impl Coordinator {
    /// A coordinator whose committed offsets are in the file at `path`.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let inner = Inner {
            groups: BTreeMap::new(),
            offsets: Offsets::open(path)?,
            waiting: HashMap::new(),
            asked: 0,
            bytes: 0,
        };
        Ok(Self {
            inner: Lock::new(inner),
            moved: Notify::new(),
            began: Instant::now(),
            max_metadata: MAX_METADATA,
        })
    }

    /// The same with another limit of a commit's metadata, in bytes.
    #[must_use]
    pub(crate) fn with_max_metadata(self, bytes: usize) -> Self {
        Self { max_metadata: bytes, ..self }
    }

    fn lock(&self) -> Guard<'_, Inner> {
        self.inner.lock()
    }

    fn now(&self) -> Millis {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Lets time pass for the groups, for as long as it is polled.
    pub(crate) async fn run(&self) {
        loop {
            let moved = self.moved.notified();
            let next = {
                let mut inner = self.lock();
                let now = self.now();
                let due: Vec<String> = inner
                    .groups
                    .iter()
                    .filter(|(_, group)| group.next_deadline().is_some_and(|at| at <= now))
                    .map(|(id, _)| id.clone())
                    .collect();
                for id in &due {
                    inner.with(id, |group| group.tick(now));
                }
                let Inner { groups, offsets, bytes, .. } = &mut *inner;
                groups.retain(|id, group| {
                    let stays = !group.is_empty() || group.generation > 0 || offsets.of(id).is_some();
                    if !stays {
                        *bytes = bytes.saturating_sub(bare(id) + group.bytes());
                    }
                    stays
                });
                groups.values().filter_map(Group::next_deadline).min()
            };
            match next {
                Some(at) => {
                    let wait = Duration::from_millis(at.saturating_sub(self.now()).max(1));
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = moved => {}
                    }
                }
                None => moved.await,
            }
        }
    }

    /// Joins a group; waits until all members have joined the rebalance.
    pub(crate) async fn join(&self, id: &str, request: Join) -> Joined {
        let refused = |error, member: &str| Joined {
            error,
            generation: -1,
            member_id: member.to_owned(),
            ..Joined::default()
        };
        if id.is_empty() || id.len() > MAX_ID {
            return refused(code::INVALID_GROUP_ID, &request.member_id);
        }
        let member_id = request.member_id.clone();
        let (to, answer) = oneshot::channel();
        {
            let mut inner = self.lock();
            // A member that joins again replaces its own entry.
            let member = inner.groups.get(id).and_then(|group| group.members.get(&request.member_id));
            let more =
                (size_of::<Member>() + request.bytes()).saturating_sub(member.map_or(0, Member::bytes));
            if inner.bytes + more > MAX_BYTES || !inner.may_add(id) {
                return refused(code::GROUP_MAX_SIZE_REACHED, &request.member_id);
            }
            if !inner.groups.contains_key(id) {
                if !request.member_id.is_empty() {
                    return refused(code::UNKNOWN_MEMBER_ID, &request.member_id);
                }
                inner.bytes += bare(id);
                inner.groups.insert(id.to_owned(), Group::default());
            }
            let waiter = inner.next_waiter();
            inner.waiting.insert(waiter, Waiting::Join(to));
            let now = self.now();
            inner.with(id, |group| group.join(request, waiter, now));
        }
        self.moved.notify_one();
        answer.await.unwrap_or_else(|_| refused(code::UNKNOWN_MEMBER_ID, &member_id))
    }

    /// Sends the assignment or asks for it; waits until the leader has sent it.
    pub(crate) async fn sync(&self, id: &str, request: Sync) -> Synced {
        let refused = |error| Synced { error, ..Synced::default() };
        let unknown = || refused(code::UNKNOWN_MEMBER_ID);
        if id.is_empty() {
            return refused(code::INVALID_GROUP_ID);
        }
        let (to, answer) = oneshot::channel();
        {
            let mut inner = self.lock();
            if !inner.groups.contains_key(id) {
                return unknown();
            }
            if inner.bytes + request.bytes() > MAX_BYTES {
                return refused(code::GROUP_MAX_SIZE_REACHED);
            }
            let waiter = inner.next_waiter();
            inner.waiting.insert(waiter, Waiting::Sync(to));
            let now = self.now();
            inner.with(id, |group| group.sync(request, waiter, now));
        }
        self.moved.notify_one();
        answer.await.unwrap_or_else(|_| unknown())
    }

    /// A heartbeat of a member.
    pub(crate) fn heartbeat(&self, id: &str, who: &Who) -> Code {
        if id.is_empty() {
            return code::INVALID_GROUP_ID;
        }
        let now = self.now();
        self.lock().with(id, |group| group.heartbeat(who, now)).unwrap_or(code::UNKNOWN_MEMBER_ID)
    }

    /// A member leaves.
    pub(crate) fn leave(&self, id: &str, member_id: &str, instance_id: Option<&str>) -> Code {
        if id.is_empty() {
            return code::INVALID_GROUP_ID;
        }
        let now = self.now();
        let left = self.lock().with(id, |group| group.leave(member_id, instance_id, now));
        self.moved.notify_one();
        left.unwrap_or(code::UNKNOWN_MEMBER_ID)
    }

    /// Commits offsets for a member, or for an empty group without one. One code per offset.
    pub(crate) fn commit(&self, id: &str, who: &Who, offsets: Vec<(String, i32, Committed)>) -> Vec<Code> {
        let all = |error| vec![error; offsets.len()];
        if id.is_empty() || id.len() > MAX_ID {
            return all(code::INVALID_GROUP_ID);
        }
        let now = self.now();
        let mut inner = self.lock();
        let there = inner.offsets.of(id);
        let no_larger = |(topic, partition, committed): &(String, i32, Committed)| {
            let old = there.and_then(|offsets| offsets.get(&(topic.clone(), *partition)));
            old.is_some_and(|old| old.metadata.len() >= committed.metadata.len())
        };
        let full = inner.offsets.bytes() > MAX_BYTES && !offsets.iter().all(no_larger);
        if full || !inner.may_add(id) {
            return all(code::GROUP_MAX_SIZE_REACHED);
        }
        let allowed = match inner.with(id, |group| group.may_commit(who, now)) {
            Some(allowed) => allowed,
            // After a restart members are unknown; a client without a membership may always commit.
            None if who.generation < 0 => code::NONE,
            None if inner.offsets.of(id).is_some() => code::UNKNOWN_MEMBER_ID,
            None => code::ILLEGAL_GENERATION,
        };
        if allowed != code::NONE {
            return all(allowed);
        }
        let fits = |committed: &Committed| committed.metadata.len() <= self.max_metadata;
        let codes: Vec<Code> = offsets
            .iter()
            .map(|(_, _, c)| if fits(c) { code::NONE } else { code::OFFSET_METADATA_TOO_LARGE })
            .collect();
        let kept = offsets.into_iter().filter(|(_, _, c)| fits(c)).collect();
        match inner.offsets.commit(id, kept) {
            Ok(()) => codes,
            Err(_) => vec![code::KAFKA_STORAGE_ERROR; codes.len()],
        }
    }

    /// The committed offsets of a group.
    pub(crate) fn committed(&self, id: &str) -> GroupOffsets {
        self.lock().offsets.of(id).cloned().unwrap_or_default()
    }

    /// Forgets offsets of an empty group.
    pub(crate) fn forget(&self, id: &str, places: Vec<Place>) -> Code {
        let mut inner = self.lock();
        if inner.groups.get(id).is_some_and(|group| !group.members.is_empty()) {
            return code::NON_EMPTY_GROUP;
        }
        if inner.offsets.of(id).is_none() {
            return code::GROUP_ID_NOT_FOUND;
        }
        inner.offsets.forget(id, places).map_or(code::KAFKA_STORAGE_ERROR, |()| code::NONE)
    }

    /// Forgets a group that has no members.
    pub(crate) fn delete(&self, id: &str) -> Code {
        let mut inner = self.lock();
        match inner.groups.get(id) {
            Some(group) if !group.is_empty() => return code::NON_EMPTY_GROUP,
            None if inner.offsets.of(id).is_none() => return code::GROUP_ID_NOT_FOUND,
            _ => {}
        }
        if let Some(group) = inner.groups.remove(id) {
            inner.bytes = inner.bytes.saturating_sub(bare(id) + group.bytes());
        }
        inner.offsets.remove(id).map_or(code::KAFKA_STORAGE_ERROR, |()| code::NONE)
    }

    /// Forgets the offsets of a deleted topic.
    pub(crate) fn forget_topic(&self, topic: &str) -> io::Result<()> {
        self.lock().offsets.forget_topic(topic)
    }

    /// State and members of a group; none if there is no such group.
    pub(crate) fn describe(&self, id: &str) -> Option<Described> {
        self.lock().describe(id)
    }

    /// All groups, by name.
    pub(crate) fn list(&self) -> Vec<Described> {
        let inner = self.lock();
        let mut ids: Vec<&str> =
            inner.groups.keys().map(String::as_str).chain(inner.offsets.groups()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().filter_map(|id| inner.describe(id)).collect()
    }
}

#[cfg(test)]
mod tests;
