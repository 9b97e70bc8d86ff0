//! An offset that is not in the log: what that means, and where reading goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rdkafka::Offset;
use rdkafka::types::RDKafkaErrorCode;

use super::poller::Poller;
use super::rebalance::list;
use super::shared::Stop;
use crate::kafka::consumer;
use crate::offset::From;

impl Poller<'_> {
    /// The offset to read from is not there: retention took it, the topic was made anew, or the log was
    /// `cut` by an unclean election. Says so, and goes on at the first record that is there and was not read.
    pub(super) fn settle_start(&mut self, topic: &Arc<str>, partition: i32, offset: i64, cut: Option<i64>) {
        let name = (Arc::clone(topic), partition);
        let wanted = if offset >= 0 && cut.is_none() {
            Some(offset)
        } else {
            let asked = list([(&**topic, partition, Offset::Invalid)]);
            let known = self.rebalancer.ask(|timeout| Ok(self.consumer.committed(&asked, timeout)?));
            if let Err(e) = known {
                // What was done is not to be done again from the beginning.
                return self.shared.stop(Stop::Failed(format!(
                    "{topic}[{partition}]: ask for the group's committed offset: {e:#}"
                )));
            }
            match asked.find_partition(topic, partition).map(|e| e.offset()) {
                Some(Offset::Offset(offset)) => Some(offset),
                _ => None,
            }
        };
        let watermarks =
            self.rebalancer.ask(|timeout| consumer::watermarks(self.consumer, topic, partition, timeout));
        let (low, high) = match watermarks {
            Ok(watermarks) => watermarks,
            Err(e) => return self.shared.stop(Stop::Failed(format!("{e:#}"))),
        };
        let log = self.shared.log;
        let goal = match (cut, wanted) {
            (Some(cut), _) => {
                let began = wanted.or_else(|| match self.rebalancer.start(self.consumer, &name) {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                });
                let goal = began.map_or(low, |began| began.min(cut)).clamp(low, high);
                log.error(format_args!(
                    "{topic}[{partition}]: its log was cut at {cut} (by an unclean election?); reading on from {goal}"
                ));
                goal
            }
            (None, Some(wanted)) if wanted < low => {
                self.shared.tally.lost.fetch_add((low - wanted) as u64, Relaxed);
                log.error(format_args!(
                    "{topic}[{partition}]: {wanted}..{low} gone: retention took them before they were read"
                ));
                low
            }
            (None, Some(wanted)) if wanted > high => {
                log.error(format_args!(
                    "{topic}[{partition}]: the group's offset {wanted} is past the end {high} (was the topic made anew?); starting at {low}"
                ));
                low
            }
            (None, Some(wanted)) => wanted,
            (None, None) => match self.rebalancer.start(self.consumer, &name) {
                Offset::Offset(offset) => offset,
                _ => low,
            },
        };
        let is_back = cut.is_some() || wanted.is_some_and(|wanted| goal < wanted);
        if is_back {
            // What has these offsets is not what was read under them.
            let mut ledger = self.shared.ledger();
            let until = ledger.until_of(&name);
            ledger.assign(&name, None, until);
        }
        self.rebalancer.wanted.insert(name, From::Beginning);
        let outcome = self.consumer.restart(topic, partition, goal);
        let outcome = match outcome {
            // The partition has left meanwhile, and its next owner settles this.
            Err(RDKafkaErrorCode::InvalidArgument) => Ok(()),
            Err(code) => Err(format!("read {topic}[{partition}] from {goal} on: {code}")),
            // Should this worker be killed before it is where the group was.
            Ok(()) if is_back => self
                .rebalancer
                .ask(|timeout| consumer::commit_back(self.consumer, topic, partition, goal, timeout))
                .map_err(|e| format!("{e:#}")),
            Ok(()) => Ok(()),
        };
        if let Err(why) = outcome {
            self.shared.stop(Stop::Failed(why));
        }
    }
}
