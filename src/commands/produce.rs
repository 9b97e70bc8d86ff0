//! `kq produce`: from its flags to the engine's settings.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};

use crate::cli::produce::Args;
use crate::clock::time;
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::produce::{self, Input, Settings};
use crate::record::OwnedHeader;
use crate::record::escape::unescape;
use crate::record::shape::{Shape, keepable};
use crate::record::validate::Validator;
use crate::sending::{self, settings::Missing};

/// Produces all records of the inputs and returns how that ended.
pub(crate) fn run(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    let shape = shape(args, validator(args, config)?)?;
    let settings = settings(args, config)?;
    produce::run(&settings, shape, config)
}

/// The settings that the flags ask for. What needs the cluster is checked later.
pub(crate) fn settings(args: &Args, config: &Config) -> anyhow::Result<Settings> {
    let (named, files) = args.topic_and_files();
    if args.topic_from_record && named.is_none() && config.env_topic.is_none() {
        return Err(
            config::topic::missing().context("--topic-from-record: for records without a topic of their own")
        );
    }
    let topic = config::topic::one(named.as_deref(), None, config.env_topic.as_deref())?;
    Ok(Settings {
        note: is_also_a_file(args).then(|| {
            format!("topic {topic} is also a file here; `kq produce -t TOPIC {topic}` reads that file")
        }),
        topic,
        inputs: Input::all(&files)?,
        delimiter: delimiter(args)?,
        skip_empty: args.skip_empty,
        on_invalid: args.on_invalid,
        partition: args.partition,
        keep_partition: args.keep_partition,
        topic_from_record: args.topic_from_record,
        frame_factor: frame_factor(args),
        frame_besides: args.key_delimiter.as_ref().map_or(0, String::len)
            + args.null.as_ref().map_or(0, String::len),
        count: args.count,
        rate: args.rate,
        report: args.report,
        producer: producer(args),
    })
}

/// Whether the word that was taken as the topic is also the name of a file.
fn is_also_a_file(args: &Args) -> bool {
    args.topic.is_none() && args.positionals.first().is_some_and(|name| Path::new(name).is_file())
}

/// What `--validate` asks for.
fn validator(args: &Args, config: &Config) -> anyhow::Result<Option<Validator>> {
    Ok(match args.validate.as_deref() {
        None => None,
        Some("json") => Some(Validator::Json),
        Some(file) => Some(schema(Path::new(file), "json", Validator::schema, config)?),
    })
}

/// The validator that `compile` makes of the JSON Schema in a file. An error names what else `--validate` takes.
pub(super) fn schema(
    file: &Path,
    others: &str,
    compile: fn(&[u8]) -> anyhow::Result<Validator>,
    config: &Config,
) -> anyhow::Result<Validator> {
    let file_name = file.display();
    let text = std::fs::read(file)
        .with_context(|| format!("--validate {file_name} (give {others}, or the file of a JSON Schema)"))?;
    let unknown = Validator::unknown_formats(&text);
    if !unknown.is_empty() {
        let formats = unknown.join(", ");
        config
            .log
            .note(format_args!("--validate {file_name}: its draft has no format {formats}: not checked"));
    }
    compile(&text).with_context(|| format!("--validate {file_name} can't be used as a JSON Schema"))
}

/// How many bytes of a frame a byte of its record may take.
fn frame_factor(args: &Args) -> usize {
    let of = |applies: bool, factor: usize| if applies { factor } else { 1 };
    of(args.json, produce::JSON) * of(args.value_codec.is_some(), produce::SNAPPY)
}

/// What ends a record; empty where an input is one record.
fn delimiter(args: &Args) -> anyhow::Result<Vec<u8>> {
    if args.whole {
        return Ok(Vec::new());
    }
    if args.nul {
        return Ok(vec![0]);
    }
    let delimiter = unescape(&args.delimiter).context("-D")?;
    if delimiter.is_empty() {
        return Err(anyhow!("-D: an empty delimiter ends no record; with --whole each file is one record"));
    }
    Ok(delimiter)
}

/// What the flags ask of the producer.
fn producer(args: &Args) -> sending::settings::Settings {
    sending::settings::Settings {
        compression: args.compression,
        partitioner: args.partitioner,
        delivery_timeout: args.delivery_timeout,
        acks: args.acks,
        idempotence: args.no_idempotence.then_some(false),
        // Where the topic was forgotten, the broker would make one with the file's name.
        missing: if args.no_create || is_also_a_file(args) { Missing::Refuse } else { Missing::Create },
    }
}

/// What the flags make of each frame; an error names the flag.
pub(crate) fn shape(args: &Args, validator: Option<Validator>) -> anyhow::Result<Shape> {
    let key_delimiter = args.key_delimiter.as_deref().map(unescape).transpose().context("-K")?;
    if key_delimiter.as_ref().is_some_and(Vec::is_empty) {
        bail!("-K: an empty key delimiter can't tell a key from a value");
    }
    let timestamp = args.timestamp.as_deref().map(|text| time::parse(text).and_then(keepable));
    Ok(Shape {
        key_delimiter,
        key_from: args.key_from.clone(),
        key_optional: args.key_optional,
        key: args.key.as_ref().map(|key| key.as_bytes().to_vec()),
        null: args.null.as_ref().map(|token| token.as_bytes().to_vec()),
        empty_is_null: args.empty_is_null,
        headers: args.headers.iter().map(|text| header(text)).collect::<Result<_, _>>()?,
        partition: args.partition,
        timestamp: timestamp.transpose().context("--timestamp")?,
        compress_value: args.value_codec.is_some(),
        json: args.json,
        keep_partition: args.keep_partition,
        topic_from_record: args.topic_from_record,
        validator,
    })
}

/// `NAME=VALUE`, or `NAME` alone for a null value.
pub(super) fn header(text: &str) -> anyhow::Result<OwnedHeader> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.as_bytes().to_vec())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err(anyhow!("-H {text}: a header needs a name; write NAME=VALUE"));
    }
    Ok((name.as_bytes().to_vec(), value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_header_panics(text in any::<String>()) {
            if let Ok((name, value)) = header(&text) {
                let again = value.map_or(name.clone(), |value| [name, b"=".to_vec(), value].concat());
                prop_assert_eq!(again, text.into_bytes());
            }
        }
    }

    #[test]
    fn a_header_without_a_value_is_null_and_with_an_empty_one_is_empty() {
        assert_eq!(header("a").unwrap(), (b"a".to_vec(), None));
        assert_eq!(header("a=").unwrap(), (b"a".to_vec(), Some(vec![])));
        assert_eq!(header("a=b=c").unwrap(), (b"a".to_vec(), Some(b"b=c".to_vec())));
        assert!(header("=x").is_err());
    }
}
