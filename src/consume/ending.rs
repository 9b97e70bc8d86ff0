//! What a consume has done: written out, stored, committed, and the status it ends with.

use std::io;

use super::assignment::Progress;
use super::{LEAVING, Session, Stop};
use crate::exit::Exit;
use crate::kafka::client::ConsumerClient;
use crate::kafka::errors::{Code, words};
use crate::reading::membership;

impl<C: ConsumerClient> Session<'_, C> {
    /// Writes out what is gathered, and stores the offsets of it.
    pub(super) fn write_out(&mut self) {
        match self.printing.output.flush() {
            Ok(()) => self.store(),
            Err(e) => self.stdout_failed(e),
        }
    }

    pub(super) fn stdout_failed(&mut self, e: io::Error) {
        if e.kind() == io::ErrorKind::BrokenPipe {
            self.stop = Some(Stop::Closed);
        } else if self.failure.is_none() {
            self.failure = Some(anyhow::Error::new(e).context("write stdout: nothing after it is committed"));
        }
    }

    /// Stores, for the next commit, what follows the records that were flushed.
    pub(super) fn store(&mut self) {
        if self.settings.group.is_none() || self.failure.is_some() || self.stop == Some(Stop::Closed) {
            return;
        }
        let mut offsets = Vec::new();
        for progress in self.assignment.iter_mut() {
            if let (true, Some(next)) = (std::mem::take(&mut progress.unstored), progress.position()) {
                offsets.push((progress.name(), next).into());
            }
        }
        if !offsets.is_empty()
            && let Err(code) = self.connected.consumer.store(&offsets)
        {
            self.config.log.verbose(1, format_args!("store offsets: {code}"));
        }
    }

    /// Flushes, commits, leaves the group, and says how it ended.
    pub(super) fn end(mut self) -> anyhow::Result<Exit> {
        if self.failure.is_none() && self.stop != Some(Stop::Closed) {
            self.write_out();
        }
        // Closing takes the partitions away.
        let last = self.last_offsets();
        let committed = if self.settings.group.is_some() { self.leave() } else { Ok(()) };
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.report_failures(committed);
        if self.stop == Some(Stop::Closed) {
            return Ok(Exit::Done);
        }
        let has_failed = committed.is_err() || self.counts.undecoded > 0 || self.counts.gone > 0;
        if let (Some(Stop::Signal(signal)), true) = (self.stop, self.settings.bounds.stops()) {
            let last = if last.is_empty() { String::new() } else { format!("; last: {}", last.join(" ")) };
            let written = self.counts.written;
            let log = self.config.log.of_the_end();
            log.error(format_args!("stopped by signal {signal} after {written} records{last}"));
            if !has_failed {
                return Ok(Exit::Signal(signal));
            }
        }
        Ok(if has_failed { Exit::Failed } else { Exit::Done })
    }

    /// The last record that was dealt with in each partition, as a person reads it.
    fn last_offsets(&self) -> Vec<String> {
        let last = |progress: &Progress| {
            let next = progress.next.filter(|next| *next > progress.start.unwrap_or(0))?;
            Some(progress.name().at(next - 1).to_string())
        };
        self.assignment.iter().filter_map(last).collect()
    }

    /// Commits, and leaves the group. The close commits too, but does not say whether it could.
    fn leave(&mut self) -> Result<(), Code> {
        let connected = self.connected;
        let deadline = self.clock.now() + self.settings.close_timeout;
        let committed = self.commit(deadline);
        let left = deadline.saturating_duration_since(self.clock.now()).max(LEAVING);
        if let Some(note) = membership::left_behind(connected.consumer.close(left, self)) {
            self.config.log.of_the_end().note(note);
        }
        committed
    }

    /// Reports what failed and ends the run with an error status.
    fn report_failures(&self, committed: Result<(), Code>) {
        let log = self.config.log.of_the_end();
        if let Err(code) = committed {
            let names: Vec<String> = self.connected.topics.iter().map(|t| t.name.clone()).collect();
            log.error(format_args!(
                "the last commit of group {} failed ({}): records of {} may be read again",
                self.settings.group.as_deref().unwrap_or_default(),
                words(code),
                names.join(", ")
            ));
        }
        if self.counts.undecoded > 1 {
            log.error(format_args!(
                "{} values could not be decompressed and were written as they came",
                self.counts.undecoded
            ));
        }
    }
}
