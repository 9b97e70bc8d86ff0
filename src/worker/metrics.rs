//! The worker's numbers as Prometheus reads them. They are counted elsewhere, and read here for each request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::ledger::{Ledger, PartitionStatus};
use super::observer::Watch;
use super::shared::Shared;
use super::tally::{Counts, Tally};
use crate::kafka::version;
use crate::named::Named;
use crate::record::TopicPartition;

/// A registry that holds this worker.
pub(super) fn registry(shared: &Arc<Shared>, watch: &Arc<Watch>) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Worker { shared: Arc::clone(shared), watch: Arc::clone(watch) }));
    registry
}

/// One worker, as it is when it is asked.
struct Worker {
    shared: Arc<Shared>,
    watch: Arc<Watch>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

impl Collector for Worker {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let (partitions, load) = {
            let ledger = self.shared.ledger();
            (ledger.partitions(), Load::of(&ledger))
        };
        encode_build(encoder)?;
        encode_tally(encoder, &self.shared.tally)?;
        load.encode(encoder)?;
        gauge(
            encoder,
            "kq_worker_paused",
            "Whether an outage of what the command needs is waited for, one record at a time",
            f64::from(u8::from(load.is_paused)),
        )?;
        gauge(
            encoder,
            "kq_worker_connected",
            "Whether a broker of the cluster can be reached",
            f64::from(u8::from(self.watch.away_since().is_none())),
        )?;
        encode_partitions(encoder, &partitions)
    }
}

fn encode_build(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let labels =
        vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("librdkafka", version::librdkafka())];
    let help = "The version of kq and of the librdkafka in it";
    family(encoder, "kq_build_info", help, std::iter::once((labels, 1.0)))
}

fn encode_tally(encoder: &mut DescriptorEncoder<'_>, tally: &Tally) -> fmt::Result {
    counters(encoder, "kq_worker_records", "Records by what became of them", "result", &tally.records)?;
    counters(
        encoder,
        "kq_worker_failed_attempts",
        "Attempts at a record that failed, by how",
        "reason",
        &tally.failed_attempts,
    )?;
    counter(
        encoder,
        "kq_worker_undecoded_values",
        "Values that a header says are compressed, and that could not be decompressed",
        &tally.undecoded,
    )?;
    counters(
        encoder,
        "kq_worker_rebalances",
        "Times that the group gave this member partitions or took some",
        "kind",
        &tally.rebalances,
    )?;
    let handler = &tally.handler_seconds;
    let help = "How long the command took for a record, an attempt";
    let metric = encoder.encode_descriptor("kq_worker_handler_seconds", help, None, handler.metric_type())?;
    handler.encode(metric)
}

/// What runs and waits at the moment.
struct Load {
    running: usize,
    queued: usize,
    oldest_start: Option<Instant>,
    is_paused: bool,
}

impl Load {
    fn of(ledger: &Ledger) -> Self {
        Self {
            running: ledger.running(),
            queued: ledger.queued(),
            oldest_start: ledger.oldest_start(),
            is_paused: ledger.outage.pause_number().is_some(),
        }
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        gauge(
            encoder,
            "kq_worker_in_flight_records",
            "Records that the command works on",
            self.running as f64,
        )?;
        gauge(
            encoder,
            "kq_worker_queued_records",
            "Records that wait for their turn or a retry",
            self.queued as f64,
        )?;
        let now = Instant::now();
        let oldest = self.oldest_start.map(|since| now.saturating_duration_since(since).as_secs_f64());
        gauge(
            encoder,
            "kq_worker_oldest_in_flight_seconds",
            "How long the command has worked on the record that it took first; 0 with none in flight",
            oldest.unwrap_or_default(),
        )
    }
}

fn encode_partitions(encoder: &mut DescriptorEncoder<'_>, partitions: &[PartitionStatus]) -> fmt::Result {
    let labels =
        |of: &TopicPartition| vec![("topic", of.topic.to_string()), ("partition", of.partition.to_string())];
    family(
        encoder,
        "kq_worker_lag_records",
        "Records of an assigned partition from the first that is not done to its end",
        partitions.iter().filter_map(|status| Some((labels(&status.name), status.lag? as f64))),
    )?;
    family(
        encoder,
        "kq_worker_span_records",
        "How far an assigned partition is read ahead of its oldest record that is not done",
        partitions.iter().map(|status| (labels(&status.name), status.span as f64)),
    )?;
    let now = Instant::now();
    let held = |status: &PartitionStatus| {
        status.held_since.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64())
    };
    family(
        encoder,
        "kq_worker_oldest_unresolved_seconds",
        "How long an assigned partition has waited for its oldest record that is not done, also while that \
         waits for a retry; 0 where nothing is open",
        partitions.iter().map(|status| (labels(&status.name), held(status))),
    )
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, count: &AtomicU64) -> fmt::Result {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(count.load(Relaxed)).encode(metric)
}

fn counters<T: Named + PartialEq>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    counts: &Counts<T>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in counts.each() {
        let labels = [(label, value)];
        ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}

fn family<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (Vec<(&'a str, String)>, f64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
