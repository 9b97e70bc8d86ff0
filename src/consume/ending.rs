//! What a consume has done: written out, stored, committed, and the status it ends with.

use std::io;
use std::sync::Arc;

use super::{LEAVING, Session, Stop};
use crate::exit::Exit;
use crate::kafka::client::ConsumerClient;
use crate::kafka::errors::words;
use crate::record::TopicPartition;

impl<C: ConsumerClient> Session<'_, C> {
    /// Writes out what is gathered, and stores the offsets of it.
    pub(super) fn write_out(&mut self) {
        match self.output.flush() {
            Ok(()) => self.store(),
            Err(e) => self.stdout_failed(e),
        }
    }

    pub(super) fn stdout_failed(&mut self, e: io::Error) {
        if e.kind() == io::ErrorKind::BrokenPipe {
            self.stop = Some(Stop::Closed);
        } else if self.broken.is_none() {
            self.broken = Some(anyhow::Error::new(e).context("write stdout: nothing after it is committed"));
        }
    }

    /// Stores, for the next commit, what follows the records that were flushed.
    pub(super) fn store(&mut self) {
        if self.group.is_none() || self.broken.is_some() || self.stop == Some(Stop::Closed) {
            return;
        }
        let mut offsets = Vec::new();
        for part in self.parts.iter_mut() {
            if let (true, Some(next)) = (std::mem::take(&mut part.unstored), part.position()) {
                offsets.push((TopicPartition::new(Arc::clone(&part.topic), part.partition), next));
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
        let connected = self.connected;
        if self.broken.is_none() && self.stop != Some(Stop::Closed) {
            self.write_out();
        }
        // Closing takes the partitions away.
        let at: Vec<String> = self
            .parts
            .iter()
            .filter_map(|p| Some((p, p.next.filter(|next| *next > p.start.unwrap_or(0))?)))
            .map(|(p, next)| format!("{}[{}]@{}", p.topic, p.partition, next - 1))
            .collect();
        let mut uncommitted = None;
        if self.group.is_some() {
            // The close below commits too, but does not say whether it could.
            let deadline = self.clock.now() + self.settings.close_timeout;
            uncommitted = self.commit(deadline).err();
            let left = deadline.saturating_duration_since(self.clock.now()).max(LEAVING);
            connected.consumer.close(left, &mut self);
        }
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        let log = self.config.log;
        if let Some(code) = uncommitted {
            let names: Vec<String> = connected.topics.iter().map(|t| t.name.clone()).collect();
            log.error(format_args!(
                "the last commit of group {} failed ({}): records of {} may be read again",
                self.group.as_deref().unwrap_or_default(),
                words(code),
                names.join(", ")
            ));
        }
        if self.undecoded > 1 {
            log.error(format_args!(
                "{} values could not be undone and were written as they came",
                self.undecoded
            ));
        }
        if self.stop == Some(Stop::Closed) {
            return Ok(Exit::Done);
        }
        if let (Some(Stop::Signal(signal)), true) = (self.stop, self.bounds.stops()) {
            let last = if at.is_empty() { String::new() } else { format!("; last: {}", at.join(" ")) };
            log.error(format_args!("stopped by signal {signal} after {} records{last}", self.written));
            if uncommitted.is_none() && self.undecoded == 0 && self.gone == 0 {
                return Ok(Exit::Signal(signal));
            }
        }
        let failed = uncommitted.is_some() || self.undecoded > 0 || self.gone > 0;
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }
}
