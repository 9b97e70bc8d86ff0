//! Locks that are never poisoned: what they guard can be used after any panic.
//!
//! A panic ends the program (`panic = "abort"`), so no thread of it sees what another one left
//! half-changed. In a test a thread outlives the panic of another; there the first panic is the
//! one to report, and a second one at a lock would hide it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::sync::{RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// What is returned by [`Lock::lock`]: the lock is held until it is dropped.
pub(crate) type Guard<'a, T> = MutexGuard<'a, T>;

/// A value that one thread at a time uses.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    /// A lock around this value.
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Waits until no other thread holds the lock.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock where no other thread holds it.
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// A change of a locked value that threads wait for.
#[derive(Debug, Default)]
pub(crate) struct Condition(Condvar);

impl Condition {
    /// A condition without a waiting thread.
    pub(crate) const fn new() -> Self {
        Self(Condvar::new())
    }

    /// Releases the lock until the condition is notified, and takes it again. May return earlier:
    /// the caller checks the value in a loop.
    pub(crate) fn wait<'a, T>(&self, guard: Guard<'a, T>) -> Guard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, for this long at most.
    pub(crate) fn wait_for<'a, T>(&self, guard: Guard<'a, T>, timeout: Duration) -> Guard<'a, T> {
        self.0.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Wakes one thread that waits.
    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all threads that wait.
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A value that many threads read at a time, or one writes.
#[derive(Debug, Default)]
pub(crate) struct SharedLock<T>(RwLock<T>);

impl<T> SharedLock<T> {
    /// A lock around this value.
    pub(crate) const fn new(value: T) -> Self {
        Self(RwLock::new(value))
    }

    /// Waits until no other thread writes.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other thread reads or writes.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_lock_is_taken_after_a_panic_of_the_thread_that_held_it() {
        let lock = Arc::new(Lock::new(0));
        let shared = Arc::new(SharedLock::new(0));
        let (held, written) = (Arc::clone(&lock), Arc::clone(&shared));
        let panicked = std::thread::spawn(move || {
            *held.lock() = 1;
            *written.write() = 1;
            let _guards = (held.lock(), written.write());
            panic!("while both are held");
        });
        assert!(panicked.join().is_err());
        assert_eq!(*lock.lock(), 1);
        assert_eq!(lock.try_lock().map(|value| *value), Some(1));
        assert_eq!(*shared.read(), 1);
        assert_eq!(*shared.write(), 1);
    }

    #[test]
    fn a_lock_that_is_held_is_not_taken_by_a_try() {
        let lock = Lock::new(());
        let guard = lock.lock();
        assert!(lock.try_lock().is_none());
        drop(guard);
        assert!(lock.try_lock().is_some());
    }
}
