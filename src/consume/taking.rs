//! What a consume does with what comes: records to the sink, ends and gaps to their partitions, errors.

use anyhow::{anyhow, bail};

use super::sink::Outcome;
use super::{Printing, Session, Stop};
use crate::exit::{self, Exit};
use crate::kafka::client::{ConsumerClient, Event};
use crate::kafka::errors::{self, Code};
use crate::reading::commit;
use crate::reading::position::{self, Limit, Log, Read, Verdict};
use crate::record::RecordRef;

impl<C: ConsumerClient> Session<'_, C> {
    pub(super) fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Record(record) => self.take_record(&record),
            Event::End { topic, partition, offset } => {
                if self.waits.contact.is_lost() {
                    self.note_answer();
                }
                if let Some(progress) = self.assignment.find(topic, partition) {
                    progress.reached_end(offset, self.clock.now_ms());
                    self.stop_when_done();
                }
            }
            Event::Error { topic, partition, offset, code, reason } => {
                self.take_error(topic, partition, offset, code, reason);
            }
        }
    }

    pub(super) fn take_record(&mut self, record: &RecordRef<'_>) {
        let Some(progress) = self.assignment.find(record.topic, record.partition) else { return };
        if !progress.wants(record.offset, record.timestamp.millis()) {
            return self.stop_when_done();
        }
        let outcome = {
            let Printing { output, sink } = &mut self.printing;
            sink.append(record, output.buffer())
        };
        progress.advance_to(record.offset + 1);
        let is_done = progress.done;
        self.times.last_record = self.times.polled;
        if self.waits.contact.is_lost() {
            self.note_answer();
        }
        if outcome != Outcome::Filtered {
            self.counts.written += 1;
        }
        if let Outcome::Undecoded(why) = outcome {
            self.counts.undecoded += 1;
            if self.counts.undecoded == 1 {
                self.config.log.error(format_args!(
                    "{}: written as it came, since its value can't be decompressed: {why}",
                    record.place()
                ));
            }
        }
        if self.settings.unbuffered {
            self.write_out();
        } else if let Err(e) = self.printing.output.relieve().map(|flushed| {
            if flushed {
                self.store();
            }
        }) {
            self.stdout_failed(e);
        }
        if self.settings.bounds.count.is_some_and(|count| self.counts.written >= count) {
            self.stop = Some(Stop::Reached);
        } else if is_done {
            self.stop_when_done();
        }
    }

    pub(super) fn take_error(&mut self, topic: &str, partition: i32, offset: i64, code: Code, reason: &str) {
        use Code as E;
        match code {
            E::AutoOffsetReset => {
                self.config.log.verbose(1, format_args!("{topic}[{partition}]@{offset}: {reason}"));
                self.take_gap(topic, partition, offset, errors::truncated_at(reason));
            }
            E::Fatal => {
                self.failure = Some(if errors::is_unsupported(reason) {
                    anyhow!(errors::UNSUPPORTED)
                } else {
                    exit::with(Exit::Fenced, anyhow!("fenced: {reason}"))
                });
            }
            E::TopicAuthorizationFailed
            | E::GroupAuthorizationFailed
            | E::ClusterAuthorizationFailed
            | E::UnknownTopicOrPartition
            | E::UnknownTopic
            | E::UnknownPartition
            | E::InconsistentGroupProtocol
            | E::InvalidGroupId
            | E::Authentication
            | E::InvalidTopic => {
                let what = match code {
                    E::InconsistentGroupProtocol => format!(
                        "the group's members share partitions in another way; --assignor names theirs ({reason})"
                    ),
                    _ if topic.is_empty() => reason.to_owned(),
                    _ => format!("{topic}: {reason}"),
                };
                self.failure = Some(anyhow!(what));
            }
            _ => self.config.log.verbose(1, format_args!("{topic}[{partition}]: {code}: {reason}")),
        }
    }

    /// The offset to read from is not in the partition any more, or not yet, or the log was cut.
    fn take_gap(&mut self, topic: &str, partition: i32, offset: i64, cut: Option<i64>) {
        let Some(progress) = self.assignment.find(topic, partition) else { return };
        if progress.done {
            return;
        }
        let position = progress.position().unwrap_or(offset);
        let limit = Limit::new(self.settings.bounds.until, progress.until);
        if let Err(e) = self.pass_gap(topic, partition, position, limit, cut) {
            self.failure = Some(e);
        }
    }

    fn pass_gap(
        &mut self,
        topic: &str,
        partition: i32,
        position: i64,
        limit: Limit,
        cut: Option<i64>,
    ) -> anyhow::Result<()> {
        let (low, high) = self.watermarks(topic, partition)?;
        let verdict = position::judge(Read::to(position), Log { low, high, cut }, limit);
        self.report(topic, partition, verdict);
        if let Verdict::Gone { next, .. } = verdict {
            // It was reported, so the group need not come back to it.
            if let Some(progress) = self.assignment.find(topic, partition) {
                progress.skip_to(next);
            }
            self.stop_when_done();
        }
        let next = verdict.next();
        match self.consumer().restart(topic, partition, next) {
            // It left meanwhile, and is its next owner's to read.
            Err(Code::InvalidArgument) => return Ok(()),
            Ok(()) => {}
            Err(code) => bail!("read {topic}[{partition}] from {next} on: {code}"),
        }
        let Verdict::Back { limit, .. } = verdict else { return Ok(()) };
        if limit.offset().is_some() {
            self.ends.keep(topic, partition, limit);
        }
        if let Some(progress) = self.assignment.find(topic, partition) {
            progress.go_back(next, limit.offset());
        }
        self.stop_when_done();
        self.commit_back(topic, partition, next)
    }

    /// Commits that position, so that the group begins there if this member ends before it has read up to
    /// what it had committed.
    pub(super) fn commit_back(&self, topic: &str, partition: i32, position: i64) -> anyhow::Result<()> {
        if self.settings.group.is_none() {
            return Ok(());
        }
        self.ask(|timeout| commit::commit_back(self.consumer(), topic, partition, position, timeout))
    }
}
