//! Where a consume starts and what ends it. Pure: now is injected, no IO.

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::cli::consume::Args;
use crate::reading::bounds::{Bound, End, Start, parse_bound, parse_until};

/// Where to start and when to stop.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub from: Option<Start>,
    pub until: Option<End>,
    pub count: Option<u64>,
    pub idle: Option<Duration>,
}

impl Bounds {
    /// What the flags say, relative times counted from `now` (ms since the epoch).
    pub fn new(args: &Args, now: i64) -> anyhow::Result<Self> {
        let mut bounds = Self { from: None, until: None, count: args.count, idle: args.idle };
        if args.end {
            bounds.until = Some(End::End);
        } else if let Some(until) = &args.until {
            bounds.until = Some(parse_until(until, now).context("--until")?);
        }
        for text in &args.from {
            match parse_bound(text, now).context("--from")? {
                Bound::Start(from) if bounds.from.is_none() => bounds.from = Some(from),
                Bound::End(until) if bounds.until.is_none() => bounds.until = Some(until),
                _ => bail!("--from {text}: one start and one end are enough"),
            }
        }
        Ok(bounds)
    }

    /// Whether it ends by itself.
    pub fn stops(&self) -> bool {
        self.until.is_some() || self.count.is_some() || self.idle.is_some()
    }
}
