//! What one run of `kq consume` is to do, as the engine takes it.

use std::time::Duration;

use super::bounds::Bounds;
use crate::reading::bounds::Start;
use crate::reading::isolation::Isolation;
use crate::reading::membership::Sharing;
use crate::reading::topics::Selection;

/// The settings of one run: checked, and relative times resolved.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub topics: Selection,
    /// The group to read as a member of.
    pub group: Option<String>,
    /// The partitions to read, without a group; `None`: all.
    pub partitions: Option<Vec<i32>>,
    pub bounds: Bounds,
    /// Where the whole group is to start, whatever it has committed.
    pub reset: Option<Start>,
    /// Where it was asked for: without, the connection's own property counts.
    pub isolation: Option<Isolation>,
    pub sharing: Sharing,
    /// Each record is written at once, even while more are waiting.
    pub unbuffered: bool,
    /// With a stop condition: how long the brokers may be out of reach.
    pub stall_timeout: Duration,
    /// How long leaving may take: the last commit, and the group.
    pub close_timeout: Duration,
}
