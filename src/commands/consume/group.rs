//! A consume as a member of a group: what it takes over, gives away and commits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::parts::Part;
use super::{BATCH, Session, Stop, TICK};
use crate::kafka::consumer;
use crate::kafka::errors::is_contact_lost;
use crate::kafka::ffi::{Assigned, Consumer, Rebalance};
use crate::offset::From;

impl Session<'_> {
    /// Commits what is stored. In the middle of a rebalance the group takes no commit, so
    /// wait for its end, within `--close-timeout`.
    pub(super) fn commit(&mut self) -> Result<(), RDKafkaErrorCode> {
        use RDKafkaErrorCode as E;
        let connected = self.connected;
        let deadline = Instant::now() + self.args.close_timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match connected.consumer.commit_stored(left) {
                Err(E::RebalanceInProgress | E::IllegalGeneration)
                    if !left.is_zero() && !self.parts.is_empty() =>
                {
                    drop(connected.consumer.poll(TICK, BATCH, self));
                }
                // The partitions went meanwhile, and what was stored was committed as they did.
                Err(E::RebalanceInProgress | E::IllegalGeneration) if self.parts.is_empty() && !self.lost => {
                    return Ok(());
                }
                other => return other,
            }
        }
    }

    /// Where a partition that the group gave us starts: its committed offset, unless there is none.
    fn take_over(&mut self, assigned: &mut Assigned, committed: Option<i64>) -> anyhow::Result<Part> {
        let (topic, partition) = (Arc::clone(&assigned.topic), assigned.partition);
        if committed.is_some() && self.bounds.until.is_none() {
            return Ok(Part::new(topic, partition, committed, None));
        }
        let watermarks = consumer::watermarks(self.consumer(), &topic, partition, self.config.timeout)?;
        let start = match (committed, self.bounds.from) {
            (Some(offset), _) => offset,
            (None, None | Some(From::Stored)) => watermarks.0,
            (None, Some(from)) => self.start(&topic, partition, from, watermarks)?,
        };
        if committed.is_none() {
            assigned.offset = Offset::Offset(start);
        }
        self.part(&topic, partition, Some(start), watermarks.1)
    }
}

impl Session<'_> {
    /// Asks for committed offsets, through an outage that begins just now: as long as a stop
    /// condition allows, else well within `max.poll.interval.ms`.
    fn committed(&self, consumer: &Consumer, list: &TopicPartitionList) -> Result<(), RDKafkaErrorCode> {
        let patience = if self.bounds.stops() { self.args.stall_timeout } else { Duration::from_mins(4) };
        let asked = Instant::now();
        loop {
            match consumer.committed(list, self.config.timeout) {
                Err(code)
                    if is_contact_lost(code)
                        && self.shutdown.signal().is_none()
                        && asked.elapsed() < patience => {}
                outcome => return outcome,
            }
        }
    }
}

impl Rebalance for Session<'_> {
    fn assigned(&mut self, consumer: &Consumer, partitions: &mut [Assigned]) {
        let mut list = TopicPartitionList::new();
        for p in &*partitions {
            list.add_partition(&p.topic, p.partition);
        }
        if self.stop.is_some() || self.broken.is_some() {
            // On the way out: nothing of it will be read.
            return;
        }
        if let Err(code) = self.committed(consumer, &list) {
            if self.shutdown.signal().is_some() {
                return;
            }
            self.broken = Some(anyhow!(
                "committed offsets of group {}: {code}",
                self.group.as_deref().unwrap_or_default()
            ));
            return;
        }
        for (assigned, committed) in partitions.iter_mut().zip(list.elements()) {
            let committed = match committed.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            match self.take_over(assigned, committed) {
                Ok(part) => self.parts.add(part),
                Err(e) => self.broken = Some(e),
            }
        }
        self.joined = Instant::now();
        self.last_record = Instant::now();
        self.config.log.verbose(1, format_args!("assigned: {}", names(partitions)));
        self.stop_when_done();
    }

    fn revoked(&mut self, _: &Consumer, partitions: &[Assigned], lost: bool) {
        self.lost |= lost;
        if !lost && self.broken.is_none() && self.stop != Some(Stop::Closed) {
            self.write_out();
        }
        for p in partitions {
            self.parts.remove(&p.topic, p.partition);
        }
        self.joined = Instant::now();
        self.config
            .log
            .verbose(1, format_args!("{}: {}", if lost { "lost" } else { "revoked" }, names(partitions)));
    }
}

fn names(partitions: &[Assigned]) -> String {
    partitions.iter().map(|p| format!("{}[{}]", p.topic, p.partition)).collect::<Vec<_>>().join(" ")
}
