//! The name of a request, by which its sender finds it in the log. Pure but for chance: no clock, no IO.

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use uuid::Uuid;

/// The header of answers that has it.
pub(crate) const ANSWERS: &str = "kq-request-id";
/// The header of requests that may give it.
const ASKS: &str = "x-request-id";
/// A longer one is not taken.
const LONGEST: usize = 128;

/// The caller's own name of the request, if it is printable ASCII and not too long; else a new one.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    let is_usable = |given: &&HeaderValue| {
        let bytes = given.as_bytes();
        (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(|byte| (b' '..=b'~').contains(byte))
    };
    headers.get(ASKS).filter(is_usable).cloned().unwrap_or_else(new)
}

fn new() -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    let text = Uuid::new_v4().simple().encode_lower(&mut buffer);
    // 32 digits: never an error.
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(value: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ASKS, HeaderValue::from_bytes(value).unwrap());
        headers
    }

    #[test]
    fn a_callers_name_is_kept_if_it_can_stand_in_a_log() {
        assert_eq!(of(&with(b"a-1 2~")), "a-1 2~");
        let long = [b'x'; LONGEST + 1];
        assert_eq!(of(&with(&long[1..])).len(), LONGEST);
        for odd in [&b""[..], b"a\tb", b"\xff", &long] {
            let name = of(&with(odd));
            assert!(name.len() == 32 && name != of(&with(odd)), "{odd:?}");
        }
        assert_eq!(of(&HeaderMap::new()).len(), 32);
    }
}
