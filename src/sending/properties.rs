//! The client's properties of every producer: one list, and where letters differ. Pure: no clock, no IO.
//!
//! They are defaults: what `-X`, `KQ_X`, a file and a command's own flags say of a property counts more.

/// The properties of every producer unless the user sets others: nothing is lost, nothing is sent twice.
///
/// - `message.max.bytes` is out of the way: the broker's limit decides, and an oversized record
///   fails alone.
/// - `batch.size` stays under the broker's default `max.message.bytes` (1,048,588), and is made
///   smaller where the topic's own is lower: a batch above it is refused with all that is in it.
/// - `reconnect.backoff.ms`: half of it is what librdkafka waits before it connects to the second
///   broker, the one that it learned from the first; 50 ms by default, for each start.
/// - The queue is bounded by bytes, so that memory stays flat whatever the record size; one record
///   that is larger than all of it travels alone.
pub(crate) const DEFAULTS: [(&str, &str); 11] = [
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("compression.codec", "snappy"),
    ("partitioner", "murmur2_random"),
    ("linger.ms", "5"),
    ("message.timeout.ms", "120000"),
    ("message.max.bytes", "1000000000"),
    ("batch.size", "1000000"),
    ("queue.buffering.max.messages", "50000"),
    ("queue.buffering.max.kbytes", "24576"),
    ("reconnect.backoff.ms", "20"),
];

/// [`DEFAULTS`] for letters. A sender waits for each of them.
///
/// - `linger.ms`: the record that a letter belongs to is done only when the letter is acknowledged, so
///   a letter waits no longer than letters of the same moment need to travel together.
/// - `message.timeout.ms`: a letter is sent again until it is acknowledged, and each time the reason is
///   printed. Two minutes without a message would be too long.
pub(crate) fn letters() -> [(&'static str, &'static str); 11] {
    DEFAULTS.map(|(name, value)| match name {
        "linger.ms" => (name, "1"),
        "message.timeout.ms" => (name, "30000"),
        _ => (name, value),
    })
}

/// The same properties with a `batch.size` that fits a topic.
pub(crate) fn with_batch_size<'a>(
    properties: &[(&'a str, &'a str)],
    limit: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let fitting = |&(name, value)| (name, if name == "batch.size" { limit } else { value });
    properties.iter().map(fitting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_differ_from_other_records_in_their_times_alone() {
        let letters = letters();
        let differing = DEFAULTS.iter().zip(&letters).filter(|(one, other)| one != other);
        let differing: Vec<_> = differing.map(|(_, letter)| *letter).collect();
        assert_eq!(differing, [("linger.ms", "1"), ("message.timeout.ms", "30000")]);
    }

    #[test]
    fn a_limit_changes_the_batch_size_alone() {
        let fitting = with_batch_size(&DEFAULTS, "2000");
        assert!(fitting.contains(&("batch.size", "2000")));
        assert_eq!(fitting.iter().filter(|property| !DEFAULTS.contains(property)).count(), 1);
    }
}
