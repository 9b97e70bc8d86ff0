//! What one run of `kq worker` is to do, as the engine takes it.

use std::time::Duration;

use super::batch::Batching;
use super::lanes::Order;
use super::ledger::OnOutage;
use super::policy::Policy;
use super::stdin::Input;
use crate::clock::backoff::Backoff;
use crate::clock::rate::Rate;
use crate::http::address::Address;
use crate::process::Program;
use crate::reading::bounds::{End, Start};
use crate::reading::isolation::Isolation;
use crate::reading::membership::Sharing;
use crate::reading::topics::Selection;
use crate::record::decode::Decoder;
use crate::record::filter::Filter;

/// The settings of one run: checked, and parsed.
pub(crate) struct Settings {
    pub program: Program,
    /// Names and patterns, each once; never empty.
    pub topics: Selection,
    pub reading: Reading,
    pub running: Running,
    pub failing: Failing,
    pub ending: Ending,
    /// Where the metrics are served.
    pub metrics: Option<Address>,
}

/// What is read, from where to where.
pub(crate) struct Reading {
    pub group: String,
    pub sharing: Sharing,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// Where to start in a partition that the group has committed nothing for.
    pub start: Start,
    /// The whole group starts there, whatever it has committed.
    pub reset: bool,
    pub until: Option<End>,
    /// So many records are done before it ends.
    pub count: Option<u64>,
    /// It ends when nothing came and nothing ran for so long.
    pub idle: Option<Duration>,
    /// So long after its time a record runs at the earliest.
    pub delay: Option<Duration>,
    /// Where it was asked for: without, the connection's own property counts.
    pub isolation: Option<Isolation>,
    pub decoder: Decoder,
    /// How often what is done is committed.
    pub commit_interval: Duration,
    /// Which records the command runs for.
    pub filter: Filter,
}

impl Reading {
    /// Whether it ends by itself.
    pub(crate) fn stops(&self) -> bool {
        self.until.is_some() || self.count.is_some() || self.idle.is_some()
    }
}

/// How the commands run.
pub(crate) struct Running {
    pub jobs: usize,
    pub mode: Mode,
    pub order: Order,
    pub command_timeout: Option<Duration>,
    /// How often commands may start, retries included.
    pub rate: Option<Rate>,
    /// What a command reads.
    pub input: Input,
    /// How far a partition is read ahead of its oldest record that is not done.
    pub max_span: u64,
    /// Where their output goes instead of stdout.
    pub output: Option<OutputTopic>,
    pub credentials: Credentials,
}

/// How many records a process gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One.
    OneShot,
    /// One after the other, so many in flight in each; the first answer of each may take so much longer.
    Persistent { window: usize, start_timeout: Duration },
    /// Many at once.
    Batch(Batching),
}

/// Whether passwords are in the commands' environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    Pass,
    Withhold,
}

/// A topic for what the commands print.
pub(crate) struct OutputTopic {
    pub topic: String,
    /// Each line is a record.
    pub lines: bool,
    /// The record's headers go along.
    pub copy_headers: bool,
}

/// What becomes of a record whose command failed.
pub(crate) struct Failing {
    pub policy: Policy,
    pub backoff: Backoff,
    /// The topic of dead letters.
    pub dead_letters: Option<String>,
    /// So many records that fail for good in a row are an outage; 0 is never.
    pub max_consecutive_failures: u32,
    pub on_outage: OnOutage,
}

/// How long ending may take.
pub(crate) struct Ending {
    /// What runs of partitions that move to another member.
    pub drain: Duration,
    pub shutdown_timeout: Duration,
    /// Where it ends by itself: how long the cluster may be out of reach.
    pub stall_timeout: Duration,
}
