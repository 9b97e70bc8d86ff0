//! The client's properties of every producer: one list, and where letters differ. Pure: no clock, no IO.
//!
//! They are defaults: what `-X`, `KQ_X`, a file and a command's own flags say of a property counts more.

use std::time::Duration;

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

/// The client's `message.timeout.ms` for records of which something is to be known within this time: librdkafka
/// looks once a second for those whose time is over.
pub(crate) fn client_timeout(limit: Duration) -> Duration {
    const SCAN: Duration = Duration::from_secs(1);
    limit.saturating_sub(SCAN.min(limit / 2))
}

/// [`DEFAULTS`] for records whose senders wait for the answer, and are many.
///
/// - `linger.ms`: batches form while earlier ones are under way. With 64 records in flight, 0 sends twenty times
///   as many a second as 5 does.
/// - `message.timeout.ms`: nine seconds, but see [`client_timeout`]. Who sends over HTTP may wait no longer than ten.
/// - `queue.buffering.max.messages`: a request may hold 10,000 records, and several are under way.
/// - `reconnect.backoff.max.ms`: who is refused while the brokers are away tries again within seconds.
pub(crate) fn published() -> Vec<(&'static str, &'static str)> {
    let differing = DEFAULTS.map(|(name, value)| match name {
        "linger.ms" => (name, "0"),
        "message.timeout.ms" => (name, "8000"),
        "queue.buffering.max.messages" => (name, "100000"),
        _ => (name, value),
    });
    differing.into_iter().chain([("reconnect.backoff.max.ms", "1000")]).collect()
}

/// The same properties with a queue that holds so many kilobytes and records, where that is more.
pub(crate) fn with_queue<'a>(
    properties: &[(&'a str, &'a str)],
    kbytes: &'a str,
    records: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let number = |text: &str| text.parse::<u64>().unwrap_or_default();
    let larger = |one: &'a str, other: &'a str| if number(other) > number(one) { other } else { one };
    let wide = |&(name, value)| match name {
        "queue.buffering.max.kbytes" => (name, larger(value, kbytes)),
        "queue.buffering.max.messages" => (name, larger(value, records)),
        _ => (name, value),
    };
    properties.iter().map(wide).collect()
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
    fn what_is_published_goes_out_at_once_and_fails_before_its_sender_gives_up() {
        let published = published();
        let differing: Vec<_> = published.iter().filter(|property| !DEFAULTS.contains(property)).collect();
        let expected = [
            ("linger.ms", "0"),
            ("message.timeout.ms", "8000"),
            ("queue.buffering.max.messages", "100000"),
            ("reconnect.backoff.max.ms", "1000"),
        ];
        assert_eq!(differing, expected.each_ref());
        let timeout = client_timeout(Duration::from_secs(9)).as_millis().to_string();
        assert!(published.contains(&("message.timeout.ms", &timeout)));
        assert_eq!(client_timeout(Duration::from_secs(1)), Duration::from_millis(500));
    }

    #[test]
    fn a_queue_is_made_wider_and_never_narrower() {
        let (narrow, wide) =
            (with_queue(&published(), "1", "1"), with_queue(&published(), "204800", "150000"));
        assert_eq!(narrow, published());
        let differing: Vec<_> = wide.iter().filter(|property| !narrow.contains(property)).collect();
        let expected = [("queue.buffering.max.messages", "150000"), ("queue.buffering.max.kbytes", "204800")];
        assert_eq!(differing, expected.iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_limit_changes_the_batch_size_alone() {
        let fitting = with_batch_size(&DEFAULTS, "2000");
        assert!(fitting.contains(&("batch.size", "2000")));
        assert_eq!(fitting.iter().filter(|property| !DEFAULTS.contains(property)).count(), 1);
    }
}
