//! The times, offsets and keys of the records in a batch, decompressed. Pure: no clock, no IO.

use std::io::{self, Read};

use super::batch::{HEADER, Header, array};

/// The records of one batch are read (for their times) up to this many bytes, decompressed. An
/// ordinary batch of 1 MB has less; a few KiB of zeros can decompress to gigabytes.
pub(super) const MAX_DECODED: u64 = 32 << 20;

/// To decompress a batch of a producer counts as this many bytes at least: a decoder has a cost too.
pub(super) const LEAST: u64 = 4096;

/// What is read of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Milliseconds since the epoch.
    pub time: i64,
    pub offset: i64,
    pub has_key: bool,
}

/// Time and offset of the first record of `batch` at or after a time, and at or after an offset.
/// `budget` is the number of bytes of records that may still be read; those that were read are
/// subtracted. Records that can't be decoded, or are too many, count as one record with the latest
/// time of the header.
pub(super) fn find_record(batch: &[u8], time: i64, offset: i64, budget: &mut u64) -> Option<(i64, i64)> {
    let header = Header::parse(batch)?;
    let mut found = None;
    let wanted = |seen: Seen| {
        found = (seen.time >= time && seen.offset >= offset).then_some((seen.time, seen.offset));
        found.is_some()
    };
    match walk_times(&header, batch, budget, wanted) {
        Ok(()) => found,
        Err(_) => as_one(&header, offset).filter(|(latest, _)| *latest >= time),
    }
}

/// The latest time of a record of `batch` at or after an offset, as [`find_record`] would find it.
pub(super) fn latest_time(batch: &[u8], offset: i64, budget: &mut u64) -> Option<i64> {
    let header = Header::parse(batch)?;
    let mut latest = None;
    let looked = walk_times(&header, batch, budget, |seen| {
        if seen.offset >= offset {
            latest = latest.max(Some(seen.time));
        }
        false
    });
    looked.map_or_else(|_| as_one(&header, offset).map(|(time, _)| time), |()| latest)
}

fn as_one(header: &Header, offset: i64) -> Option<(i64, i64)> {
    let first = header.base_offset.max(offset);
    (first <= header.last_offset()).then_some((header.max_timestamp, first))
}

/// Calls `look` with each record of a producer's `batch`. `budget` is the number of bytes that may still
/// be decompressed; those that were are subtracted. An error if the records can't be read, of the kind
/// `FileTooLarge` if they are more than the budget.
pub(super) fn each(
    header: &Header,
    batch: &[u8],
    budget: &mut u64,
    mut look: impl FnMut(Seen),
) -> io::Result<()> {
    let stop = |seen| {
        look(seen);
        false
    };
    if header.codec() == 0 {
        return walk(header, batch, &mut (batch.len() as u64), stop);
    }
    let Some(rest) = budget.checked_sub(LEAST) else {
        return Err(io::ErrorKind::FileTooLarge.into());
    };
    let walked = walk(header, batch, budget, stop);
    let is_used_up = *budget == 0;
    *budget = rest.min(*budget);
    walked.map_err(|e| if is_used_up { io::ErrorKind::FileTooLarge.into() } else { e })
}

/// [`walk`], for the times that the records have of their producer.
fn walk_times(
    header: &Header,
    batch: &[u8],
    budget: &mut u64,
    stop: impl FnMut(Seen) -> bool,
) -> io::Result<()> {
    if header.is_log_append_time() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    walk(header, batch, budget, stop)
}

/// Calls `stop` with each record until it returns true. An error if the records can't be read.
fn walk(
    header: &Header,
    batch: &[u8],
    budget: &mut u64,
    mut stop: impl FnMut(Seen) -> bool,
) -> io::Result<()> {
    let most = if header.codec() == 0 { *budget } else { MAX_DECODED.min(*budget) };
    // Snappy is decompressed as a whole, also where one record is read of it.
    let mut decoded = 0;
    let records = decompress(header.codec(), batch.get(HEADER..).unwrap_or_default(), most, &mut decoded);
    let walked = records.and_then(|records| {
        let mut records = records.take(most);
        let walked = walk_records(header, &mut records, &mut stop);
        decoded = decoded.max(most - records.limit());
        walked
    });
    *budget -= decoded;
    walked
}

fn walk_records(
    header: &Header,
    records: &mut impl Read,
    stop: &mut impl FnMut(Seen) -> bool,
) -> io::Result<()> {
    for _ in 0..header.count {
        let length = varint(records)?;
        let length = u64::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let mut record = records.by_ref().take(length);
        let mut attributes = [0];
        record.read_exact(&mut attributes)?;
        let time = header.base_timestamp.saturating_add(varint(&mut record)?);
        let offset = header.base_offset.saturating_add(varint(&mut record)?);
        let has_key = varint(&mut record)? >= 0;
        if stop(Seen { time, offset, has_key }) {
            return Ok(());
        }
        let left = record.limit();
        if io::copy(&mut record, &mut io::sink())? != left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// A zigzag varint of at most ten bytes.
fn varint(from: &mut impl Read) -> io::Result<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// What was decompressed already is added to `decoded`.
fn decompress<'a>(
    codec: i16,
    records: &'a [u8],
    most: u64,
    decoded: &mut u64,
) -> io::Result<Box<dyn Read + 'a>> {
    let stream: Box<dyn Read + '_> = match codec {
        0 => return Ok(Box::new(records)),
        1 => Box::new(flate2::read::GzDecoder::new(records)),
        2 => return Ok(Box::new(io::Cursor::new(snappy(records, most, decoded)?))),
        3 => Box::new(lz4_flex::frame::FrameDecoder::new(records)),
        4 => Box::new(zstd::stream::read::Decoder::new(records)?),
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    Ok(Box::new(io::BufReader::new(stream)))
}

/// Snappy as clients write it: Java's xerial framing, or one raw block.
fn snappy(bytes: &[u8], most: u64, decoded: &mut u64) -> io::Result<Vec<u8>> {
    const XERIAL: &[u8] = b"\x82SNAPPY\0";
    let bad = |e: snap::Error| io::Error::new(io::ErrorKind::InvalidData, e);
    let mut block = |block: &[u8], out: &mut Vec<u8>| {
        let size = snap::raw::decompress_len(block).map_err(bad)?;
        if (out.len() + size) as u64 > most {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        *decoded += size as u64;
        out.extend_from_slice(&snap::raw::Decoder::new().decompress_vec(block).map_err(bad)?);
        Ok(())
    };
    let mut out = Vec::new();
    if !bytes.starts_with(XERIAL) {
        block(bytes, &mut out)?;
        return Ok(out);
    }
    let mut rest = bytes.get(16..).unwrap_or_default();
    while !rest.is_empty() {
        let size = array::<4>(rest, 0).map(u32::from_be_bytes);
        let size = size.ok_or(io::ErrorKind::UnexpectedEof)? as usize;
        block(rest.get(4..4 + size).ok_or(io::ErrorKind::UnexpectedEof)?, &mut out)?;
        rest = &rest[4 + size..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::log::batch::{PREFIX, sample};
    use proptest::prelude::*;

    const NOBODY: (i64, i16, i32) = (-1, -1, -1);

    #[test]
    fn the_first_record_at_or_after_a_time_is_found_per_record() {
        let batch = sample(100, &[10, 30, 20, 40], NOBODY);
        let find = |time| find_record(&batch, time, 0, &mut 1000);
        assert_eq!(find(15), Some((30, 101)));
        assert_eq!(find(40), Some((40, 103)));
        assert_eq!(find(41), None);
        assert_eq!(latest_time(&batch, 0, &mut 1000), Some(40));
    }

    #[test]
    fn a_budget_that_is_used_up_makes_a_batch_count_as_one() {
        let batch = sample(100, &[10, 30, 20, 40], NOBODY);
        let mut budget = 1000;
        assert_eq!(find_record(&batch, 41, 0, &mut budget), None);
        assert_eq!(budget, 1000 - (batch.len() - HEADER) as u64);
        assert_eq!(find_record(&batch, 15, 0, &mut 3), Some((40, 100)));
        assert_eq!(find_record(&batch, 41, 0, &mut 3), None);
    }

    #[test]
    fn a_batch_that_decompresses_to_too_much_is_not_decompressed() {
        use std::io::Write as _;
        // 64 MiB of records of a zero byte each, whose times are below what the header says.
        let mut zeros = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let record = [10, 0, 0, 0, 0, 0];
        (0..64).for_each(|_| zeros.write_all(&record.repeat((1 << 20) / record.len())).expect("compress"));
        let mut batch = sample(0, &[10], NOBODY);
        batch.truncate(HEADER);
        batch[22] = 1;
        batch[35..43].copy_from_slice(&1000_i64.to_be_bytes());
        batch[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
        batch.extend(zeros.finish().expect("compressed"));
        let size = batch.len() as i32 - PREFIX as i32;
        batch[8..12].copy_from_slice(&size.to_be_bytes());
        let mut budget = 1 << 30;
        assert_eq!(find_record(&batch, 500, 0, &mut budget), Some((1000, 0)));
        assert_eq!(budget, (1 << 30) - MAX_DECODED);
        let header = Header::parse(&batch).expect("a header");
        let mut budget = MAX_DECODED;
        let mut read = || each(&header, &batch, &mut budget, |seen| assert!(seen.has_key));
        for _ in 0..2 {
            assert_eq!(read().map_err(|e| e.kind()), Err(io::ErrorKind::FileTooLarge));
        }
        assert_eq!(budget, 0);
    }

    #[test]
    fn all_that_is_decompressed_with_snappy_counts() {
        let mut batch = sample(0, &[10], NOBODY);
        let records = [&batch[HEADER..], &vec![0; 50_000]].concat();
        batch.truncate(HEADER);
        batch.extend(snap::raw::Encoder::new().compress_vec(&records).expect("compressed"));
        batch[22] = 2;
        let mut budget = 100_000;
        assert_eq!(find_record(&batch, 0, 0, &mut budget), Some((10, 0)));
        assert_eq!(budget, 100_000 - records.len() as u64);
    }

    proptest! {
        #[test]
        fn any_bytes_are_searched_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = find_record(&bytes, 1, 0, &mut 1000);
            let _ = latest_time(&bytes, 0, &mut 1000);
        }

        #[test]
        fn records_of_any_bytes_and_codec_are_walked_without_a_panic(
            tail in proptest::collection::vec(any::<u8>(), 0..300),
            codec in 0_i16..8,
            count in any::<i32>(),
        ) {
            let mut batch = sample(0, &[10], NOBODY);
            batch.truncate(HEADER);
            batch[21..23].copy_from_slice(&codec.to_be_bytes());
            batch[57..61].copy_from_slice(&count.to_be_bytes());
            batch.extend(tail);
            let _ = find_record(&batch, i64::MAX, 0, &mut 1000);
        }
    }
}
