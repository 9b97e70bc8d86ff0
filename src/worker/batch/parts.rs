//! What is left to run of one batch, in halves of halves. Pure: no clock, no IO.

/// The parts of a batch that are not run, in the order of offsets.
#[derive(Debug)]
pub(in crate::worker) struct Parts<T> {
    /// The next is the last.
    parts: Vec<Vec<T>>,
}

impl<T> Parts<T> {
    /// All of a batch, in one part.
    pub(in crate::worker) fn of(batch: Vec<T>) -> Self {
        Self { parts: vec![batch] }
    }

    /// The next part to run: the one with the smallest offsets.
    pub(in crate::worker) fn next(&mut self) -> Option<Vec<T>> {
        self.parts.pop()
    }

    /// Takes a part that failed back, in two: the left half runs next.
    pub(in crate::worker) fn halve(&mut self, mut part: Vec<T>) {
        let right = part.split_off(part.len().div_ceil(2));
        self.put_back(right);
        self.put_back(part);
    }

    /// Takes a part back that is to run next, unless it is empty.
    pub(in crate::worker) fn put_back(&mut self, part: Vec<T>) {
        if !part.is_empty() {
            self.parts.push(part);
        }
    }

    /// Everything that is left.
    pub(in crate::worker) fn rest(self) -> impl Iterator<Item = T> {
        self.parts.into_iter().rev().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    /// Halves a batch until each guilty number is alone. Gives what succeeded, what was found guilty, in their
    /// order, and the runs.
    fn bisect(batch: usize, guilty: &BTreeSet<usize>) -> (Vec<usize>, Vec<usize>, usize) {
        let mut parts = Parts::of((0..batch).collect());
        let (mut done, mut found, mut runs) = (Vec::new(), Vec::new(), 0);
        while let Some(part) = parts.next() {
            runs += 1;
            if part.iter().all(|number| !guilty.contains(number)) {
                done.extend(part);
            } else if let [alone] = part[..] {
                found.push(alone);
            } else {
                parts.halve(part);
            }
        }
        (done, found, runs)
    }

    #[test]
    fn the_left_half_goes_first_and_what_is_left_is_in_order() {
        let mut parts = Parts::of(vec![0, 1, 2, 3, 4]);
        let batch = parts.next().unwrap();
        parts.halve(batch);
        assert_eq!(parts.next(), Some(vec![0, 1, 2]));
        parts.halve(vec![0, 1, 2]);
        assert_eq!(parts.next(), Some(vec![0, 1]));
        assert_eq!(parts.rest().collect::<Vec<_>>(), [2, 3, 4]);
    }

    proptest! {
        #[test]
        fn the_guilty_are_found_alone_and_all_others_succeed_once_in_order(
            batch in 1..400usize,
            guilty in prop::collection::btree_set(0..400usize, 0..6),
        ) {
            let guilty: BTreeSet<usize> = guilty.into_iter().filter(|number| *number < batch).collect();
            let (done, found, runs) = bisect(batch, &guilty);
            prop_assert!(done.iter().all(|number| !guilty.contains(number)));
            prop_assert!(done.is_sorted() && found.is_sorted());
            prop_assert_eq!(&found, &guilty.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(done.len() + found.len(), batch);
            let depth = batch.next_power_of_two().ilog2() as usize;
            prop_assert!(runs <= 1 + 2 * guilty.len() * depth, "{} runs", runs);
        }
    }
}
