//! Numbers and bytes as text, appended without an allocation. Pure: no clock, no IO.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Appends an integer in decimal.
pub(crate) fn append_integer(n: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// Appends bytes in base64, with padding.
pub(crate) fn append_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let before = out.len();
    out.resize(before + bytes.len().div_ceil(3) * 4, 0);
    // Cannot fail: there is room for every group of four.
    let written = BASE64.encode_slice(bytes, &mut out[before..]).unwrap_or_default();
    out.truncate(before + written);
}

/// Appends bytes in hexadecimal, two lower-case digits each.
pub(crate) fn append_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}
