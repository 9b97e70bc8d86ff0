//! What a command may ask of its producer, and the client's properties for it. Pure: no clock, no IO.

use std::iter;
use std::str::FromStr;
use std::time::Duration;

use crate::named::Named;
use crate::record::codec::{Codec, one_of};

/// The highest level that librdkafka has of a codec; they count from 0. `None`: it has no levels.
fn highest_level(codec: Codec) -> Option<u8> {
    match codec {
        Codec::Snappy => None,
        Codec::Gzip => Some(9),
        Codec::Lz4 | Codec::Zstd => Some(12),
    }
}

/// No compression, as flags and the client's properties name it.
const NONE: &str = "none";

/// How batches are compressed on the wire: `none`, `CODEC` or `CODEC:LEVEL`, with the codecs and levels
/// of librdkafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compression {
    /// `None`: batches are not compressed.
    codec: Option<Codec>,
    level: Option<u8>,
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
        let codec = match name {
            NONE => None,
            name => Some(name.parse().map_err(|_| {
                format!("give {}", one_of(iter::once(NONE).chain(Codec::ALL.map(Codec::name))))
            })?),
        };
        let level = match (level, codec.and_then(highest_level)) {
            (None, _) => None,
            (Some(_), None) => return Err(format!("{name} has no levels")),
            (Some(level), Some(highest)) => match level.parse() {
                Ok(level) if level <= highest => Some(level),
                _ => return Err(format!("{name} has levels 0 to {highest}")),
            },
        };
        Ok(Self { codec, level })
    }
}

/// Which partition a key goes to, by the client's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partitioner {
    Murmur2Random,
    Murmur2,
    ConsistentRandom,
    Consistent,
    Fnv1aRandom,
    Fnv1a,
    Random,
}

impl Named for Partitioner {
    const ALL: &'static [Self] = &[
        Self::Murmur2Random,
        Self::Murmur2,
        Self::ConsistentRandom,
        Self::Consistent,
        Self::Fnv1aRandom,
        Self::Fnv1a,
        Self::Random,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Murmur2Random => "murmur2_random",
            Self::Murmur2 => "murmur2",
            Self::ConsistentRandom => "consistent_random",
            Self::Consistent => "consistent",
            Self::Fnv1aRandom => "fnv1a_random",
            Self::Fnv1a => "fnv1a",
            Self::Random => "random",
        }
    }
}

/// What is done with a topic that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The broker may create it, where it does so.
    Create,
    /// It is an error.
    Refuse,
}

/// When a record counts as delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    /// Once all replicas in sync have it.
    All,
    /// Once some have it, the leader among them.
    Some,
    /// As soon as it is sent: no broker confirms it.
    None,
}

impl Acks {
    /// The value of the client's `acks`.
    pub(crate) fn property(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Some => "1",
            Self::None => "0",
        }
    }

    /// What a client's `acks` asks for.
    pub(crate) fn of(property: &str) -> Self {
        match property {
            "all" | "-1" => Self::All,
            "0" => Self::None,
            _ => Self::Some,
        }
    }

    /// What is not certain of a record that counts as delivered; `None`: nothing.
    pub(crate) fn doubt(self) -> Option<&'static str> {
        match self {
            Self::All => None,
            Self::Some => Some("acks 1: idempotence is off, a retry may duplicate a record"),
            Self::None => Some("acks 0: no broker confirms a record, and one may be lost"),
        }
    }
}

/// What a command asks of its producer. The environment or a file may set what is `None` here.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub compression: Option<Compression>,
    pub partitioner: Option<Partitioner>,
    pub delivery_timeout: Option<Duration>,
    pub acks: Option<Acks>,
    /// `Some(false)` where idempotence is not wanted.
    pub idempotence: Option<bool>,
    pub missing: Missing,
}

impl Settings {
    /// The client's properties that these settings ask for.
    pub(crate) fn properties(&self) -> Vec<(&'static str, String)> {
        let mut properties = Vec::new();
        let mut set = |name, value: Option<String>| properties.extend(value.map(|value| (name, value)));
        if let Some(Compression { codec, level }) = self.compression {
            set("compression.codec", Some(codec.map_or(NONE, Codec::name).to_owned()));
            set("compression.level", level.map(|level| level.to_string()));
        }
        set("partitioner", self.partitioner.map(|partitioner| partitioner.name().to_owned()));
        set("message.timeout.ms", self.delivery_timeout.map(|timeout| timeout.as_millis().to_string()));
        set("acks", self.acks.map(|acks| acks.property().to_owned()));
        set("enable.idempotence", self.idempotence.map(|wanted| wanted.to_string()));
        let may_create = self.missing == Missing::Create;
        set("allow.auto.create.topics", Some(may_create.to_string()));
        properties
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compression_is_a_codec_and_a_level_that_it_has() {
        for text in ["none", "snappy", "gzip:0", "gzip:9", "lz4:12", "zstd"] {
            let Compression { codec, level } = text.parse().unwrap();
            let level = level.map_or(String::new(), |level| format!(":{level}"));
            assert_eq!(format!("{}{level}", codec.map_or(NONE, Codec::name)), text);
        }
        for (text, why) in [
            ("", "give none"),
            ("lzma", "give none"),
            ("snappy:1", "no levels"),
            ("gzip:10", "0 to 9"),
            ("zstd:", "0 to 12"),
            ("zstd:-1", "0 to 12"),
        ] {
            assert!(text.parse::<Compression>().unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn acks_are_read_as_they_are_written() {
        for acks in [Acks::All, Acks::Some, Acks::None] {
            assert_eq!(Acks::of(acks.property()), acks);
            assert_eq!(acks.doubt().is_none(), acks == Acks::All);
        }
        assert_eq!((Acks::of("-1"), Acks::of("2")), (Acks::All, Acks::Some));
    }

    #[test]
    fn what_is_left_open_is_no_property() {
        let mut settings = Settings {
            compression: None,
            partitioner: None,
            delivery_timeout: None,
            acks: None,
            idempotence: None,
            missing: Missing::Refuse,
        };
        assert_eq!(settings.properties(), [("allow.auto.create.topics", "false".to_owned())]);
        settings.compression = Some("zstd:3".parse().unwrap());
        settings.acks = Some(Acks::None);
        settings.missing = Missing::Create;
        let expected = [
            ("compression.codec", "zstd"),
            ("compression.level", "3"),
            ("acks", "0"),
            ("allow.auto.create.topics", "true"),
        ];
        assert_eq!(settings.properties(), expected.map(|(name, value)| (name, value.to_owned())));
    }
}
