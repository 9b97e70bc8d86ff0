//! A record to JSON, appended by hand: the hot path of `consume -J`. Pure: no clock, no IO.

use crate::record::RecordRef;
use crate::record::bytes::{append_base64, append_integer};

/// Appends a record as one JSON object, without a newline:
/// `{"topic":"foo","partition":0,"offset":42,"timestamp":1700000000000,"key":"a","value":"b","headers":[["h","v"],["h",null]]}`.
///
/// The fields are in this order. `timestamp` (milliseconds since the epoch) is
/// absent where the record has none; `key` and `value` are null or text, or are
/// called `key_base64` and `value_base64` where the bytes are not UTF-8; `headers`
/// is always there, and a name or value in it that is not UTF-8 is `{"base64":"…"}`.
pub(crate) fn append_json(record: &RecordRef<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"topic\":");
    append_string(record.topic.as_bytes(), out);
    out.extend_from_slice(b",\"partition\":");
    append_integer(record.partition.into(), out);
    out.extend_from_slice(b",\"offset\":");
    append_integer(record.offset, out);
    if let Some(millis) = record.timestamp.millis() {
        out.extend_from_slice(b",\"timestamp\":");
        append_integer(millis, out);
    }
    append_field(b",\"key\":", b",\"key_base64\":", record.key, out);
    append_field(b",\"value\":", b",\"value_base64\":", record.value, out);
    out.extend_from_slice(b",\"headers\":[");
    for (i, header) in record.headers.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b",[" } else { b"[" });
        append_bytes(header.name, out);
        out.push(b',');
        match header.value {
            Some(value) => append_bytes(value, out),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
}

fn append_field(text: &[u8], base64: &[u8], bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        None => {
            out.extend_from_slice(text);
            out.extend_from_slice(b"null");
        }
        Some(bytes) if is_utf8(bytes) => {
            out.extend_from_slice(text);
            append_string(bytes, out);
        }
        Some(bytes) => {
            out.extend_from_slice(base64);
            append_base64_string(bytes, out);
        }
    }
}

/// A header's name or value.
fn append_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    if is_utf8(bytes) {
        append_string(bytes, out);
    } else {
        out.extend_from_slice(b"{\"base64\":");
        append_base64_string(bytes, out);
        out.push(b'}');
    }
}

fn is_utf8(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
}

fn append_base64_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    append_base64(bytes, out);
    out.push(b'"');
}

/// Appends UTF-8 as a JSON string (RFC 8259, 7): quotes, backslashes and control
/// characters escaped, the rest as it is.
///
/// Eight bytes at a time: copied unchanged where none needs an escape, else through a
/// buffer with the bytes and their escapes. A JSON document as a value has a quote
/// every few bytes, and in this way it costs no branch and no call for each piece.
pub(crate) fn append_string(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + text.len() / 8 + 32);
    out.push(b'"');
    let (eights, rest) = text.as_chunks::<8>();
    for eight in eights {
        if needs_escape(*eight) {
            append_escaped(*eight, out);
        } else {
            out.extend_from_slice(eight);
        }
    }
    for byte in rest {
        match ESCAPES[usize::from(*byte)] {
            0 => out.push(*byte),
            b'u' => append_unicode_escape(*byte, out),
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
    }
    out.push(b'"');
}

/// What follows the backslash in a byte's escape; 0 for a byte that needs none,
/// `u` for one that has no letter of its own.
const ESCAPES: [u8; 256] = {
    let mut letters = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        letters[control] = b'u';
        control += 1;
    }
    letters[0x08] = b'b';
    letters[0x0c] = b'f';
    letters[b'\n' as usize] = b'n';
    letters[b'\r' as usize] = b'r';
    letters[b'\t' as usize] = b't';
    letters[b'"' as usize] = b'"';
    letters[b'\\' as usize] = b'\\';
    letters
};

/// Whether one of eight bytes needs an escape, by the zero-byte test of Hacker's
/// Delight (6-1): a borrow can mark a byte wrongly only above a byte that is marked
/// correctly.
fn needs_escape(eight: [u8; 8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let word = u64::from_le_bytes(eight);
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & HIGH;
    let equals = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | equals(b'"') | equals(b'\\') != 0
}

fn append_escaped(eight: [u8; 8], out: &mut Vec<u8>) {
    let mut buffer = [0; 16];
    let mut length = 0;
    for byte in eight {
        let letter = ESCAPES[usize::from(byte)];
        if letter == b'u' {
            out.extend_from_slice(&buffer[..length]);
            length = 0;
            append_unicode_escape(byte, out);
            continue;
        }
        // Written in every case, and counted only where there is an escape.
        buffer[length] = if letter == 0 { byte } else { b'\\' };
        buffer[(length + 1) & 15] = letter;
        length += 1 + usize::from(letter != 0);
    }
    let end = out.len() + length;
    out.extend_from_slice(&buffer);
    out.truncate(end);
}

fn append_unicode_escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}
