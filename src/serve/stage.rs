//! How far the end of an endpoint is.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use tokio::sync::Notify;

/// From the start to the end, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Serves,
    /// It was told to stop: `/readyz` says so, and all else goes on for `--drain-delay`.
    Leaves,
    /// A new request is refused; those that are open are finished.
    Drains,
    /// The time is over: what is open is answered as it is.
    Ends,
}

/// The stage of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Stages {
    stage: AtomicU8,
    changed: Notify,
}

impl Stages {
    pub(super) fn get(&self) -> Stage {
        match self.stage.load(SeqCst) {
            0 => Stage::Serves,
            1 => Stage::Leaves,
            2 => Stage::Drains,
            _ => Stage::Ends,
        }
    }

    pub(super) fn set(&self, stage: Stage) {
        self.stage.store(stage as u8, SeqCst);
        self.changed.notify_waiters();
    }

    /// Waits for [`Stage::Ends`].
    pub(super) async fn ends(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.get() == Stage::Ends {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_the_end_is_woken_by_it_alone() {
        let stages = Stages::default();
        for stage in [Stage::Serves, Stage::Leaves, Stage::Drains] {
            stages.set(stage);
            assert_eq!(stages.get(), stage);
            let waited = tokio::time::timeout(std::time::Duration::ZERO, stages.ends()).await;
            assert!(waited.is_err(), "{stage:?}");
        }
        let end = async { stages.set(Stage::Ends) };
        tokio::join!(stages.ends(), end);
        stages.ends().await;
    }
}
