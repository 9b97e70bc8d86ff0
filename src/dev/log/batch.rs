//! A record batch: its header and its checks. Pure: no clock, no IO.
//!
//! The layout is that of `org.apache.kafka.common.record.DefaultRecordBatch`
//! (magic 2). The CRC does not cover base offset, length and leader epoch, so the broker sets the
//! offset and leaves everything else unchanged.

use super::refusal::{Faults, Refusal};
use crate::dev::code;

/// Bytes of a batch before its records.
pub(crate) const HEADER: usize = 61;
/// Bytes before what the length field counts.
pub(crate) const PREFIX: usize = 12;
/// The CRC covers the bytes from here on.
const CRC_FROM: usize = 21;

/// The header of a record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Size of the whole batch in bytes, header included.
    pub size: usize,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    /// Offset of the last record, from the base.
    pub last_offset_delta: i32,
    /// Milliseconds since the epoch.
    pub base_timestamp: i64,
    /// Milliseconds since the epoch.
    pub max_timestamp: i64,
    /// -1: not idempotent.
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Sequence number of the first record.
    pub base_sequence: i32,
    pub count: i32,
}

/// `N` bytes from position `at`; none if `bytes` ends before.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

impl Header {
    /// Reads the header at the start of `bytes`; none if they are too few.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER {
            return None;
        }
        let length = i32::from_be_bytes(array(bytes, 8)?);
        Some(Self {
            base_offset: i64::from_be_bytes(array(bytes, 0)?),
            size: PREFIX + usize::try_from(length).unwrap_or(0),
            magic: i8::from_be_bytes(array(bytes, 16)?),
            crc: u32::from_be_bytes(array(bytes, 17)?),
            attributes: i16::from_be_bytes(array(bytes, 21)?),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)?),
            base_timestamp: i64::from_be_bytes(array(bytes, 27)?),
            max_timestamp: i64::from_be_bytes(array(bytes, 35)?),
            producer_id: i64::from_be_bytes(array(bytes, 43)?),
            producer_epoch: i16::from_be_bytes(array(bytes, 51)?),
            base_sequence: i32::from_be_bytes(array(bytes, 53)?),
            count: i32::from_be_bytes(array(bytes, 57)?),
        })
    }

    /// Offset of the last record.
    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The codec's number: 0 none, 1 gzip, 2 Snappy, 3 LZ4, 4 Zstandard.
    pub(crate) fn codec(&self) -> i16 {
        self.attributes & 0x07
    }

    /// Whether all records have the time of the broker's clock.
    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & 0x08 != 0
    }

    /// Whether this can be a batch of a log: magic 2, and consistent sizes and counts.
    pub(crate) fn is_plausible(&self) -> bool {
        self.magic == 2
            && self.size >= HEADER
            && self.base_offset >= 0
            && self.last_offset_delta >= 0
            && self.count >= 0
    }
}

/// Whether the CRC in the header is that of `batch`, which is one whole batch.
pub(crate) fn crc_holds(batch: &[u8], header: &Header) -> bool {
    batch.get(CRC_FROM..).is_some_and(|covered| crc32c::crc32c(covered) == header.crc)
}

/// Checks what a producer sent for one partition: exactly one batch of magic 2,
/// its CRC, its counts, its codec.
pub(crate) fn check(bytes: &[u8], max_size: usize, version: i16) -> Result<Header, Refusal> {
    let refuse = |code, why: String| Err(Refusal { code, why, faults: Faults::default() });
    if bytes.len() > PREFIX + 4 && bytes[16] != 2 {
        return refuse(
            code::UNSUPPORTED_FOR_MESSAGE_FORMAT,
            format!("a record batch of magic {} (only magic 2 is taken)", bytes[16]),
        );
    }
    let Some(header) = Header::parse(bytes) else {
        return refuse(code::CORRUPT_MESSAGE, format!("a record batch of {} bytes", bytes.len()));
    };
    if header.size < HEADER || header.size > bytes.len() {
        return refuse(
            code::CORRUPT_MESSAGE,
            format!("a record batch says {} bytes and has {}", header.size, bytes.len()),
        );
    }
    if header.size < bytes.len() {
        return refuse(code::INVALID_RECORD, "more than one record batch for a partition".into());
    }
    if !crc_holds(bytes, &header) {
        return refuse(code::CORRUPT_MESSAGE, "the CRC of a record batch does not match".into());
    }
    if bytes.len() > max_size {
        return refuse(
            code::MESSAGE_TOO_LARGE,
            format!("a record batch of {} bytes, and max.message.bytes is {max_size}", bytes.len()),
        );
    }
    if header.attributes & 0x20 != 0 {
        return refuse(code::INVALID_RECORD, "a control batch from a client".into());
    }
    if header.attributes & 0x10 != 0 {
        return refuse(
            code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            "a batch of a transaction, and this broker has none".into(),
        );
    }
    if header.count <= 0 || header.last_offset_delta != header.count - 1 {
        return refuse(
            code::INVALID_RECORD,
            format!("{} records with a last offset delta of {}", header.count, header.last_offset_delta),
        );
    }
    // Each record takes at least seven bytes uncompressed.
    if header.codec() == 0 && (header.count as usize) > (header.size - HEADER) / 7 {
        return refuse(code::INVALID_RECORD, format!("{} records in {} bytes", header.count, header.size));
    }
    if header.codec() > 4 || (header.codec() == 4 && version < 7) {
        return refuse(code::UNSUPPORTED_COMPRESSION_TYPE, format!("codec {}", header.codec()));
    }
    Ok(header)
}

/// Writes the broker's time into a batch and updates its CRC.
pub(crate) fn stamp_log_append_time(batch: &mut [u8], now_ms: i64) {
    if batch.len() < HEADER {
        return;
    }
    batch[22] |= 0x08;
    batch[35..43].copy_from_slice(&now_ms.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Builds a batch for tests: one record a time, without a key, values of one byte.
#[cfg(test)]
pub(crate) fn sample(base_offset: i64, times: &[i64], producer: (i64, i16, i32)) -> Vec<u8> {
    build(base_offset, &times.iter().map(|time| (None, *time)).collect::<Vec<_>>(), producer)
}

/// Builds a batch for tests: a record for each key and time, values of one byte.
#[cfg(test)]
pub(crate) fn sample_of(records: &[(Option<&[u8]>, i64)]) -> Vec<u8> {
    build(0, records, (-1, -1, -1))
}

#[cfg(test)]
fn build(base_offset: i64, all: &[(Option<&[u8]>, i64)], producer: (i64, i16, i32)) -> Vec<u8> {
    fn put_varint(out: &mut Vec<u8>, value: i64) {
        let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
        while zigzag >= 0x80 {
            out.push((zigzag as u8 & 0x7f) | 0x80);
            zigzag >>= 7;
        }
        out.push(zigzag as u8);
    }
    let base = all.first().map_or(0, |(_, time)| *time);
    let mut records = Vec::new();
    for (i, (key, time)) in all.iter().enumerate() {
        let mut record = vec![0];
        put_varint(&mut record, time - base);
        put_varint(&mut record, i as i64);
        put_varint(&mut record, key.map_or(-1, |key| key.len() as i64));
        record.extend(key.unwrap_or_default());
        put_varint(&mut record, 1);
        record.push(b'v');
        put_varint(&mut record, 0);
        put_varint(&mut records, record.len() as i64);
        records.extend(record);
    }
    let mut batch = Vec::new();
    batch.extend(base_offset.to_be_bytes());
    batch.extend(((HEADER - PREFIX + records.len()) as i32).to_be_bytes());
    batch.extend(0_i32.to_be_bytes());
    batch.push(2);
    batch.extend(0_u32.to_be_bytes());
    batch.extend(0_i16.to_be_bytes());
    batch.extend((all.len() as i32 - 1).to_be_bytes());
    batch.extend(base.to_be_bytes());
    batch.extend(all.iter().map(|(_, time)| *time).max().unwrap_or(0).to_be_bytes());
    batch.extend(producer.0.to_be_bytes());
    batch.extend(producer.1.to_be_bytes());
    batch.extend(producer.2.to_be_bytes());
    batch.extend((all.len() as i32).to_be_bytes());
    batch.extend(records);
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOBODY: (i64, i16, i32) = (-1, -1, -1);

    #[test]
    fn a_whole_batch_is_accepted_and_a_flipped_bit_is_not() {
        let batch = sample(0, &[10, 20, 30], NOBODY);
        assert_eq!(check(&batch, 1000, 8).map(|h| h.count), Ok(3));
        for at in CRC_FROM..batch.len() {
            let mut broken = batch.clone();
            broken[at] ^= 1;
            assert!(check(&broken, 1000, 8).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_batch_above_the_limit_is_refused_by_its_own_code() {
        let batch = sample(0, &[10], NOBODY);
        assert_eq!(check(&batch, 10, 8).map_err(|r| r.code), Err(code::MESSAGE_TOO_LARGE));
    }

    #[test]
    fn two_batches_for_one_partition_are_refused() {
        let mut two = sample(0, &[10], NOBODY);
        two.extend(sample(1, &[10], NOBODY));
        assert_eq!(check(&two, 1000, 8).map_err(|r| r.code), Err(code::INVALID_RECORD));
    }

    #[test]
    fn log_append_time_keeps_the_crc_right() {
        let mut batch = sample(0, &[10, 20], NOBODY);
        stamp_log_append_time(&mut batch, 99);
        let header = check(&batch, 1000, 8).expect("still a batch");
        assert!(header.is_log_append_time() && header.max_timestamp == 99);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = check(&bytes, 1000, 8);
        }
    }
}
