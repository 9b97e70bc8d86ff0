//! Which record of a partition may run now: order by key, by partition, or none. Pure: no clock, no IO.

mod batches;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::named::Named;

/// `--order`: which records wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Records of one key in one partition run one after the other.
    Key,
    /// Records of one partition run one after the other.
    Partition,
    /// Any record runs at any time.
    None,
}

impl Named for Order {
    const ALL: &'static [Self] = &[Self::Key, Self::Partition, Self::None];

    fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Partition => "partition",
            Self::None => "none",
        }
    }
}

/// Records of one lane run one after the other, in offset order.
///
/// A key is its hash: two keys that collide wait for each other, which is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lane(pub u64);

impl Order {
    /// The lane of a record with this key; without one it runs freely.
    pub(crate) fn lane(self, key: Option<&[u8]>) -> Option<Lane> {
        match self {
            Self::Key => key.map(|key| {
                let mut hasher = DefaultHasher::new();
                key.hash(&mut hasher);
                Lane(hasher.finish())
            }),
            Self::Partition => Some(Lane(0)),
            Self::None => None,
        }
    }
}

/// The queue of one partition: what may run, and what waits for its lane.
///
/// What may run goes in offset order, whatever its lane was held by: so the smallest offset that
/// is open, which is what can be committed, never waits for records behind it.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    ready: BTreeMap<i64, (Option<Lane>, T)>,
    /// The lanes that are held, by a ready item or one that was popped, and what waits for them.
    held: HashMap<Lane, VecDeque<(i64, T)>>,
    waiting: usize,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self { ready: BTreeMap::new(), held: HashMap::new(), waiting: 0 }
    }
}

impl<T> Lanes<T> {
    /// Queues an item behind all others of its lane; says whether it waits for one.
    pub(super) fn push(&mut self, lane: Option<Lane>, offset: i64, item: T) -> bool {
        if let Some(queue) = lane.and_then(|lane| self.held.get_mut(&lane)) {
            queue.push_back((offset, item));
            self.waiting += 1;
            return true;
        }
        if let Some(lane) = lane {
            self.held.insert(lane, VecDeque::new());
        }
        self.ready.insert(offset, (lane, item));
        false
    }

    /// The item with the smallest offset that may run. It holds its lane until [`Lanes::release`].
    pub(super) fn pop(&mut self) -> Option<(Option<Lane>, T)> {
        self.ready.pop_first().map(|(_, next)| next)
    }

    /// Puts an item that was popped back: its retry is due.
    pub(super) fn push_again(&mut self, lane: Option<Lane>, offset: i64, item: T) {
        self.ready.insert(offset, (lane, item));
    }

    /// Lets the next of a lane run: the item that held it is done. Gives the one that waited.
    pub(super) fn release(&mut self, lane: Option<Lane>) -> Option<&T> {
        let lane = lane?;
        let Some((offset, item)) = self.held.get_mut(&lane)?.pop_front() else {
            self.held.remove(&lane);
            return None;
        };
        self.waiting -= 1;
        Some(&self.ready.entry(offset).or_insert((Some(lane), item)).1)
    }

    /// Whether what is pushed to this lane would wait for it.
    pub(super) fn is_held(&self, lane: Option<Lane>) -> bool {
        lane.is_some_and(|lane| self.held.contains_key(&lane))
    }

    /// Forgets everything queued. Lanes held by popped items stay held.
    pub(super) fn clear(&mut self) {
        for (lane, _) in std::mem::take(&mut self.ready).into_values() {
            if let Some(lane) = lane {
                self.held.remove(&lane);
            }
        }
        for queue in self.held.values_mut() {
            queue.clear();
        }
        self.waiting = 0;
    }

    /// Whether something may run now.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many items are queued, ready or waiting.
    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_held_lane_holds_back_its_own_records_only() {
        let mut lanes = Lanes::default();
        let (a, b) = (Order::Key.lane(Some(b"a")), Order::Key.lane(Some(b"b")));
        lanes.push(a, 1, 1);
        lanes.push(a, 2, 2);
        lanes.push(b, 3, 3);
        lanes.push(None, 4, 4);
        let order: Vec<i32> = std::iter::from_fn(|| lanes.pop()).map(|(_, item)| item).collect();
        assert_eq!(order, [1, 3, 4]);
        lanes.release(a);
        assert_eq!(lanes.pop(), Some((a, 2)));
    }

    #[test]
    fn what_its_lane_held_back_goes_before_what_is_behind_it() {
        let mut lanes = Lanes::default();
        let (a, b) = (Some(Lane(1)), Some(Lane(2)));
        lanes.push(a, 1, 1);
        lanes.push(a, 2, 2);
        lanes.push(b, 3, 3);
        assert_eq!(lanes.pop(), Some((a, 1)));
        lanes.release(a);
        assert_eq!(lanes.pop(), Some((a, 2)));
    }

    #[test]
    fn records_without_a_key_run_freely_in_key_order() {
        assert_eq!(Order::Key.lane(None), None);
        assert_ne!(Order::Key.lane(Some(b"")), None);
        assert_eq!(Order::Partition.lane(None), Order::Partition.lane(Some(b"k")));
        assert_eq!(Order::None.lane(Some(b"k")), None);
    }

    #[test]
    fn a_retry_goes_before_what_is_behind_it_and_keeps_its_lane() {
        let mut lanes = Lanes::default();
        let lane = Order::Partition.lane(None);
        lanes.push(lane, 1, 1);
        lanes.push(lane, 2, 2);
        let (lane, item) = lanes.pop().unwrap();
        assert!(!lanes.is_ready());
        lanes.push_again(lane, 1, item);
        assert_eq!(lanes.pop(), Some((lane, 1)));
        assert!(!lanes.is_ready());
    }

    proptest! {
        #[test]
        fn every_item_runs_once_in_lane_order_and_never_two_of_a_lane(
            keys in prop::collection::vec(prop::option::of(0..4u64), 0..120),
            picks in prop::collection::vec(any::<usize>(), 400),
        ) {
            let mut lanes = Lanes::default();
            let mut running: Vec<(Option<Lane>, usize)> = Vec::new();
            let mut ran = Vec::new();
            let mut arrivals = keys.iter().enumerate();
            for pick in picks {
                if pick % 3 == 0 && let Some((i, key)) = arrivals.next() {
                    lanes.push(key.map(Lane), i as i64, i);
                } else if pick % 3 == 1 && let Some((lane, i)) = lanes.pop() {
                    // All that came, is not done, and whose lane nothing before it holds, lies behind it.
                    let came = keys.len() - arrivals.len();
                    let open = (0..came).filter(|j| !ran.contains(j) && running.iter().all(|(_, r)| r != j));
                    let mut free = open.filter(|&j| {
                        keys[j].is_none() || running.iter().all(|&(other, _)| other != keys[j].map(Lane))
                    });
                    prop_assert_eq!(free.next(), Some(i));
                    prop_assert!(lane.is_none() || running.iter().all(|&(other, _)| other != lane));
                    running.push((lane, i));
                } else if !running.is_empty() {
                    let (lane, i) = running.remove(pick % running.len());
                    if pick % 5 == 0 {
                        lanes.push_again(lane, i as i64, i);
                    } else {
                        ran.push(i);
                        lanes.release(lane);
                    }
                }
            }
            for (i, key) in arrivals {
                lanes.push(key.map(Lane), i as i64, i);
            }
            loop {
                if let Some((lane, i)) = lanes.pop() {
                    ran.push(i);
                    lanes.release(lane);
                } else if let Some((lane, i)) = running.pop() {
                    ran.push(i);
                    lanes.release(lane);
                } else {
                    break;
                }
            }
            prop_assert_eq!(lanes.len(), 0);
            for lane in keys.iter().flatten() {
                let of_lane: Vec<usize> = ran.iter().copied().filter(|&i| keys[i] == Some(*lane)).collect();
                prop_assert!(of_lane.is_sorted());
            }
            ran.sort_unstable();
            prop_assert_eq!(ran, (0..keys.len()).collect::<Vec<_>>());
        }
    }
}
