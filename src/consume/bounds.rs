//! Where a consume starts and what ends it. Pure: no clock, no IO.

use std::time::Duration;

use crate::reading::bounds::{End, Start};

/// Where to start and when to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub from: Option<Start>,
    pub until: Option<End>,
    pub count: Option<u64>,
    pub idle: Option<Duration>,
}

impl Bounds {
    /// Whether it ends by itself.
    pub(crate) fn stops(&self) -> bool {
        self.until.is_some() || self.count.is_some() || self.idle.is_some()
    }
}
