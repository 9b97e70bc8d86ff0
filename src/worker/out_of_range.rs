//! An offset that is not in the log: what that means, and where reading goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::poller::Poller;
use super::rebalance::partitions;
use super::shared::Stop;
use crate::kafka::client::{ConsumerClient, StartAt};
use crate::kafka::errors::Code;
use crate::reading::bounds::{End, Start};
use crate::reading::client;

impl<C: ConsumerClient> Poller<'_, C> {
    /// The offset to read from is not there: retention took it, the topic was made anew, or the log was
    /// `cut` by an unclean election. Says so, and goes on at the first record that is there and was not read.
    pub(super) fn settle_start(&mut self, topic: &Arc<str>, partition: i32, offset: i64, cut: Option<i64>) {
        let name = (Arc::clone(topic), partition);
        if self.shared.ledger().epoch_of(&name).is_none() {
            // It has left meanwhile, and is its next owner's to settle.
            return;
        }
        let wanted = if cut.is_some() {
            None
        } else if offset >= 0 {
            Some(offset)
        } else {
            let asked = partitions([&name]);
            match self.rebalancer.ask(|timeout| Ok(self.consumer.committed(&asked, timeout)?)) {
                Ok(committed) => committed.first().copied().flatten(),
                // What was done is not to be done again from the beginning.
                Err(e) => {
                    return self.shared.stop(Stop::Failed(format!(
                        "{topic}[{partition}]: ask for the group's committed offset: {e:#}"
                    )));
                }
            }
        };
        let watermarks =
            self.rebalancer.ask(|timeout| client::watermarks(self.consumer, topic, partition, timeout));
        let (low, high) = match watermarks {
            Ok(watermarks) => watermarks,
            Err(e) => return self.shared.stop(Stop::Failed(format!("{e:#}"))),
        };
        let log = self.shared.log;
        let is_back = cut.is_some() || wanted.is_some_and(|wanted| wanted > high);
        if is_back {
            self.rebalancer.finish(&name);
        }
        let goal = match (cut, wanted) {
            (Some(cut), _) => {
                let next = self.shared.ledger().next_of(&name);
                let goal = next.map_or(low, |next| next.min(cut)).clamp(low, high);
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
            (None, None) => match self.rebalancer.start(&name) {
                StartAt::Offset(offset) => offset,
                _ => low,
            },
        };
        if is_back {
            let mut ledger = self.shared.ledger();
            let until = ledger.until_of(&name);
            // The end that was there may never come again.
            let until = if self.rebalancer.until == Some(End::End) { until.min(Some(high)) } else { until };
            ledger.assign(&name, Some(goal), until);
        }
        self.rebalancer.wanted.insert(name, Start::Beginning);
        let outcome = self.consumer.restart(topic, partition, goal);
        let outcome = match outcome {
            // It has left just now.
            Err(Code::InvalidArgument) => Ok(()),
            Err(code) => Err(format!("read {topic}[{partition}] from {goal} on: {code}")),
            // Should this worker be killed before it is where the group was.
            Ok(()) if is_back => self
                .rebalancer
                .ask(|timeout| client::commit_back(self.consumer, topic, partition, goal, timeout))
                .map_err(|e| format!("{e:#}")),
            Ok(()) => Ok(()),
        };
        if let Err(why) = outcome {
            self.shared.stop(Stop::Failed(why));
        }
    }
}
