//! The oracle: whether a worker that went through faults kept its promises. Pure: no clock, no IO.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// A record's partition and offset.
pub(crate) type Place = (i32, i64);

/// A record as it lies in the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub place: Place,
    /// Its place in the order of everything that was produced.
    pub sequence: u64,
    pub key: String,
}

/// A line that a handler appended: its effect, which comes before any answer to kq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handled {
    pub place: Place,
    pub attempt: u32,
    pub sequence: u64,
    pub key: String,
}

/// The group's committed offsets at some time, and how many lines had been appended soon after.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub committed: BTreeMap<i32, i64>,
    pub handled: usize,
}

/// Everything that is known about one case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    pub sent: Vec<Sent>,
    /// In the order in which they were appended.
    pub handled: Vec<Handled>,
    /// Places of the records that lie in the dead letters.
    pub dead: Vec<Place>,
    /// In the order in which they were taken.
    pub samples: Vec<Sample>,
    /// How many more runs than records there may be.
    pub allowed: usize,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Neither handled nor dead-lettered.
    Lost(Place),
    /// A handler saw a record that was not sent, or another one than is at that offset.
    Strange(Handled),
    /// Committed past a record that was not resolved.
    Early { partition: i32, committed: i64, unresolved: i64 },
    /// The committed offset of a partition became smaller.
    Back { partition: i32, from: i64, to: i64 },
    /// The first success of a record came before that of an earlier one of its key.
    Order { key: String, first: u64, then: u64 },
    /// More runs, or letters, than allowed.
    Duplicates { seen: usize, allowed: usize },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost((partition, offset)) => write!(f, "[{partition}]@{offset} is lost"),
            Self::Strange(handled) => write!(f, "what was handled was not sent: {handled:?}"),
            Self::Early { partition, committed, unresolved } => {
                write!(f, "[{partition}]: {committed} was committed while {unresolved} was not resolved")
            }
            Self::Back { partition, from, to } => {
                write!(f, "[{partition}]: the committed offset went back from {from} to {to}")
            }
            Self::Order { key, first, then } => {
                write!(f, "key {key}: {first} succeeded for the first time before {then}")
            }
            Self::Duplicates { seen, allowed } => write!(f, "{seen} duplicates, {allowed} allowed"),
        }
    }
}

/// What is worth a line in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub sent: usize,
    pub handled: usize,
    pub dead: usize,
    pub duplicates: usize,
}

impl Evidence {
    /// Judges: every flaw, or the numbers.
    pub(crate) fn judge(&self) -> Result<Report, Vec<Flaw>> {
        let by_place: HashMap<Place, &Sent> = self.sent.iter().map(|sent| (sent.place, sent)).collect();
        let (mut known, strange): (Vec<&Handled>, Vec<&Handled>) = self.handled.iter().partition(|handled| {
            let sent = by_place.get(&handled.place);
            sent.is_some_and(|sent| sent.sequence == handled.sequence && sent.key == handled.key)
        });
        let mut flaws: Vec<Flaw> = strange.into_iter().cloned().map(Flaw::Strange).collect();
        let mut seen = HashSet::new();
        let runs = known.len();
        known.retain(|handled| seen.insert(handled.place));
        let dead: HashSet<Place> = self.dead.iter().copied().collect();

        let resolved = |place: &Place| seen.contains(place) || dead.contains(place);
        flaws.extend(self.sent.iter().map(|sent| sent.place).filter(|p| !resolved(p)).map(Flaw::Lost));
        flaws.extend(disorder(&known));
        flaws.extend(self.commits(&dead));
        let duplicates = (runs - known.len()) + (self.dead.len() - dead.len());
        if duplicates > self.allowed {
            flaws.push(Flaw::Duplicates { seen: duplicates, allowed: self.allowed });
        }
        let report = Report { sent: self.sent.len(), handled: known.len(), dead: dead.len(), duplicates };
        if flaws.is_empty() { Ok(report) } else { Err(flaws) }
    }

    /// Holds every sample against what had been handled by then.
    fn commits(&self, dead: &HashSet<Place>) -> Vec<Flaw> {
        let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for sent in &self.sent {
            offsets.entry(sent.place.0).or_default().push(sent.place.1);
        }
        for offsets in offsets.values_mut() {
            offsets.sort_unstable();
        }
        // By partition, how many of its offsets are resolved without a gap.
        let mut passed: HashMap<i32, usize> = HashMap::new();
        let mut last: BTreeMap<i32, i64> = BTreeMap::new();
        let (mut resolved, mut taken) = (dead.clone(), 0);
        let mut flaws = Vec::new();
        for sample in &self.samples {
            let until = sample.handled.clamp(taken, self.handled.len());
            resolved.extend(self.handled[taken..until].iter().map(|handled| handled.place));
            taken = until;
            for (&partition, &committed) in &sample.committed {
                if let Some(from) = last.insert(partition, committed).filter(|&from| from > committed) {
                    flaws.push(Flaw::Back { partition, from, to: committed });
                }
                let Some(offsets) = offsets.get(&partition) else { continue };
                let passed = passed.entry(partition).or_default();
                while offsets.get(*passed).is_some_and(|&offset| resolved.contains(&(partition, offset))) {
                    *passed += 1;
                }
                if let Some(&unresolved) = offsets.get(*passed).filter(|&&offset| offset < committed) {
                    flaws.push(Flaw::Early { partition, committed, unresolved });
                }
            }
        }
        flaws
    }
}

/// First successes, in the order of their time, whose order within a key is another.
fn disorder(firsts: &[&Handled]) -> Vec<Flaw> {
    let mut latest: HashMap<(i32, &str), u64> = HashMap::new();
    let mut flaws = Vec::new();
    for handled in firsts {
        let latest = latest.entry((handled.place.0, &handled.key)).or_insert(handled.sequence);
        if *latest > handled.sequence {
            flaws.push(Flaw::Order { key: handled.key.clone(), first: *latest, then: handled.sequence });
        }
        *latest = handled.sequence.max(*latest);
    }
    flaws
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten records of two keys in one partition, handled in order, committed as they were handled.
    fn good() -> Evidence {
        let key = |n: u64| if n.is_multiple_of(2) { "even" } else { "odd" }.to_owned();
        let place = |n: u64| (0, n as i64);
        let committed = |n: i64| BTreeMap::from([(0, n)]);
        Evidence {
            sent: (0..10).map(|n| Sent { place: place(n), sequence: n, key: key(n) }).collect(),
            handled: (0..10)
                .map(|n| Handled { place: place(n), attempt: 1, sequence: n, key: key(n) })
                .collect(),
            samples: (0..=10).map(|n| Sample { committed: committed(n), handled: n as usize }).collect(),
            ..Evidence::default()
        }
    }

    #[test]
    fn a_faultless_run_passes() {
        assert_eq!(good().judge(), Ok(Report { sent: 10, handled: 10, dead: 0, duplicates: 0 }));
    }

    #[test]
    fn a_lost_record_is_found() {
        let mut evidence = good();
        evidence.handled.pop();
        evidence.samples.pop();
        assert_eq!(evidence.judge(), Err(vec![Flaw::Lost((0, 9))]));
    }

    #[test]
    fn a_dead_letter_stands_for_its_record_and_a_second_one_is_a_duplicate() {
        let mut evidence = good();
        evidence.handled.pop();
        evidence.dead = vec![(0, 9)];
        assert_eq!(evidence.judge(), Ok(Report { sent: 10, handled: 9, dead: 1, duplicates: 0 }));
        evidence.dead.push((0, 9));
        assert_eq!(evidence.judge(), Err(vec![Flaw::Duplicates { seen: 1, allowed: 0 }]));
    }

    #[test]
    fn a_commit_before_the_effect_is_found_even_where_the_effect_came_later() {
        let mut evidence = good();
        evidence.samples[4].committed.insert(0, 5);
        assert_eq!(
            evidence.judge().unwrap_err()[0],
            Flaw::Early { partition: 0, committed: 5, unresolved: 4 }
        );
    }

    #[test]
    fn a_hole_is_no_record_to_wait_for() {
        let mut evidence = good();
        evidence.sent.remove(4);
        evidence.handled.remove(4);
        evidence.samples = vec![Sample { committed: BTreeMap::from([(0, 6)]), handled: 5 }];
        assert_eq!(evidence.judge().map(|report| report.sent), Ok(9));
        evidence.samples[0].handled = 4;
        assert_eq!(evidence.judge(), Err(vec![Flaw::Early { partition: 0, committed: 6, unresolved: 5 }]));
    }

    #[test]
    fn a_commit_that_goes_back_is_found() {
        let mut evidence = good();
        evidence.samples[6].committed.insert(0, 3);
        assert_eq!(evidence.judge(), Err(vec![Flaw::Back { partition: 0, from: 5, to: 3 }]));
    }

    #[test]
    fn a_key_out_of_order_is_found_and_two_keys_may_cross() {
        let mut evidence = good();
        evidence.samples.clear();
        evidence.handled.swap(4, 5);
        assert!(evidence.judge().is_ok());
        evidence.handled.swap(0, 2);
        assert_eq!(evidence.judge(), Err(vec![Flaw::Order { key: "even".into(), first: 2, then: 0 }]));
    }

    #[test]
    fn a_repeated_run_is_no_disorder_but_counts() {
        let mut evidence = good();
        evidence.handled.push(Handled { attempt: 1, ..evidence.handled[2].clone() });
        evidence.allowed = 1;
        assert_eq!(evidence.judge().map(|report| report.duplicates), Ok(1));
        evidence.handled.push(evidence.handled[3].clone());
        assert_eq!(evidence.judge(), Err(vec![Flaw::Duplicates { seen: 2, allowed: 1 }]));
    }

    #[test]
    fn a_record_that_was_not_sent_is_found() {
        let mut evidence = good();
        evidence.handled[3].sequence = 77;
        let flaws = evidence.judge().unwrap_err();
        assert!(matches!(flaws[0], Flaw::Strange(_)), "{flaws:?}");
        assert!(flaws.contains(&Flaw::Lost((0, 3))), "{flaws:?}");
    }
}
