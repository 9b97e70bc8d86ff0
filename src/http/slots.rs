//! How many connections a listener has at the same time, and what becomes of one more.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::lock::Lock;

/// What becomes of one connection more than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    /// It waits in the kernel until another one is closed.
    Wait,
    /// The connection that has asked for nothing for longest is closed for it.
    CloseIdlest,
}

/// The bound on connections.
pub(super) enum Slots {
    Wait(Arc<Semaphore>),
    CloseIdlest { most: usize, open: Arc<Lock<Connections>> },
}

/// What allows one more connection.
pub(super) enum Free {
    Permit(Option<OwnedSemaphorePermit>),
    Always,
}

/// The place of an open connection. It is free when this is dropped.
pub(super) struct Slot(Held);

enum Held {
    Permit { _permit: Option<OwnedSemaphorePermit> },
    Entry { entry: Lock<u64>, open: Arc<Lock<Connections>>, closed: Option<oneshot::Receiver<()>> },
}

impl Slots {
    pub(super) fn new(most: usize, when_full: WhenFull) -> Self {
        match when_full {
            WhenFull::Wait => Self::Wait(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))),
            WhenFull::CloseIdlest => Self::CloseIdlest { most, open: Arc::default() },
        }
    }

    /// Waits until there may be one more connection.
    pub(super) async fn free(&self) -> Free {
        match self {
            // It is never closed.
            Self::Wait(semaphore) => Free::Permit(Arc::clone(semaphore).acquire_owned().await.ok()),
            Self::CloseIdlest { .. } => Free::Always,
        }
    }

    /// A connection takes what was free.
    pub(super) fn take(&self, free: Free) -> Slot {
        match (self, free) {
            (Self::CloseIdlest { most, open }, _) => {
                let (entry, closed) = open.lock().open(*most);
                let entry = Lock::new(entry);
                Slot(Held::Entry { entry, open: Arc::clone(open), closed: Some(closed) })
            }
            (Self::Wait(_), Free::Permit(permit)) => Slot(Held::Permit { _permit: permit }),
            (Self::Wait(_), Free::Always) => Slot(Held::Permit { _permit: None }),
        }
    }
}

impl Slot {
    /// The connection asks for something.
    pub(super) fn asked(&self) {
        if let Held::Entry { entry, open, .. } = &self.0 {
            open.lock().asked(&mut entry.lock());
        }
    }

    /// Ends when the connection is to be closed for another one.
    pub(super) fn taken_away(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let closed = match &mut self.0 {
            Held::Entry { closed, .. } => closed.take(),
            Held::Permit { .. } => None,
        };
        async {
            match closed {
                Some(closed) => drop(closed.await),
                None => std::future::pending().await,
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Held::Entry { entry, open, .. } = &self.0 {
            open.lock().closed(*entry.lock());
        }
    }
}

/// The open connections, in the order in which they last asked for something or were opened.
#[derive(Default)]
pub(super) struct Connections {
    next: u64,
    /// By place in that order; what is dropped closes its connection.
    open: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Connections {
    /// A new connection, and what ends when it is to be closed; the first in order is closed where there are `most`.
    fn open(&mut self, most: usize) -> (u64, oneshot::Receiver<()>) {
        if self.open.len() >= most {
            self.open.pop_first();
        }
        let (sender, closed) = oneshot::channel();
        (self.enter(sender), closed)
    }

    /// A connection asks for something: it goes to the end.
    fn asked(&mut self, entry: &mut u64) {
        if let Some(sender) = self.open.remove(entry) {
            *entry = self.enter(sender);
        }
    }

    fn closed(&mut self, entry: u64) {
        self.open.remove(&entry);
    }

    fn enter(&mut self, sender: oneshot::Sender<()>) -> u64 {
        let entry = self.next;
        self.next += 1;
        self.open.insert(entry, sender);
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_that_asked_for_nothing_for_longest_is_closed_for_a_new_one() {
        let mut connections = Connections::default();
        let (mut first, mut first_closed) = connections.open(2);
        let (second, mut second_closed) = connections.open(2);
        connections.asked(&mut first);
        let (third, mut third_closed) = connections.open(2);
        assert!(second_closed.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Closed));
        for open in [&mut first_closed, &mut third_closed] {
            assert_eq!(open.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        }
        connections.closed(second);
        connections.closed(first);
        connections.closed(third);
        assert!(connections.open.is_empty());
    }
}
