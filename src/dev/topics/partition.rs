//! One partition: its log, and the fetches that wait for it to grow.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::dev::log::PartitionLog;
use crate::lock::{Guard, Lock};

/// One partition: its log, and the fetches that wait for it to grow.
pub(crate) struct Partition {
    log: Lock<PartitionLog>,
    waiting: Lock<Vec<Arc<Notify>>>,
}

impl Partition {
    pub(super) fn new(log: PartitionLog) -> Arc<Self> {
        Arc::new(Self { log: Lock::new(log), waiting: Lock::new(Vec::new()) })
    }

    /// The log, locked.
    pub(crate) fn log(&self) -> Guard<'_, PartitionLog> {
        self.log.lock()
    }

    fn waiting(&self) -> Guard<'_, Vec<Arc<Notify>>> {
        self.waiting.lock()
    }

    /// Notifies `notify` of each append from now on, until [`Partition::forget`].
    pub(crate) fn watch(&self, notify: &Arc<Notify>) {
        self.waiting().push(Arc::clone(notify));
    }

    /// Stops what [`Partition::watch`] started.
    pub(crate) fn forget(&self, notify: &Arc<Notify>) {
        self.waiting().retain(|waiting| !Arc::ptr_eq(waiting, notify));
    }

    /// Wakes the fetches that wait.
    pub(crate) fn grew(&self) {
        for waiting in self.waiting().iter() {
            waiting.notify_one();
        }
    }
}
