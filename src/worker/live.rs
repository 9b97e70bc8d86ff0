//! The worker's live line: done, failed, rate, in flight, lag.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::HumanCount;

use super::shared::Shared;
use super::tally::RecordResult;
use crate::terminal::live::Live;

/// How often the line is rewritten.
const TICK: Duration = Duration::from_millis(250);
/// The rate is that of the last four seconds.
const TICKS: usize = 16;

/// How a worker stands, for a person.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    done: u64,
    /// Failed for good.
    failed: u64,
    /// Records a second.
    rate: f64,
    in_flight: usize,
    lag: Option<u64>,
    paused: bool,
    ending: bool,
}

impl Standing {
    fn line(self) -> String {
        let mut line = format!("{} done", HumanCount(self.done));
        if self.failed > 0 {
            let _ = write!(line, ", {} failed", HumanCount(self.failed));
        }
        let _ = write!(line, ", {}/s, {} in flight", HumanCount(self.rate.round() as u64), self.in_flight);
        if let Some(lag) = self.lag {
            let _ = write!(line, ", lag {}", HumanCount(lag));
        }
        if self.paused {
            line.push_str(", paused");
        }
        if self.ending {
            line.push_str(", ending");
        }
        line
    }
}

/// Shows the line until the runtime ends.
pub(super) async fn show(live: &'static Live, shared: Arc<Shared>) {
    let mut past: VecDeque<(Instant, u64)> = VecDeque::with_capacity(TICKS);
    let mut ticks = tokio::time::interval(TICK);
    loop {
        let now = ticks.tick().await.into_std();
        let tally = &shared.tally;
        let done = tally.records.of(RecordResult::Done);
        if past.len() == TICKS {
            past.pop_front();
        }
        past.push_back((now, done));
        let rate = past.front().map_or(0.0, |(then, before)| {
            (done - before) as f64 / now.duration_since(*then).as_secs_f64().max(TICK.as_secs_f64())
        });
        let (in_flight, partitions, paused) = {
            let ledger = shared.ledger();
            (ledger.running(), ledger.partitions(), ledger.outage.pause_number().is_some())
        };
        let standing = Standing {
            done,
            failed: tally.records.of(RecordResult::Skipped) + tally.records.of(RecordResult::DeadLettered),
            rate,
            in_flight,
            lag: partitions.iter().filter_map(|status| status.lag).reduce(|a, b| a + b),
            paused,
            ending: shared.stopping().is_some(),
        };
        live.show(&standing.line());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_there_is_to_say() {
        let mut standing = Standing { done: 12_345, rate: 99.6, in_flight: 8, ..Standing::default() };
        assert_eq!(standing.line(), "12,345 done, 100/s, 8 in flight");
        standing.failed = 2;
        standing.lag = Some(1_000);
        standing.paused = true;
        standing.ending = true;
        assert_eq!(standing.line(), "12,345 done, 2 failed, 100/s, 8 in flight, lag 1,000, paused, ending");
    }
}
