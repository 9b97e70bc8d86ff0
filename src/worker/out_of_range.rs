//! An offset that is not in the log: judged, said, and where reading goes on.

use super::poller::Poller;
use super::shared::StopReason;
use crate::kafka::client::ConsumerClient;
use crate::kafka::errors::Code;
use crate::reading::bounds::Start;
use crate::reading::position::{self, Limit, Log, Read, Verdict};
use crate::reading::{commit, questions};
use crate::record::TopicPartition;

impl<C: ConsumerClient> Poller<'_, C> {
    /// The offset to read from is not there: it was deleted, the topic was recreated, or the log was
    /// `cut` by an unclean election. Says so, and goes on at the first record that is there and was not read.
    pub(super) fn go_on_in_range(&mut self, name: &TopicPartition, offset: i64, cut: Option<i64>) {
        {
            let ledger = self.shared.ledger();
            // It was revoked meanwhile, and its next owner decides; or all that is asked for was read.
            if ledger.epoch_of(name).is_none() || ledger.is_ended(name) {
                return;
            }
        }
        if let Err(e) = self.find_range(name, offset, cut) {
            self.shared.stop(StopReason::Failed(format!("{e:#}")));
        }
    }

    fn find_range(&mut self, name: &TopicPartition, offset: i64, cut: Option<i64>) -> anyhow::Result<()> {
        let (topic, partition) = (&name.topic, name.partition);
        let read = self.read_of(name, offset, cut)?;
        let (low, high) =
            self.rebalancer.ask(|timeout| questions::watermarks(self.consumer, topic, partition, timeout))?;
        let log = Log { low, high, cut };
        let limit = Limit::new(self.rebalancer.until, self.shared.ledger().until_of(name));
        let mut verdict = match read {
            Some(read) => position::judge(read, log, limit),
            None if cut.is_some() => Verdict::GoOn { next: low },
            None => {
                let start = self.rebalancer.begin(name)?;
                start.verdict.unwrap_or(Verdict::GoOn { next: start.at.unwrap_or(low) })
            }
        };
        let is_back = matches!(verdict, Verdict::Back { .. });
        if is_back {
            self.rebalancer.finish(name);
            if let (Some(read), Some(now)) = (read, self.shared.ledger().read_of(name)) {
                verdict = position::judge(Read { done: now.done, ..read }, log, limit);
            }
        }
        if !matches!(verdict, Verdict::GoOn { .. }) {
            self.shared.ledger().forget_done(name);
        }
        self.rebalancer.tell(name, verdict);
        let next = verdict.next();
        if let Verdict::Back { limit, .. } = verdict {
            self.shared.ledger().go_back(name, next, limit.offset());
            if limit.offset().is_some() {
                self.rebalancer.ends.keep(topic, partition, limit);
            }
        }
        self.rebalancer.wanted.insert(name.clone(), Start::Offset(next));
        match self.consumer.restart(topic, partition, next) {
            // It has left just now.
            Err(Code::InvalidArgument) => Ok(()),
            Err(code) => anyhow::bail!("read {name} from {next} on: {code}"),
            // Should this worker be killed before it is where the group was.
            Ok(()) if is_back => self
                .rebalancer
                .ask(|timeout| commit::commit_back(self.consumer, topic, partition, next, timeout)),
            Ok(()) => Ok(()),
        }
    }

    /// How far a partition was read whose offset is not there; `None` where nothing was, and the group has
    /// committed nothing either.
    fn read_of(&self, name: &TopicPartition, offset: i64, cut: Option<i64>) -> anyhow::Result<Option<Read>> {
        if cut.is_some() {
            return Ok(self.shared.ledger().read_of(name));
        }
        if offset >= 0 {
            return Ok(Some(Read::to(offset)));
        }
        let asked = std::slice::from_ref(name);
        // Unanswered it is an error: what was done is not to be done again from the beginning.
        let committed = self
            .rebalancer
            .ask(|timeout| Ok(self.consumer.committed(asked, timeout)?))
            .map_err(|e| e.context(format!("{name}: ask for the group's committed offset")))?;
        Ok(committed.first().and_then(Option::as_ref).map(|committed| Read::to(committed.offset)))
    }
}
