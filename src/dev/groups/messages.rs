//! The requests of a group's members and the answers to them. Pure: no clock, no IO.

use bytes::Bytes;

use crate::dev::code::Code;

/// Milliseconds on a clock that never goes back.
pub(crate) type Millis = u64;

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Waiter(pub u64);

/// The answer to a request, which may have waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Join(Waiter, Joined),
    Sync(Waiter, Synced),
}

/// The answer to a `JoinGroup`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Joined {
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
    /// The answer to a member that may not join, or not yet.
    pub(crate) fn refused(error: Code, member_id: &str) -> Self {
        Self { error, generation: -1, member_id: member_id.to_owned(), ..Self::default() }
    }
}

/// The answer to a `SyncGroup`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Synced {
    pub error: Code,
    pub protocol_type: String,
    pub protocol: String,
    pub assignment: Bytes,
}

/// A `JoinGroup`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Join {
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
    /// Version 4 and later: a new member must join again with the id that it gets.
    pub id_required: bool,
    /// Version 9 and later: the leader understands that the assignment stays as it is.
    pub can_skip_assignment: bool,
    /// The id that a new member gets.
    pub new_id: String,
}

impl Join {
    /// Bytes of it that its member keeps.
    pub(crate) fn bytes(&self) -> usize {
        let protocols = self.protocols.iter().map(|(name, metadata)| name.len() + metadata.len());
        self.new_id.len() + self.client_id.len() + protocols.sum::<usize>()
    }
}

/// A `SyncGroup`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sync {
    pub who: Who,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    /// Member id and assignment, from the leader.
    pub assignments: Vec<(String, Bytes)>,
}

impl Sync {
    /// Bytes of it that the members keep.
    pub(crate) fn bytes(&self) -> usize {
        self.assignments.iter().map(|(_, assignment)| assignment.len()).sum()
    }
}

/// The sender of a request, and its generation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Who {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
}
