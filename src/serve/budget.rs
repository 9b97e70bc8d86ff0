//! The bytes that all requests may hold together: of bodies that are being read or are not acknowledged.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of bytes, from which requests take as theirs arrive. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    size: usize,
}

/// What one request holds of a budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Budget,
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// So many bytes; at most [`u32::MAX`].
    pub(crate) fn new(size: usize) -> Self {
        let size = size.min(u32::MAX as usize);
        Self { free: Arc::new(Semaphore::new(size)), size }
    }

    /// How many bytes are taken.
    pub(crate) fn taken(&self) -> usize {
        self.size - self.free.available_permits()
    }

    /// What a request holds at first: nothing.
    pub(crate) fn hold(&self) -> Held {
        Held { budget: self.clone(), bytes: 0, permit: None }
    }
}

impl Held {
    /// Takes further bytes if there are so many now; it does not wait, and takes all of them or none.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let Ok(count) = u32::try_from(bytes) else { return false };
        let Ok(more) = Arc::clone(&self.budget.free).try_acquire_many_owned(count) else { return false };
        self.bytes += bytes;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        true
    }

    /// Takes further bytes if they are at most so many, and there are so many now.
    pub(crate) fn take_if(&mut self, bytes: usize, most: usize) -> bool {
        bytes <= most && self.take(bytes)
    }

    /// Takes what it has less than so many bytes, if there are so many now. More than all that there is counts as
    /// all: one request alone is never refused for good.
    pub(crate) fn cover(&mut self, bytes: usize) -> bool {
        let lacks = bytes.min(self.budget.size).saturating_sub(self.bytes);
        lacks == 0 || self.take(lacks)
    }

    /// Gives back what is beyond so many bytes.
    pub(crate) fn keep(&mut self, bytes: usize) {
        let Some(permit) = &mut self.permit else { return };
        let given = self.bytes.saturating_sub(bytes);
        if permit.split(given).is_some() {
            self.bytes -= given;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_there_is_not_taken_and_what_is_dropped_is_free_again() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.hold(), budget.hold());
        assert!(one.take(4) && other.take(5) && one.take(1));
        assert!(!one.take(1) && !other.take(usize::MAX));
        assert!(one.take(0) && !one.take_if(1, 0) && one.take_if(0, 0));
        assert_eq!(budget.taken(), 10);
        drop(one);
        assert_eq!(budget.taken(), 5);
        assert!(other.take(5));
        other.keep(2);
        assert_eq!(budget.taken(), 2);
        drop(other);
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn what_is_covered_is_taken_once_and_never_more_than_all() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.hold(), budget.hold());
        assert!(one.take(4) && one.cover(3) && one.cover(6));
        assert_eq!(budget.taken(), 6);
        assert!(!other.cover(5) && other.cover(4));
        drop(other);
        assert!(one.cover(1000));
        assert_eq!(budget.taken(), 10);
    }

    proptest! {
        #[test]
        fn what_is_taken_is_the_sum_of_what_requests_hold(
            size in 0..200usize,
            steps in prop::collection::vec((0..4usize, 0..60usize, 0..3u8), 0..60),
        ) {
            let budget = Budget::new(size);
            let mut held: Vec<_> = (0..4).map(|_| (budget.hold(), 0)).collect();
            for (who, bytes, what) in steps {
                let sum: usize = held.iter().map(|(_, bytes)| bytes).sum();
                let (hold, has) = &mut held[who];
                match what {
                    0 => {
                        let fits = sum + bytes <= size;
                        prop_assert_eq!(hold.take(bytes), fits);
                        *has += if fits { bytes } else { 0 };
                    }
                    1 => {
                        hold.keep(bytes);
                        *has = bytes.min(*has);
                    }
                    _ => (*hold, *has) = (budget.hold(), 0),
                }
                prop_assert_eq!(budget.taken(), held.iter().map(|(_, bytes)| bytes).sum::<usize>());
            }
        }
    }
}
