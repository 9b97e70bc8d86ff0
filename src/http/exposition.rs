//! Metrics as text: `OpenMetrics`, or Prometheus' older format for a client that does not ask for that. Pure: no
//! clock, no IO.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

use prometheus_client::registry::Registry;

/// The content type of [`text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The content type of [`plain`].
pub(crate) const PLAIN_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All of a registry, as text.
pub(crate) fn text(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(text)
}

/// The same in Prometheus' text format, where a counter's family has the name of its samples.
///
/// <https://prometheus.io/docs/instrumenting/exposition_formats/>
pub(crate) fn plain(text: &str) -> String {
    let counters: HashSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut plain = String::with_capacity(text.len());
    for line in text.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        let named = (words.next(), words.next(), words.next(), words.next());
        match named {
            (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(name), rest) if counters.contains(name) => {
                let _ = writeln!(plain, "# {what} {name}_total {}", rest.unwrap_or_default());
            }
            _ => {
                plain.push_str(line);
                plain.push('\n');
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_older_format_a_counter_is_named_as_its_samples() {
        let text = "# HELP kq_x Records\n# TYPE kq_x counter\nkq_x_total{result=\"done\"} 3\n\
                    # HELP kq_y Lag\n# TYPE kq_y gauge\nkq_y 1.0\n# EOF\n";
        let expected = "# HELP kq_x_total Records\n# TYPE kq_x_total counter\nkq_x_total{result=\"done\"} 3\n\
                        # HELP kq_y Lag\n# TYPE kq_y gauge\nkq_y 1.0\n";
        assert_eq!(plain(text), expected);
    }
}
