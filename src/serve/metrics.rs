//! The endpoint's numbers as Prometheus reads them: they are counted elsewhere, and read here for each request.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::budget::Budget;
use super::tally::{CODES, RecordResult, Tally, TopicTally};
use crate::http::server::Counts;
use crate::kafka::version;
use crate::named::Named as _;

/// Where the numbers are.
pub(super) struct Numbers {
    pub topics: Vec<Arc<str>>,
    pub tally: Arc<Tally>,
    pub budget: Budget,
    /// Of the listener, once that is there.
    pub counts: Arc<OnceLock<Arc<Counts>>>,
    /// Whether a broker is in reach.
    pub is_connected: Box<dyn Fn() -> bool + Send + Sync>,
}

/// A registry that holds them.
pub(super) fn registry(numbers: Numbers) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(numbers));
    registry
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Numbers")
    }
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("librdkafka", &version::librdkafka())];
        let help = "The version of kq and of the librdkafka in it";
        let mut metric = encoder.encode_descriptor("kq_build_info", help, None, MetricType::Gauge)?;
        ConstGauge::new(1.0).encode(metric.encode_family(&labels)?)?;
        self.encode_requests(encoder)?;
        self.encode_records(encoder)?;
        self.histograms(
            encoder,
            "kq_serve_request_seconds",
            "How long a request took from its head to its answer",
            |tally| &tally.request_seconds,
        )?;
        self.histograms(
            encoder,
            "kq_serve_acknowledge_seconds",
            "How long the records of a request took from the producer's queue to their acknowledgement",
            |tally| &tally.acknowledge_seconds,
        )?;
        self.encode_state(encoder)
    }
}

impl Numbers {
    /// The topics that are served, by name.
    fn named(&self) -> impl Iterator<Item = (&str, &TopicTally)> {
        self.topics.iter().enumerate().map(|(at, name)| (&**name, self.tally.of(Some(at))))
    }

    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests by topic and by the status of their answer; the topic is empty for other paths";
        let mut metric = encoder.encode_descriptor("kq_serve_requests", help, None, MetricType::Counter)?;
        for (topic, tally) in self.named().chain([("", self.tally.of(None))]) {
            for (code, count) in CODES.iter().zip(&tally.requests) {
                let count = count.load(Relaxed);
                // A status that never was is no sample; but one that is watched for is there from the start.
                if count > 0 || (!topic.is_empty() && *code == 200) {
                    let labels = [("topic", topic), ("code", &code.to_string())];
                    ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn encode_records(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Records by topic and by what became of them";
        let mut metric = encoder.encode_descriptor("kq_serve_records", help, None, MetricType::Counter)?;
        for (topic, tally) in self.named() {
            for (result, count) in RecordResult::ALL.iter().zip(&tally.records) {
                let labels = [("topic", topic), ("result", result.name())];
                ConstCounter::new(count.load(Relaxed)).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "Bytes of the bodies that were read, before decompression";
        let mut metric = encoder.encode_descriptor("kq_serve_body_bytes", help, None, MetricType::Counter)?;
        for (topic, tally) in self.named() {
            let count = ConstCounter::new(tally.body_bytes.load(Relaxed));
            count.encode(metric.encode_family(&[("topic", topic)])?)?;
        }
        Ok(())
    }

    fn histograms(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        of: impl Fn(&TopicTally) -> &Histogram,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (topic, tally) in self.named() {
            of(tally).encode(metric.encode_family(&[("topic", topic)])?)?;
        }
        Ok(())
    }

    fn encode_state(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests that nothing is wrong with, and that were not taken, by reason";
        let mut metric = encoder.encode_descriptor("kq_serve_rejected", help, None, MetricType::Counter)?;
        for (reason, count) in self.tally.rejections() {
            ConstCounter::new(count).encode(metric.encode_family(&[("reason", reason)])?)?;
        }
        let (open, gone) = self.counts.get().map(|counts| (counts.open(), counts.gone())).unwrap_or_default();
        let help = "Connections that ended before the answer to their request was written";
        let metric = encoder.encode_descriptor("kq_serve_clients_gone", help, None, MetricType::Counter)?;
        ConstCounter::new(gone).encode(metric)?;
        let connected = u8::from((self.is_connected)());
        for (name, help, value) in [
            (
                "kq_serve_pending_bytes",
                "Bytes of bodies that are being read or not acknowledged yet",
                self.budget.taken() as f64,
            ),
            (
                "kq_serve_in_flight_requests",
                "Requests that are being answered",
                self.tally.in_flight() as f64,
            ),
            ("kq_serve_connections", "Open connections", open as f64),
            ("kq_serve_connected", "Whether a broker of the cluster can be reached", f64::from(connected)),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::StatusCode;
    use prometheus_client::encoding::text::encode;

    use super::super::tally::Rejection;
    use super::*;
    use crate::kafka::client::Persistence;
    use crate::kafka::code::Code;
    use crate::sending::publisher::Outcome;

    #[test]
    fn each_number_has_its_name_and_no_label_that_a_client_chooses() {
        let tally = Arc::new(Tally::new(1));
        tally.answered(Some(0), StatusCode::OK, Duration::from_millis(3));
        tally.answered(None, StatusCode::NOT_FOUND, Duration::ZERO);
        tally.answered(None, StatusCode::IM_A_TEAPOT, Duration::ZERO);
        let failed = |code| Outcome::Failed { code, persistence: Persistence::Possibly };
        let outcomes = [
            Outcome::Acknowledged { partition: 0, offset: 0 },
            failed(Code::MessageTimedOut),
            failed(Code::InvalidRecord),
        ];
        tally.settled(0, &outcomes, Duration::from_millis(2));
        tally.rejected(Rejection::Rate);
        let budget = Budget::new(10);
        let mut held = budget.hold();
        assert!(held.take(4));
        let registry = registry(Numbers {
            topics: vec!["t".into()],
            tally: Arc::clone(&tally),
            budget,
            counts: Arc::default(),
            is_connected: Box::new(|| true),
        });
        let _in_flight = tally.begins();
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "kq_serve_requests_total{topic=\"t\",code=\"200\"} 1",
            "kq_serve_requests_total{topic=\"\",code=\"404\"} 1",
            "kq_serve_requests_total{topic=\"\",code=\"500\"} 1",
            "kq_serve_records_total{topic=\"t\",result=\"acknowledged\"} 1",
            "kq_serve_records_total{topic=\"t\",result=\"refused\"} 1",
            "kq_serve_records_total{topic=\"t\",result=\"not_sent\"} 0",
            "kq_serve_records_total{topic=\"t\",result=\"unknown\"} 1",
            "kq_serve_body_bytes_total{topic=\"t\"} 0",
            "kq_serve_request_seconds_count{topic=\"t\"} 1",
            "kq_serve_acknowledge_seconds_bucket{le=\"0.002\",topic=\"t\"} 1",
            "kq_serve_rejected_total{reason=\"rate\"} 1",
            "kq_serve_clients_gone_total 0",
            "kq_serve_pending_bytes 4.0",
            "kq_serve_in_flight_requests 1.0",
            "kq_serve_connections 0.0",
            "kq_serve_connected 1.0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
