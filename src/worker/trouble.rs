//! What the polling thread says while records do not get done: a pause each minute, and what holds a
//! partition up.

use std::time::{Duration, Instant};

use super::shared::Shared;

/// How often a pause is noted while it lasts.
const PAUSED: Duration = Duration::from_mins(1);
/// How many partitions are named at once.
const NAMED: usize = 10;
/// How often partitions are looked at: as often as a poll that brings nothing.
const LOOK: Duration = Duration::from_millis(100);

/// The notes of one worker.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The pause that lasts, and how many of its minutes have been noted.
    minutes: Option<(u64, u32)>,
    looked: Option<Instant>,
}

impl Notes {
    /// Says what it is time to say.
    pub(super) fn look(&mut self, now: Instant, shared: &Shared) {
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK) {
            return;
        }
        self.looked = Some(now);
        let (held_up, pause) = {
            let mut ledger = shared.ledger();
            let pause = ledger.outage.pause_number().zip(ledger.outage.standing(now));
            (ledger.look_at_fronts(now), pause)
        };
        let Some((number, standing)) = pause else {
            for held_up in held_up.iter().take(NAMED) {
                shared.log.note(held_up);
            }
            if let Some(more @ 1..) = held_up.len().checked_sub(NAMED) {
                shared.log.note(format_args!("{more} more partitions are held up"));
            }
            return;
        };
        let noted = self.minutes.filter(|(of, _)| *of == number).map_or(0, |(_, noted)| noted);
        self.minutes = Some((number, noted));
        if standing.lasts >= PAUSED * (noted + 1) {
            self.minutes = Some((number, noted + 1));
            let (seconds, probes) = (standing.lasts.as_secs(), standing.failed_probes);
            shared.log.note(format_args!(
                "paused for {seconds} s: {probes} attempts have failed since, one at a time"
            ));
        }
    }
}
