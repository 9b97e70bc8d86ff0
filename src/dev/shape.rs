//! The shape of each request: lengths and counts are checked before anything is decoded. Pure: no clock, no IO.
//!
//! The decoders of `kafka-protocol` reserve as much memory as a count on the
//! wire asks for, so a few bytes could ask for gigabytes. Here a request is walked without
//! keeping anything; what passes has counts that its own bytes bear out.
//! The shapes are those of Kafka's message definitions (`clients/src/main/resources/common/message`).

use Kind::{Blob, Fixed, List, Structs, Text};

/// Elements that all arrays of one request may have together. The largest honest request names each
/// partition of a full broker, 10,000, each in a topic of its own.
const MAX_ELEMENTS: usize = 50_000;

/// A field: the versions that have it, and what it is.
struct Field(i16, i16, Kind);

enum Kind {
    /// So many bytes.
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

/// One request that the broker answers.
pub struct Api {
    pub key: i16,
    pub name: &'static str,
    /// The versions that are answered.
    pub min: i16,
    pub max: i16,
    /// The first version with compact lengths and tagged fields.
    flexible: i16,
    fields: &'static [Field],
}

impl Api {
    /// Whether a version has compact lengths, tagged fields, and the longer headers.
    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible
    }
}

const NEVER: i16 = i16::MAX;

const fn all(kind: Kind) -> Field {
    Field(0, NEVER, kind)
}

const fn from(version: i16, kind: Kind) -> Field {
    Field(version, NEVER, kind)
}

const fn until(version: i16, kind: Kind) -> Field {
    Field(0, version, kind)
}

const fn api(
    key: i16,
    name: &'static str,
    versions: (i16, i16),
    flexible: i16,
    fields: &'static [Field],
) -> Api {
    Api { key, name, min: versions.0, max: versions.1, flexible, fields }
}

const INDEXES: Kind = List(&Fixed(4));
const PLACES: Kind = Structs(&[all(Text), all(INDEXES)]);

/// Every request that the broker answers.
pub const APIS: &[Api] = &[
    api(
        0,
        "Produce",
        (3, 8),
        9,
        &[
            all(Text),
            all(Fixed(2)),
            all(Fixed(4)),
            all(Structs(&[all(Text), all(Structs(&[all(Fixed(4)), all(Blob)]))])),
        ],
    ),
    api(
        1,
        "Fetch",
        (4, 11),
        12,
        &[
            all(Fixed(17)),
            from(7, Fixed(8)),
            all(Structs(&[
                all(Text),
                all(Structs(&[
                    all(Fixed(4)),
                    from(9, Fixed(4)),
                    all(Fixed(8)),
                    from(5, Fixed(8)),
                    all(Fixed(4)),
                ])),
            ])),
            from(7, PLACES),
            from(11, Text),
        ],
    ),
    api(
        2,
        "ListOffsets",
        (1, 7),
        6,
        &[
            all(Fixed(4)),
            from(2, Fixed(1)),
            all(Structs(&[all(Text), all(Structs(&[all(Fixed(4)), from(4, Fixed(4)), all(Fixed(8))]))])),
        ],
    ),
    api(3, "Metadata", (0, 8), 9, &[all(Structs(&[all(Text)])), from(4, Fixed(1)), from(8, Fixed(2))]),
    api(
        8,
        "OffsetCommit",
        (2, 8),
        8,
        &[
            all(Text),
            all(Fixed(4)),
            all(Text),
            from(7, Text),
            until(4, Fixed(8)),
            all(Structs(&[
                all(Text),
                all(Structs(&[all(Fixed(4)), all(Fixed(8)), from(6, Fixed(4)), all(Text)])),
            ])),
        ],
    ),
    api(
        9,
        "OffsetFetch",
        (1, 8),
        6,
        &[until(7, Text), until(7, PLACES), from(8, Structs(&[all(Text), all(PLACES)])), from(7, Fixed(1))],
    ),
    api(10, "FindCoordinator", (0, 4), 3, &[until(3, Text), from(1, Fixed(1)), from(4, List(&Text))]),
    api(
        11,
        "JoinGroup",
        (0, 9),
        6,
        &[
            all(Text),
            all(Fixed(4)),
            from(1, Fixed(4)),
            all(Text),
            from(5, Text),
            all(Text),
            all(Structs(&[all(Text), all(Blob)])),
            from(8, Text),
        ],
    ),
    api(12, "Heartbeat", (0, 4), 4, &[all(Text), all(Fixed(4)), all(Text), from(3, Text)]),
    api(
        13,
        "LeaveGroup",
        (0, 5),
        4,
        &[all(Text), until(2, Text), from(3, Structs(&[all(Text), all(Text), from(5, Text)]))],
    ),
    api(
        14,
        "SyncGroup",
        (0, 5),
        4,
        &[
            all(Text),
            all(Fixed(4)),
            all(Text),
            from(3, Text),
            from(5, Text),
            from(5, Text),
            all(Structs(&[all(Text), all(Blob)])),
        ],
    ),
    api(15, "DescribeGroups", (0, 5), 5, &[all(List(&Text)), from(3, Fixed(1))]),
    api(16, "ListGroups", (0, 5), 3, &[from(4, List(&Text)), from(5, List(&Text))]),
    api(18, "ApiVersions", (0, 3), 3, &[from(3, Text), from(3, Text)]),
    api(
        19,
        "CreateTopics",
        (2, 5),
        5,
        &[
            all(Structs(&[
                all(Text),
                all(Fixed(6)),
                all(Structs(&[all(Fixed(4)), all(INDEXES)])),
                all(Structs(&[all(Text), all(Text)])),
            ])),
            all(Fixed(5)),
        ],
    ),
    api(20, "DeleteTopics", (1, 5), 4, &[all(List(&Text)), all(Fixed(4))]),
    api(
        21,
        "DeleteRecords",
        (0, 2),
        2,
        &[all(Structs(&[all(Text), all(Structs(&[all(Fixed(12))]))])), all(Fixed(4))],
    ),
    api(22, "InitProducerId", (0, 4), 2, &[all(Text), all(Fixed(4)), from(3, Fixed(10))]),
    api(
        32,
        "DescribeConfigs",
        (1, 4),
        4,
        &[all(Structs(&[all(Fixed(1)), all(Text), all(List(&Text))])), all(Fixed(1)), from(3, Fixed(1))],
    ),
    api(
        33,
        "AlterConfigs",
        (0, 2),
        2,
        &[all(Structs(&[all(Fixed(1)), all(Text), all(Structs(&[all(Text), all(Text)]))])), all(Fixed(1))],
    ),
    api(
        37,
        "CreatePartitions",
        (0, 3),
        2,
        &[all(Structs(&[all(Text), all(Fixed(4)), all(Structs(&[all(INDEXES)]))])), all(Fixed(5))],
    ),
    api(42, "DeleteGroups", (0, 2), 2, &[all(List(&Text))]),
    api(
        44,
        "IncrementalAlterConfigs",
        (0, 1),
        1,
        &[
            all(Structs(&[all(Fixed(1)), all(Text), all(Structs(&[all(Text), all(Fixed(1)), all(Text)]))])),
            all(Fixed(1)),
        ],
    ),
    api(
        47,
        "OffsetDelete",
        (0, 0),
        NEVER,
        &[all(Text), all(Structs(&[all(Text), all(Structs(&[all(Fixed(4))]))]))],
    ),
    api(60, "DescribeCluster", (0, 1), 0, &[all(Fixed(1)), from(1, Fixed(1))]),
];

/// The request with this key, if the broker answers it.
pub fn find(key: i16) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key == key)
}

/// Walks the body of a request; says where it breaks.
pub fn check(api: &Api, version: i16, body: &[u8]) -> Result<(), &'static str> {
    let mut walk = Walk { rest: body, elements: 0, version, flexible: api.is_flexible(version) };
    walk.fields(api.fields)?;
    if walk.rest.is_empty() { Ok(()) } else { Err("bytes are left over at its end") }
}

/// The number of bytes of the tagged fields at the start of `bytes`.
pub fn tagged_fields(bytes: &[u8]) -> Result<usize, &'static str> {
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
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes a request of this shape, with sizes and bytes taken from `seed`.
    pub fn generate(api: &Api, version: i16, seed: &[u8]) -> Vec<u8> {
        let mut seed = seed.iter().copied().cycle();
        let mut write = Write { out: Vec::new(), version, flexible: api.is_flexible(version) };
        write.fields(api.fields, &mut seed);
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

    proptest! {
        #[test]
        fn what_is_well_formed_passes_and_a_shorter_one_does_not(
            seed in proptest::collection::vec(any::<u8>(), 1..200),
        ) {
            for api in APIS {
                for version in api.min..=api.max {
                    let body = generate(api, version, &seed);
                    prop_assert_eq!(check(api, version, &body), Ok(()), "{} {}", api.name, version);
                    if !body.is_empty() {
                        prop_assert!(check(api, version, &body[..body.len() - 1]).is_err());
                    }
                }
            }
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for api in APIS {
                for version in api.min..=api.max {
                    let _ = check(api, version, &bytes);
                }
            }
        }
    }

    #[test]
    fn a_count_that_the_bytes_do_not_bear_out_is_refused() {
        let metadata = find(3).expect("Metadata");
        assert!(check(metadata, 0, &i32::MAX.to_be_bytes()).is_err());
        let groups = find(42).expect("DeleteGroups");
        assert!(check(groups, 2, &[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
    }
}
