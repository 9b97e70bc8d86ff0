//! Queues frames as records: which partition, how many at once, and what to do with a full queue.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::tally::Place;
use super::{OnInvalid, Session, Stop, TICK};
use crate::clock::time;
use crate::kafka::client::{ProducerClient, TopicClient as _};
use crate::kafka::code::Code;

/// So many frames that are no valid record are reported one by one, the others counted.
const REPORTED: u64 = 10;

impl<'a, P: ProducerClient> Session<'a, P> {
    /// Queues these frames of `buffer`, each a record; a full queue makes it wait.
    pub(super) fn send(&mut self, buffer: &[u8], mut frames: &[Range<usize>], at: &mut Place) {
        if self.shape.is_plain() && !self.settings.skip_empty && self.may_choose_partition() {
            while !frames.is_empty() && self.stop.is_none() {
                let (now, rest) = frames.split_at(self.allowance(frames.len()));
                frames = rest;
                self.send_plain(buffer, now, at);
            }
            return;
        }
        for frame in frames {
            if self.stop.is_some() {
                return;
            }
            self.send_shaped(&buffer[frame.clone()], at);
            self.extent.queued = self.extent.before + frame.end as u64;
        }
    }

    /// Whether kq may choose the partition of a record without a key: the partitioner would choose any.
    fn may_choose_partition(&self) -> bool {
        self.settings.partition.is_some() || self.connected.random
    }

    /// Records without key and header, all to one partition.
    fn send_plain(&mut self, buffer: &[u8], mut frames: &[Range<usize>], at: &mut Place) {
        while !frames.is_empty() {
            let partition = self.settings.partition.unwrap_or_else(|| self.turns.take(frames.len()));
            let (input, line) = (at.input, at.line);
            let values = frames
                .iter()
                .zip(line + 1..)
                .map(|(frame, line)| (&buffer[frame.clone()], Place { input, line }.tag()));
            let (tally, main) = (&mut self.tally, &self.settings.topic);
            let taken = self.topics[main].send_values(partition, values, &mut |tag, code| {
                tally.fail(Place::of(tag), code, main, partition);
            });
            at.line += taken as u64;
            if let Some(last) = frames[..taken].last() {
                self.extent.queued = self.extent.before + last.end as u64;
            }
            self.count_sent(taken as u64);
            frames = &frames[taken..];
            self.report_failures();
            if !frames.is_empty() && !self.wait_for_room() {
                return;
            }
        }
    }

    /// One record of any shape.
    fn send_shaped(&mut self, frame: &[u8], at: &mut Place) {
        at.line += 1;
        if self.settings.skip_empty && frame.is_empty() {
            return;
        }
        if self.allowance(1) == 0 {
            at.line -= 1;
            return;
        }
        let place = *at;
        let free = self.may_choose_partition();
        let has_own_time = self.shape.json && self.shape.timestamp.is_none();
        loop {
            // The closure borrows the shape, so what it changes is taken out of self for its length.
            let shape = std::mem::take(&mut self.shape);
            let outcome = shape.apply(frame, place.tag(), |topic, mut out| {
                let main = &self.settings.topic;
                let topic = topic.unwrap_or(main).to_owned();
                if out.partition.is_none() && out.key.is_none() && free && topic == *main {
                    out.partition = Some(self.turns.take(1));
                }
                let sent = self.topic(&topic).and_then(|topic| topic.send(&out));
                if let (true, true, Some(ms)) = (has_own_time, sent.is_ok(), out.timestamp)
                    && ms < time::EARLY
                {
                    self.tally.count_early(place, ms);
                }
                sent.map_err(|code| (code, topic, out.partition.unwrap_or(-1)))
            });
            self.shape = shape;
            match outcome {
                Ok(Ok(())) => return self.count_sent(1),
                Ok(Err((Code::QueueFull, ..))) => {
                    if !self.wait_for_room() {
                        at.line -= 1;
                        return;
                    }
                }
                Ok(Err((code, topic, partition))) => {
                    self.tally.fail(place, code, &topic, partition);
                    return self.report_failures();
                }
                Err(e) => return self.refuse(place, format!("{e:#}")),
            }
        }
    }

    /// A frame that is no valid record: reading ends, or it is reported and skipped.
    pub(super) fn refuse(&mut self, place: Place, why: String) {
        match self.settings.on_invalid {
            OnInvalid::Stop => self.stop = Some(Stop::Invalid),
            OnInvalid::Skip if self.tally.invalid < REPORTED => {
                self.say(|log, name| log.error(format_args!("{}: not sent: {why}", name(place))));
            }
            OnInvalid::Skip if self.tally.invalid == REPORTED => {
                self.say(|log, _| log.error("further invalid records are counted and not shown"));
            }
            OnInvalid::Skip => {}
        }
        self.tally.refuse(place, why);
    }

    /// The handle of a topic that records name themselves.
    fn topic(&mut self, name: &str) -> Result<&P::Topic<'a>, Code> {
        if !self.topics.contains_key(name) {
            let topic = self.connected.producer.topic(name).map_err(|_| Code::InvalidTopic)?;
            self.topics.insert(name.to_owned(), topic);
        }
        Ok(&self.topics[name])
    }

    pub(super) fn count_sent(&mut self, count: u64) {
        self.sent += count;
        if let Some(pace) = &mut self.pace {
            pace.count(count, Instant::now());
        }
        if self.settings.count.is_some_and(|most| self.sent >= most) {
            self.stop = Some(Stop::Count);
        }
    }

    /// How many of `wanted` records may be sent now under `-n` and `--rate`; waits until it is
    /// at least one. 0 where reading stops.
    fn allowance(&mut self, wanted: usize) -> usize {
        let left = self.settings.count.map_or(u64::MAX, |most| most - self.sent);
        let wanted = wanted.min(usize::try_from(left).unwrap_or(usize::MAX));
        while let Some(pace) = self.pace {
            self.look_for_signals();
            if self.stop.is_some() {
                return 0;
            }
            match pace.allowance(wanted, Instant::now()) {
                Ok(allowed) => return allowed,
                Err(early) => self.serve(early.clamp(Duration::from_millis(1), TICK)),
            }
        }
        wanted
    }

    /// Waits until the queue has room again. False where reading stops during that time.
    fn wait_for_room(&mut self) -> bool {
        self.serve(Duration::from_millis(10));
        self.look_for_signals();
        self.stop.is_none()
    }
}
