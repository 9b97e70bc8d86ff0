//! Requests and answers as bytes, for what our client has no call for. Flexible versions only.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// A request while it is written, field by field.
pub(crate) struct Request {
    bytes: Vec<u8>,
    /// The header of an answer ends with tagged fields, except that of `ApiVersions`.
    has_tags: bool,
}

impl Request {
    /// The header of a request: key, version, a correlation id, no client id, no tagged fields.
    pub(crate) fn new(key: i16, version: i16) -> Self {
        let head = [&key.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 7, 0xff, 0xff, 0]];
        Self { bytes: head.concat(), has_tags: key != 18 }
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    pub(crate) fn i8(self, n: i8) -> Self {
        self.raw(&n.to_be_bytes())
    }

    pub(crate) fn i16(self, n: i16) -> Self {
        self.raw(&n.to_be_bytes())
    }

    pub(crate) fn i32(self, n: i32) -> Self {
        self.raw(&n.to_be_bytes())
    }

    /// The length of an array that follows, element by element.
    pub(crate) fn count(self, n: usize) -> Self {
        assert!(n < 127, "one byte is enough here");
        self.raw(&[n as u8 + 1])
    }

    /// A string or an array that is not there.
    pub(crate) fn null(self) -> Self {
        self.raw(&[0])
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.count(text.len()).raw(text.as_bytes())
    }

    /// No tagged fields: the end of a structure.
    pub(crate) fn end(self) -> Self {
        self.raw(&[0])
    }

    /// The answer of a broker, from the first field on.
    pub(crate) fn ask(self, broker: &str) -> Answer {
        let mut stream = TcpStream::connect(broker).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let size = u32::try_from(self.bytes.len()).expect("short").to_be_bytes();
        stream.write_all(&[&size[..], &self.bytes].concat()).expect("ask");
        let mut size = [0; 4];
        stream.read_exact(&mut size).expect("an answer");
        let mut bytes = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut bytes).expect("all of the answer");
        let mut answer = Answer { bytes, at: 0 };
        assert_eq!(answer.i32(), 7, "the correlation id");
        if self.has_tags {
            answer.end();
        }
        answer
    }
}

/// An answer while it is read, field by field.
pub(crate) struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    pub(crate) fn raw<const N: usize>(&mut self) -> [u8; N] {
        self.at += N;
        self.bytes[self.at - N..self.at].try_into().expect("so many bytes")
    }

    pub(crate) fn bool(&mut self) -> bool {
        self.raw::<1>() != [0]
    }

    pub(crate) fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.raw())
    }

    pub(crate) fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.raw())
    }

    pub(crate) fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.raw())
    }

    pub(crate) fn varint(&mut self) -> usize {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.raw();
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
        }
        panic!("a length that does not end");
    }

    /// The length of an array; 0 for null.
    pub(crate) fn count(&mut self) -> usize {
        self.varint().saturating_sub(1)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let length = self.varint().checked_sub(1)?;
        self.at += length;
        Some(String::from_utf8(self.bytes[self.at - length..self.at].to_vec()).expect("UTF-8"))
    }

    /// The end of a structure: its tagged fields are not looked at.
    pub(crate) fn end(&mut self) {
        for _ in 0..self.varint() {
            self.varint();
            self.at += self.varint();
        }
    }
}
