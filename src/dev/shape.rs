//! The shape of each request: lengths and counts are checked before anything is decoded. Pure: no clock, no IO.
//!
//! The decoders of `kafka-protocol` reserve as much memory as a count on the wire says, so a few
//! bytes could reserve gigabytes. The check here walks a request and keeps nothing; in a request that
//! passes, each count fits the bytes that follow it.
//! The shapes are those of Kafka's message definitions (`clients/src/main/resources/common/message`).

use Kind::{Blob, Fixed, List, Structs, Text};

/// Elements that all arrays of one request may have together. The largest valid request names each of
/// the 10,000 partitions of a full broker, each in a topic of its own.
const MAX_ELEMENTS: usize = 50_000;

/// A field: the versions that have it, and what it is.
pub(crate) struct Field(i16, i16, Kind);

/// What a field is.
pub(crate) enum Kind {
    /// This many bytes.
    Fixed(usize),
    /// A string, which may be null.
    Text,
    /// Bytes, which may be null.
    Blob,
    /// An array of structures.
    Structs(&'static [Field]),
    /// An array of plain values.
    List(&'static Kind),
}

/// A field of every version.
pub(crate) const fn all(kind: Kind) -> Field {
    Field(0, i16::MAX, kind)
}

/// A field of a version and those after it.
pub(crate) const fn from(version: i16, kind: Kind) -> Field {
    Field(version, i16::MAX, kind)
}

/// A field of a version and those before it.
pub(crate) const fn until(version: i16, kind: Kind) -> Field {
    Field(0, version, kind)
}

/// A field of the versions from one to another.
pub(crate) const fn between(first: i16, last: i16, kind: Kind) -> Field {
    Field(first, last, kind)
}

/// A version of a request, and whether it has compact lengths and tagged fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version {
    pub number: i16,
    pub is_flexible: bool,
}

/// Walks the body of a request; says where it breaks.
pub(crate) fn check(fields: &'static [Field], version: Version, body: &[u8]) -> Result<(), &'static str> {
    let mut walk = Walk { rest: body, elements: 0, version: version.number, flexible: version.is_flexible };
    // Bytes after the last field are ignored, as in Kafka: librdkafka (2.16) leaves four of them where it
    // asks for all topics, from Metadata v9 on.
    walk.fields(fields)
}

/// The number of bytes of the tagged fields at the start of `bytes`.
pub(crate) fn tagged_fields(bytes: &[u8]) -> Result<usize, &'static str> {
    let mut walk = Walk { rest: bytes, elements: 0, version: 0, flexible: true };
    walk.tags()?;
    Ok(bytes.len() - walk.rest.len())
}

const SHORT: &str = "it ends too early";

struct Walk<'a> {
    rest: &'a [u8],
    elements: usize,
    version: i16,
    flexible: bool,
}

impl Walk<'_> {
    fn skip(&mut self, n: usize) -> Result<(), &'static str> {
        self.rest = self.rest.get(n..).ok_or(SHORT)?;
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let bytes = self.rest.get(..N).and_then(|bytes| bytes.try_into().ok()).ok_or(SHORT)?;
        self.skip(N)?;
        Ok(bytes)
    }

    fn varint(&mut self) -> Result<usize, &'static str> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.take()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map(|n| n as usize).map_err(|_| "a length is too long");
            }
        }
        Err("a length is too long")
    }

    /// A length on the wire, none for null.
    fn length(&mut self, short: bool) -> Result<Option<usize>, &'static str> {
        if self.flexible {
            return Ok(self.varint()?.checked_sub(1));
        }
        let length = if short {
            i32::from(i16::from_be_bytes(self.take()?))
        } else {
            i32::from_be_bytes(self.take()?)
        };
        match length {
            -1 => Ok(None),
            n => usize::try_from(n).map(Some).map_err(|_| "a length is negative"),
        }
    }

    fn count(&mut self) -> Result<usize, &'static str> {
        let count = self.length(false)?.unwrap_or(0);
        if count > self.rest.len() {
            return Err("an array has more elements than there are bytes");
        }
        self.elements += count;
        if self.elements > MAX_ELEMENTS { Err("its arrays have too many elements") } else { Ok(count) }
    }

    fn fields(&mut self, fields: &'static [Field]) -> Result<(), &'static str> {
        for Field(first, last, kind) in fields {
            if (*first..=*last).contains(&self.version) {
                self.field(kind)?;
            }
        }
        if self.flexible { self.tags() } else { Ok(()) }
    }

    fn tags(&mut self) -> Result<(), &'static str> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.skip(length)?;
            self.elements += 1;
            if self.elements > MAX_ELEMENTS {
                return Err("it has too many tagged fields");
            }
        }
        Ok(())
    }

    fn field(&mut self, kind: &'static Kind) -> Result<(), &'static str> {
        match kind {
            Fixed(n) => self.skip(*n),
            Text | Blob => {
                let length = self.length(matches!(kind, Text))?.unwrap_or(0);
                self.skip(length)
            }
            Structs(fields) => {
                for _ in 0..self.count()? {
                    self.fields(fields)?;
                }
                Ok(())
            }
            List(kind) => {
                for _ in 0..self.count()? {
                    self.field(kind)?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Writes a request of this shape, with sizes and bytes taken from `seed`.
    pub(crate) fn generate(fields: &'static [Field], version: Version, seed: &[u8]) -> Vec<u8> {
        let mut seed = seed.iter().copied().cycle();
        let mut write = Write { out: Vec::new(), version: version.number, flexible: version.is_flexible };
        write.fields(fields, &mut seed);
        write.out
    }

    struct Write {
        out: Vec<u8>,
        version: i16,
        flexible: bool,
    }

    impl Write {
        fn length(&mut self, n: usize, short: bool) {
            match (self.flexible, short) {
                (true, _) => self.out.push(n as u8 + 1),
                (false, true) => self.out.extend((n as i16).to_be_bytes()),
                (false, false) => self.out.extend((n as i32).to_be_bytes()),
            }
        }

        fn fields(&mut self, fields: &'static [Field], seed: &mut impl Iterator<Item = u8>) {
            for Field(first, last, kind) in fields {
                if (*first..=*last).contains(&self.version) {
                    self.field(kind, seed);
                }
            }
            if self.flexible {
                self.out.push(0);
            }
        }

        fn field(&mut self, kind: &'static Kind, seed: &mut impl Iterator<Item = u8>) {
            let mut small = || seed.next().unwrap_or(0) as usize % 4;
            match kind {
                Fixed(n) => {
                    for _ in 0..*n {
                        self.out.push(small() as u8);
                    }
                }
                Text | Blob => {
                    let n = small();
                    self.length(n, matches!(kind, Text));
                    self.out.extend(std::iter::repeat_n(b'a' + small() as u8, n));
                }
                Structs(fields) => {
                    let n = small();
                    self.length(n, false);
                    for _ in 0..n {
                        self.fields(fields, seed);
                    }
                }
                List(kind) => {
                    let n = small();
                    self.length(n, false);
                    for _ in 0..n {
                        self.field(kind, seed);
                    }
                }
            }
        }
    }

    #[test]
    fn what_follows_the_last_field_is_ignored() {
        const NAME: &[Field] = &[all(Text)];
        let compact = Version { number: 2, is_flexible: true };
        assert_eq!(check(NAME, compact, &[2, b'a', 0, 0, 0]), Ok(()));
    }

    #[test]
    fn a_count_larger_than_the_bytes_that_follow_is_refused() {
        const NAMES: &[Field] = &[all(List(&Text))];
        let plain = Version { number: 0, is_flexible: false };
        let compact = Version { number: 2, is_flexible: true };
        assert!(check(NAMES, plain, &i32::MAX.to_be_bytes()).is_err());
        assert!(check(NAMES, compact, &[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
    }
}
