//! The search for records that a topic does not take: without a key, of another time. Pure: no clock, no IO.
//!
//! The checks are those of `org.apache.kafka.storage.internals.log.LogValidator`.

use std::io;

use super::batch::Header;
use super::config::LogConfig;
use super::records::{self, MAX_DECODED};
use super::refusal::{Fault, Faults, Refusal};
use crate::dev::code;

/// Refuses a batch with a record that its topic does not take. The records are decompressed only where
/// they must have keys, or where the header shows times that are out of range: it has the latest time,
/// and that of the first record. What is decompressed is subtracted from `budget`; beyond it nothing is
/// looked at, and a topic whose records must have keys does not take such a batch.
pub(super) fn check(
    header: &Header,
    batch: &[u8],
    config: &LogConfig,
    now_ms: i64,
    budget: &mut u64,
) -> Result<(), Refusal> {
    let first = now_ms.saturating_sub(config.timestamp_before_ms);
    let last = now_ms.saturating_add(config.timestamp_after_ms);
    let is_off = |time: i64| !config.log_append_time && time >= 0 && (time < first || time > last);
    let times_are_off = is_off(header.base_timestamp) || is_off(header.max_timestamp);
    if !times_are_off && !config.needs_keys {
        return Ok(());
    }
    let mut faults = Faults::default();
    let mut index = 0;
    let read = records::each(header, batch, budget, |seen| {
        if config.needs_keys && !seen.has_key {
            faults.add(index, Fault::NoKey);
        } else if is_off(seen.time) {
            faults.add(index, Fault::Time { time: seen.time, first, last });
        }
        index += 1;
    });
    let (code, why) = if times_are_off || faults.has_times() {
        let (from, to) = (header.base_timestamp, header.max_timestamp);
        (code::INVALID_TIMESTAMP, format!("times {from} to {to} of a batch, and {first} to {last} are taken"))
    } else if faults.count() > 0 {
        (code::INVALID_RECORD, format!("{} of {} records have no key", faults.count(), header.count))
    } else if let Err(e) = &read
        && e.kind() == io::ErrorKind::FileTooLarge
    {
        // A Java producer splits the batch and sends the parts again.
        let why =
            format!("the keys are looked for in {MAX_DECODED} bytes of decompressed records of a request");
        (code::MESSAGE_TOO_LARGE, why)
    } else if let Err(e) = read {
        (code::INVALID_RECORD, format!("the records of a batch can't be read: {e}"))
    } else {
        return Ok(());
    };
    Err(Refusal { code, why, faults })
}

#[cfg(test)]
mod tests {
    use super::super::batch::{HEADER, sample_of};
    use super::super::refusal::{LISTED, REPEATED};
    use super::*;

    const NOW: i64 = 1_000_000;
    const CONFIG: LogConfig = LogConfig {
        max_message_bytes: 1 << 20,
        segment_bytes: 1 << 20,
        retention_bytes: None,
        retention_ms: None,
        deletes: false,
        needs_keys: true,
        log_append_time: false,
        timestamp_before_ms: 1000,
        timestamp_after_ms: 100,
    };

    fn refused(records: &[(Option<&[u8]>, i64)], config: &LogConfig) -> Option<Refusal> {
        let batch = sample_of(records);
        check(&Header::parse(&batch).expect("a header"), &batch, config, NOW, &mut MAX_DECODED.clone()).err()
    }

    #[test]
    fn records_without_a_key_are_named_where_keys_are_needed() {
        let records = [(None, NOW), (Some(&b"k"[..]), NOW), (Some(&b""[..]), NOW), (None, NOW)];
        assert_eq!(refused(&records[1..3], &CONFIG), None);
        assert_eq!(refused(&records, &LogConfig { needs_keys: false, ..CONFIG }), None);
        let refusal = refused(&records, &CONFIG).expect("refused");
        assert_eq!(refusal.code, code::INVALID_RECORD);
        assert_eq!(refusal.faults.listed, [(0, Fault::NoKey), (3, Fault::NoKey)]);
        let sentence = refusal.faults.sentence("t-0").expect("a sentence");
        assert_eq!(
            sentence,
            "One or more records have been rejected due to 2 record errors in total, and only showing the \
             first three errors at most: [RecordError(batchIndex=0, message='Compacted topic cannot accept \
             message without key in topic partition t-0'), RecordError(batchIndex=3, message='Compacted \
             topic cannot accept message without key in topic partition t-0')]"
        );
    }

    #[test]
    fn records_of_another_time_are_named() {
        let config = LogConfig { needs_keys: false, ..CONFIG };
        let records = [(None, NOW), (None, NOW + 101), (None, NOW - 1000), (None, NOW - 1001), (None, -1)];
        let refusal = refused(&records, &config).expect("refused");
        assert_eq!(refusal.code, code::INVALID_TIMESTAMP);
        let time = |time| Fault::Time { time, first: NOW - 1000, last: NOW + 100 };
        assert_eq!(refusal.faults.listed, [(1, time(NOW + 101)), (3, time(NOW - 1001))]);
        let sentence = "One or more records have been rejected due to invalid timestamp";
        assert_eq!(refusal.faults.sentence("t-0").as_deref(), Some(sentence));
        assert_eq!(refused(&records, &LogConfig { log_append_time: true, ..config }), None);
    }

    #[test]
    fn many_records_are_counted_and_not_all_listed() {
        let refusal = refused(&vec![(None, NOW); LISTED + 5], &CONFIG).expect("refused");
        assert_eq!(refusal.faults.listed.len(), LISTED);
        let sentence = refusal.faults.sentence("t-0").expect("a sentence");
        assert!(sentence.contains("due to 10005 record errors"), "{sentence}");
        assert_eq!(sentence.matches("RecordError").count(), REPEATED);
    }

    #[test]
    fn records_that_cannot_be_read_are_refused_where_keys_are_needed() {
        let mut batch = sample_of(&[(Some(b"k"), NOW)]);
        batch[22] = 1;
        let header = Header::parse(&batch).expect("a header");
        let code = |config: &LogConfig| {
            check(&header, &batch, config, NOW, &mut MAX_DECODED.clone()).err().map(|refusal| refusal.code)
        };
        assert_eq!(code(&CONFIG), Some(code::INVALID_RECORD));
        assert_eq!(code(&LogConfig { needs_keys: false, ..CONFIG }), None);
    }
    #[test]
    fn the_batches_of_a_request_are_decompressed_up_to_one_budget() {
        let mut batch = sample_of(&[(Some(b"k"), NOW)]);
        let records = zstd::encode_all(&batch[HEADER..], 1).expect("compressed");
        batch.splice(HEADER.., records);
        batch[22] = 4;
        let header = Header::parse(&batch).expect("a header");
        let mut budget = 3 * records::LEAST;
        let mut taken = |config: &LogConfig| {
            let checked = check(&header, &batch, config, NOW, &mut budget);
            checked.map_err(|refusal| (refusal.code, refusal.faults.count()))
        };
        assert_eq!([(); 3].map(|()| taken(&CONFIG)), [Ok(()); 3]);
        assert_eq!(taken(&CONFIG), Err((code::MESSAGE_TOO_LARGE, 0)));
        assert_eq!(taken(&LogConfig { needs_keys: false, ..CONFIG }), Ok(()));
        let early = LogConfig { needs_keys: false, timestamp_before_ms: -1, ..CONFIG };
        assert_eq!(taken(&early), Err((code::INVALID_TIMESTAMP, 0)), "its records are not looked for");
        assert_eq!(budget, 0);
    }

    #[test]
    fn a_batch_without_compression_uses_no_budget() {
        let batch = sample_of(&[(Some(b"k"), NOW), (None, NOW)]);
        let header = Header::parse(&batch).expect("a header");
        let refusal = check(&header, &batch, &CONFIG, NOW, &mut 0).expect_err("refused");
        assert_eq!((refusal.code, refusal.faults.count()), (code::INVALID_RECORD, 1));
    }
}
