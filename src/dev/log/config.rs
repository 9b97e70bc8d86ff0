//! What the configuration of a topic says about its logs. Pure: no clock, no IO.

/// What a topic's configuration says about its logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// `max.message.bytes`
    pub max_message_bytes: usize,
    /// `segment.bytes`
    pub segment_bytes: u64,
    /// `retention.bytes`, none for no limit.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`, none for no limit.
    pub retention_ms: Option<i64>,
    /// `cleanup.policy` has `delete`: records may be deleted.
    pub deletes: bool,
    /// `cleanup.policy` has `compact`: each record must have a key.
    pub needs_keys: bool,
    /// `message.timestamp.type=LogAppendTime`
    pub log_append_time: bool,
    /// `message.timestamp.before.max.ms`
    pub timestamp_before_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub timestamp_after_ms: i64,
}
