//! `kq produce`: from its flags to the engine's settings.

use std::path::Path;

use anyhow::{Context as _, anyhow};

use crate::cli::produce::Args;
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::produce::{self, Input, Settings, Shape};
use crate::record::framing::unescape;
use crate::record::validate::Validator;
use crate::sending::{self, settings::Missing};

/// Produces all that the inputs hold and says what came of it.
pub fn run(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    let (named, files) = args.topic_and_files();
    if args.topic_from_record && named.is_none() && config.env_topic.is_none() {
        return Err(
            config::topic::missing().context("--topic-from-record: for records without a topic of their own")
        );
    }
    let topic = config::topic::one(named.as_deref(), None, config.env_topic.as_deref())?;
    let shape = Shape::new(args, validator(args)?)?;
    let settings = Settings {
        topic,
        inputs: Input::all(&files)?,
        delimiter: delimiter(args)?,
        skip_empty: args.skip_empty,
        on_invalid: args.on_invalid,
        partition: args.partition,
        keep_partition: args.keep_partition,
        topic_from_record: args.topic_from_record,
        may_shrink: args.value_codec.is_some() || args.json,
        count: args.count,
        rate: args.rate,
        report: args.report,
        producer: producer(args),
    };
    note_a_file(args, &settings.topic, config);
    produce::run(&settings, shape, config)
}

/// Says so where what was taken for the topic is a file too.
fn note_a_file(args: &Args, topic: &str, config: &Config) {
    if args.topic.is_none() && args.positionals.first().is_some_and(|name| Path::new(name).is_file()) {
        config.log.note(format_args!(
            "topic {topic} is also a file here; `kq produce -t TOPIC {topic}` would read it"
        ));
    }
}

/// What `--validate` asks for.
fn validator(args: &Args) -> anyhow::Result<Option<Validator>> {
    Ok(match args.validate.as_deref() {
        None => None,
        Some("json") => Some(Validator::Json),
        Some(file) => {
            let text = std::fs::read(file)
                .with_context(|| format!("--validate {file} (give json, or the file of a JSON Schema)"))?;
            let validator = Validator::schema(&text);
            Some(validator.with_context(|| format!("--validate {file} is no JSON Schema that can be used"))?)
        }
    })
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
        return Err(anyhow!("-D: an empty delimiter ends no record; --whole makes each file one"));
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
        missing: if args.no_create { Missing::Refuse } else { Missing::Create },
    }
}
