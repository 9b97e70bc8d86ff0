//! One member of a group. Pure: no clock, no IO.

use bytes::Bytes;

use super::messages::{Millis, Waiter};

/// One member.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout: Millis,
    pub rebalance_timeout: Millis,
    pub protocols: Vec<(String, Bytes)>,
    pub assignment: Bytes,
    /// Whether it understands, as the leader, that the assignment stays as it is.
    pub can_skip_assignment: bool,
    /// When its session ends without a heartbeat.
    pub deadline: Millis,
    /// Its `JoinGroup` that waits for an answer.
    pub joining: Option<Waiter>,
    /// Its `SyncGroup` that waits for an answer.
    pub syncing: Option<Waiter>,
    /// Whether it sent its `SyncGroup` in this generation.
    pub synced: bool,
    /// Its place in the order in which the members joined.
    pub order: u64,
}

impl Member {
    /// The member's metadata for this assignor.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|(name, _)| name == protocol).map(|(_, m)| m.clone()).unwrap_or_default()
    }

    /// Bytes of memory that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let protocols = self.protocols.iter().map(|(name, metadata)| name.len() + metadata.len());
        let names = self.client_id.len() + self.instance_id.as_ref().map_or(0, String::len);
        size_of::<Self>() + names + protocols.sum::<usize>() + self.assignment.len()
    }

    /// Whether it waits for an answer: its session does not time out then.
    pub(crate) fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }
}
