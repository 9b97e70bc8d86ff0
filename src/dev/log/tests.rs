//! Tests of the log on a real folder.

use std::os::unix::fs::FileExt as _;

use super::batch::sample;
use super::*;
use proptest::prelude::*;

const CONFIG: LogConfig = LogConfig {
    max_message_bytes: 1 << 20,
    segment_bytes: 1 << 20,
    retention_bytes: None,
    retention_ms: None,
    deletes: true,
    needs_keys: false,
    log_append_time: false,
    timestamp_before_ms: i64::MAX,
    timestamp_after_ms: 3_600_000,
};
const NOBODY: (i64, i16, i32) = (-1, -1, -1);

fn log(folder: &Path) -> PartitionLog {
    PartitionLog::open(folder.to_owned(), &OpenFiles::new(1)).expect("open").0
}

fn append(log: &mut PartitionLog, times: &[i64], config: &LogConfig) -> i64 {
    take(log, &sample(0, times, NOBODY), config, 0).expect("append").base_offset
}

fn take(log: &mut PartitionLog, batch: &[u8], config: &LogConfig, now_ms: i64) -> Result<Appended, Refusal> {
    let checked = Checked::new(batch, config, 8, now_ms, &mut checked::BUDGET.clone())?;
    log.append(checked, config, now_ms)
}

fn find_time(log: &PartitionLog, time: i64) -> io::Result<Option<(i64, i64)>> {
    times::find(|| log, time, &mut times::BUDGET.clone())
}

fn find_latest_time(log: &PartitionLog) -> io::Result<Option<(i64, i64)>> {
    times::find_latest(|| log, &mut times::BUDGET.clone())
}

/// Base offsets of the batches that a read from `offset` gives.
fn batches(log: &PartitionLog, offset: i64) -> Vec<i64> {
    let slice = log.read(offset, 1 << 20, true).expect("read").expect("in range").slice;
    let Some(slice) = slice else { return Vec::new() };
    let mut bytes = vec![0; slice.len as usize];
    slice.file.open().expect("open").read_exact_at(&mut bytes, slice.position).expect("read");
    let mut found = Vec::new();
    let mut rest = &bytes[..];
    while let Some(header) = Header::parse(rest) {
        assert!(batch::crc_holds(&rest[..header.size], &header));
        found.push(header.base_offset);
        rest = &rest[header.size..];
    }
    found
}

#[test]
fn offsets_are_counted_by_records_and_read_from_the_batch_that_holds_them() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = log(folder.path());
    assert_eq!(append(&mut log, &[1, 2, 3], &CONFIG), 0);
    assert_eq!(append(&mut log, &[4], &CONFIG), 3);
    assert_eq!((log.start(), log.end()), (0, 4));
    assert_eq!(batches(&log, 0), [0, 3]);
    assert_eq!(batches(&log, 2), [0, 3]);
    assert_eq!(batches(&log, 3), [3]);
    assert!(batches(&log, 4).is_empty());
    assert!(log.read(5, 1, true).expect("read").is_none());
}

#[test]
fn a_first_batch_that_does_not_fit_is_given_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = log(folder.path());
    append(&mut log, &[1, 2, 3], &CONFIG);
    append(&mut log, &[4], &CONFIG);
    let first = sample(0, &[1, 2, 3], NOBODY).len() as u64;
    let read = |max, whole| {
        let read = log.read(0, max, whole).expect("read").expect("in range");
        (read.slice.map_or(0, |slice| slice.len), read.more)
    };
    assert_eq!(read(first - 1, true), (first, false));
    assert_eq!(read(first - 1, false), (0, true));
    assert_eq!(read(first, false), (first, false));
    // A part of a later batch is Kafka's own way: a reader leaves it.
    assert_eq!(read(first + 1, false), (first + 1, false));
}

#[test]
fn a_read_at_the_end_reads_no_file() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = log(folder.path());
    append(&mut log, &[1], &CONFIG);
    // A file that is gone from under it would fail a read.
    log.segments[0].lose_file();
    assert!(log.read(0, 1, true).is_err());
    assert!(log.read(1, 1, true).expect("no read").expect("in range").slice.is_none());
}

#[test]
fn a_torn_tail_is_cut_at_the_start_and_nothing_else() {
    let folder = tempfile::tempdir().expect("folder");
    {
        let mut log = log(folder.path());
        append(&mut log, &[1, 2], &CONFIG);
        append(&mut log, &[3, 4], &CONFIG);
    }
    let path = folder.path().join("00000000000000000000.log");
    let whole = std::fs::read(&path).expect("read");
    for keep in whole.len() / 2 + 1..whole.len() {
        std::fs::write(&path, &whole[..keep]).expect("write");
        let (log, lost) = PartitionLog::open(folder.path().to_owned(), &OpenFiles::new(1)).expect("open");
        assert_eq!(log.end(), 2, "{keep} bytes kept");
        assert!(lost.is_some());
    }
    let mut flipped = whole.clone();
    *flipped.last_mut().expect("bytes") ^= 1;
    std::fs::write(&path, &flipped).expect("write");
    assert_eq!(log(folder.path()).end(), 2);
    std::fs::write(&path, &whole).expect("write");
    let (log, lost) = PartitionLog::open(folder.path().to_owned(), &OpenFiles::new(1)).expect("open");
    assert_eq!((log.end(), lost), (4, None));
}

#[test]
fn a_duplicate_is_known_after_a_restart_too() {
    let folder = tempfile::tempdir().expect("folder");
    let first = sample(0, &[1, 2], (9, 0, 0));
    take(&mut log(folder.path()), &first, &CONFIG, 0).expect("append");
    let mut again = log(folder.path());
    assert_eq!(take(&mut again, &first, &CONFIG, 0).expect("known").base_offset, 0);
    assert_eq!(again.end(), 2);
    let gap = take(&mut again, &sample(0, &[1], (9, 0, 3)), &CONFIG, 0);
    assert_eq!(gap.map_err(|r| r.code), Err(code::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(again.highest_producer_id(), 9);
}

#[test]
fn times_are_found_across_segments_and_after_a_deletion() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = log(folder.path());
    let small = LogConfig { segment_bytes: 200, ..CONFIG };
    for i in 0..10 {
        append(&mut log, &[i * 100, i * 100 + 50], &small);
    }
    assert_eq!(find_time(&log, -5).expect("find"), Some((0, 0)));
    assert_eq!(find_time(&log, 450).expect("find"), Some((450, 9)));
    assert_eq!(find_time(&log, 451).expect("find"), Some((500, 10)));
    assert_eq!(find_time(&log, 951).expect("find"), None);
    assert_eq!(find_latest_time(&log).expect("find"), Some((950, 19)));
    log.delete_before(5).expect("delete");
    assert_eq!(log.start(), 5);
    assert_eq!(find_time(&log, 0).expect("find"), Some((250, 5)));
    assert!(log.read(4, 1, true).expect("read").is_none());
    assert_eq!(self::log(folder.path()).start(), 5);
}

#[test]
fn records_without_a_time_are_kept_from_when_they_were_appended() {
    let folder = tempfile::tempdir().expect("folder");
    let config = LogConfig { retention_ms: Some(1000), ..CONFIG };
    let now = crate::clock::now_ms();
    {
        let mut log = log(folder.path());
        take(&mut log, &sample(0, &[-1], NOBODY), &config, now).expect("append");
        log.retain(&config, now + 1000).expect("retain");
        assert_eq!(log.start(), 0);
    }
    // After a restart the file says when.
    let mut log = log(folder.path());
    log.retain(&config, now + 500).expect("retain");
    assert_eq!(log.start(), 0);
    log.retain(&config, now + 60_000).expect("retain");
    assert_eq!(log.start(), 1);
}

#[test]
fn times_too_far_from_the_brokers_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = log(folder.path());
    let now = 10_000_000;
    let mut taken = |times: &[i64], config: &LogConfig| {
        let taken = take(&mut log, &sample(0, times, NOBODY), config, now);
        taken.map(|_| ()).map_err(|refused| refused.code)
    };
    assert_eq!(taken(&[0, now + 3_600_000], &CONFIG), Ok(()));
    assert_eq!(taken(&[0, now + 3_600_001], &CONFIG), Err(code::INVALID_TIMESTAMP));
    assert_eq!(taken(&[i64::MAX], &CONFIG), Err(code::INVALID_TIMESTAMP));
    assert_eq!(taken(&[-1], &CONFIG), Ok(()));
    let near = LogConfig { timestamp_before_ms: 1000, timestamp_after_ms: i64::MAX, ..CONFIG };
    assert_eq!(taken(&[now - 1001], &near), Err(code::INVALID_TIMESTAMP));
    assert_eq!(taken(&[-1], &near), Ok(()));
    assert_eq!(taken(&[now - 1000, i64::MAX], &near), Ok(()));
    assert_eq!(taken(&[i64::MAX], &LogConfig { log_append_time: true, ..CONFIG }), Ok(()));
}

#[test]
fn the_latest_time_is_one_of_a_record_that_is_there() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = log(folder.path());
    append(&mut log, &[900, 800], &CONFIG);
    append(&mut log, &[10, 30, 20], &CONFIG);
    append(&mut log, &[25], &CONFIG);
    for (start, latest) in [(0, (900, 0)), (1, (800, 1)), (2, (30, 3)), (3, (30, 3)), (4, (25, 5))] {
        log.delete_before(start).expect("delete");
        assert_eq!(find_latest_time(&log).expect("find"), Some(latest), "from {start}");
    }
    log.delete_before(6).expect("delete");
    assert_eq!(find_latest_time(&log).expect("find"), None);
}

#[test]
fn retention_by_size_and_by_time_deletes_the_oldest_segments() {
    let folder = tempfile::tempdir().expect("folder");
    let mut log = log(folder.path());
    let small = LogConfig { segment_bytes: 100, ..CONFIG };
    for i in 0..10 {
        append(&mut log, &[i * 100], &small);
    }
    let size = log.size() / 10;
    log.retain(&LogConfig { retention_bytes: Some(3 * size), ..small }, 0).expect("retain");
    assert_eq!((log.start(), log.end()), (7, 10));
    log.retain(&LogConfig { retention_ms: Some(150), ..small }, 1000).expect("retain");
    assert_eq!((log.start(), log.end()), (9, 10));
    log.retain(&LogConfig { retention_ms: Some(1), ..small }, 10_000).expect("retain");
    assert_eq!((log.start(), log.end()), (10, 10));
    drop(log);
    let mut log = self::log(folder.path());
    assert_eq!((log.start(), log.end()), (10, 10));
    assert_eq!(append(&mut log, &[1], &small), 10);
}

#[test]
fn what_a_failed_append_left_is_cut_off_before_the_next_one() {
    let folder = tempfile::tempdir().expect("folder");
    let mut torn = log(folder.path());
    append(&mut torn, &[1, 2], &CONFIG);
    torn.segments[0].tear();
    append(&mut torn, &[3], &CONFIG);
    append(&mut torn, &[4], &CONFIG);
    assert_eq!(batches(&torn, 0), [0, 2, 3]);
    assert_eq!(log(folder.path()).end(), 4);
}

#[test]
fn a_deleted_log_leaves_the_folder_to_the_next_one_of_its_name() {
    let folder = tempfile::tempdir().expect("folder");
    let small = LogConfig { segment_bytes: 100, retention_bytes: Some(1), retention_ms: Some(1), ..CONFIG };
    let mut old = log(folder.path());
    for _ in 0..3 {
        append(&mut old, &[1], &small);
    }
    let slice = old.read(0, 1 << 20, true).expect("read").expect("in range").slice.expect("records");
    old.delete();
    std::fs::remove_dir_all(folder.path()).expect("remove");
    let mut new = log(folder.path());
    append(&mut new, &[1, 2, 3], &small);
    old.retain(&small, 1 << 40).expect("nothing to do");
    let refused = take(&mut old, &sample(0, &[1], NOBODY), &small, 0);
    assert_eq!(refused.map_err(|refusal| refusal.code), Err(code::UNKNOWN_TOPIC_OR_PARTITION));
    assert!(old.read(0, 1 << 20, true).is_err() && old.read(3, 1 << 20, true).is_err());
    assert!(old.delete_before(3).is_err());
    let names = std::fs::read_dir(folder.path()).expect("folder").map(|file| file.expect("file").file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["00000000000000000000.log"]);
    assert_eq!(batches(&new, 0), [0]);
    // An answer under way reads its own records.
    let mut bytes = vec![0; slice.len as usize];
    slice.file.open().expect("open").read_exact_at(&mut bytes, slice.position).expect("read");
    assert_eq!(bytes, sample(0, &[1], NOBODY));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_record_is_found_by_its_time_whatever_the_sizes(
        batches in proptest::collection::vec(proptest::collection::vec(0_i64..50, 1..5), 1..30),
        segment_bytes in 100_u64..2000,
        deleted in 0_i64..20,
    ) {
        let folder = tempfile::tempdir().expect("folder");
        let mut log = log(folder.path());
        for times in &batches {
            append(&mut log, times, &LogConfig { segment_bytes, ..CONFIG });
        }
        let deleted = deleted.min(log.end());
        log.delete_before(deleted).expect("delete");
        let all: Vec<(i64, i64)> = batches.concat().into_iter().zip(0..).skip(deleted as usize).collect();
        for time in 0..51 {
            let first = all.iter().find(|(t, _)| *t >= time).copied();
            prop_assert_eq!(find_time(&log, time).expect("find"), first);
        }
        let latest = all.iter().map(|(t, _)| *t).max();
        let latest = all.iter().find(|(t, _)| Some(*t) == latest).copied();
        prop_assert_eq!(find_latest_time(&log).expect("find"), latest);
    }

    #[test]
    fn every_record_is_where_its_offset_says_whatever_the_sizes(
        counts in proptest::collection::vec(1_usize..20, 1..40),
        segment_bytes in 100_u64..2000,
    ) {
        let folder = tempfile::tempdir().expect("folder");
        let config = LogConfig { segment_bytes, ..CONFIG };
        let mut bases = Vec::new();
        {
            let mut log = log(folder.path());
            for count in &counts {
                bases.push(append(&mut log, &vec![5; *count], &config));
            }
        }
        let log = log(folder.path());
        prop_assert_eq!(log.end() as usize, counts.iter().sum::<usize>());
        for offset in 0..log.end() {
            let holding = bases.iter().rev().find(|base| **base <= offset).copied();
            prop_assert_eq!(batches(&log, offset).first().copied(), holding);
        }
    }

    #[test]
    fn a_log_of_any_bytes_opens_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("00000000000000000000.log"), bytes).expect("write");
        let log = log(folder.path());
        prop_assert_eq!(log.end(), 0);
    }
}
