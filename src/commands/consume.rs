//! `kq consume`: from its flags to the engine's settings.

use anyhow::{Context as _, bail};

use crate::cli::consume::Args;
use crate::clock::now_ms;
use crate::commands::selection::{decoder, filter};
use crate::config::Config;
use crate::consume::{self, Bounds, Look, Reader, Settings, Sink, SinkSettings};
use crate::exit::Exit;
use crate::reading::bounds::{Bound, End, Start, parse_bound, parse_partitions, parse_until};
use crate::reading::membership::Sharing;
use crate::reading::topics::Selection;
use crate::record::decode::Decode;
use crate::record::escape::unescape;
use crate::record::format::Template;
use crate::terminal::stdout::Output;

/// Consumes until a stop condition is reached, stdout is closed, or a signal comes.
pub(crate) fn run(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    let settings = settings(args, config)?;
    let output = Output::stdout()?;
    let reader = if output.is_terminal() { Reader::Terminal } else { Reader::Program };
    consume::run(&settings, Sink::new(sink(args, reader)?), output, config)
}

/// The settings that the flags ask for. What needs the cluster is checked later.
pub(crate) fn settings(args: &Args, config: &Config) -> anyhow::Result<Settings> {
    let bounds = bounds(args, now_ms())?;
    let group =
        args.reading.group.clone().or_else(|| config.group.clone().filter(|_| args.partition.is_none()));
    if group.as_deref() == Some("") {
        bail!("-g/--group is empty: give the group's name, or leave the flag out to read without a group");
    }
    let named: Vec<&String> = args.reading.topics.iter().chain(&args.reading.topic).collect();
    let topics = Selection::given_or(&named, config.env_topic.as_deref())?
        .without(&args.reading.exclusion.exclude_topic)?;
    let reset = args.reading.reset.then(|| reset(group.as_deref(), &bounds)).transpose()?;
    Ok(Settings {
        topics,
        group,
        partitions: args.partition.as_deref().map(parse_partitions).transpose().context("-p")?,
        bounds,
        reset,
        isolation: args.sharing.isolation,
        sharing: Sharing { protocol: args.sharing.group_protocol, assignor: args.sharing.assignor },
        unbuffered: args.unbuffered,
        stall_timeout: args.stall_timeout,
        close_timeout: args.close_timeout,
    })
}

/// Where to start and to stop, relative times counted from `now` (ms since the epoch).
fn bounds(args: &Args, now: i64) -> anyhow::Result<Bounds> {
    let mut bounds = Bounds { from: None, until: None, count: args.reading.count, idle: args.reading.idle };
    if args.reading.end {
        bounds.until = Some(End::End);
    } else if let Some(until) = &args.reading.until {
        bounds.until = Some(parse_until(until, now).context("--until")?);
    }
    for text in &args.reading.from {
        match parse_bound(text, now).context("--from")? {
            Bound::Start(from) if bounds.from.is_none() => bounds.from = Some(from),
            Bound::End(until) if bounds.until.is_none() => bounds.until = Some(until),
            _ => bail!("--from {text}: one start and one end are enough"),
        }
    }
    Ok(bounds)
}

/// The start to which `--reset` moves the group: the flag needs a group and a start.
fn reset(group: Option<&str>, bounds: &Bounds) -> anyhow::Result<Start> {
    match (group, bounds.from) {
        (None, _) => bail!("--reset: name the group to move with -g or KQ_GROUP"),
        (_, None) => {
            bail!(
                "--reset: say where the group must start: --from beginning, end, OFFSET, -N, @TIME or -DURATION"
            )
        }
        (Some(_), Some(from)) => Ok(from),
    }
}

/// How records are written; an error names the flag.
pub(crate) fn sink(args: &Args, reader: Reader) -> anyhow::Result<SinkSettings> {
    let null = args.print_null.then_some(&b"NULL"[..]);
    let look = if args.json {
        Look::Json
    } else if let Some(format) = &args.format {
        let template = Template::parse(format).context("-f")?;
        Look::Template(if let Some(null) = null { template.with_null(null) } else { template })
    } else {
        let delimiter = match &args.delimiter {
            Some(text) => unescape(text).context("-D")?,
            None if args.nul => vec![0],
            None => vec![b'\n'],
        };
        let key = match &args.key_delimiter {
            Some(text) => Some(unescape(text).context("-K")?),
            None => args.with_key.then(|| vec![b'\t']),
        };
        Look::Template(Template::plain(key.as_deref(), &delimiter, null))
    };
    // JSON is for copies, and a copy keeps the value as it is.
    let default = if args.json { Decode::None } else { Decode::Auto };
    Ok(SinkSettings {
        look,
        decoder: decoder(&args.decoding, default),
        filter: filter(&args.filter)?,
        reader,
    })
}
