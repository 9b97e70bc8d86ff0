//! `kq topic`: create, list, describe, alter, delete.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde::Serialize;

use crate::cli::topic::{Alter, Args, Command, Create, Delete, Describe, List, Topics};
use crate::config::{Config, topic};
use crate::exit::Exit;
use crate::kafka::admin::{Admin, CreateError, Creation};
use crate::kafka::metadata::TopicMetadata;
use crate::terminal::notes::Log;
use crate::terminal::stdout;
use crate::terminal::table::{Gap, json_lines, table};

/// A line of `list --json`.
#[derive(Serialize)]
struct Listed<'a> {
    topic: &'a str,
    partitions: usize,
    replication_factor: usize,
    internal: bool,
}

/// A line of `describe --json`.
#[derive(Serialize)]
struct Described<'a> {
    topic: &'a str,
    replication_factor: usize,
    internal: bool,
    /// Only what was set on the topic itself.
    config: BTreeMap<String, String>,
    partitions: Vec<PartitionDescription<'a>>,
}

/// A partition in a line of `describe --json`; without a leader it has no watermarks.
#[derive(Serialize)]
struct PartitionDescription<'a> {
    partition: i32,
    leader: Option<i32>,
    replicas: &'a [i32],
    isr: &'a [i32],
    low: Option<i64>,
    high: Option<i64>,
}

/// Runs one of the subcommands.
pub(crate) fn run(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Create(args) => create(args, config),
        Command::List(args) => list(args, config),
        Command::Describe(args) => describe(args, config),
        Command::Alter(args) => alter(args, config),
        Command::Delete(args) => delete(args, config),
    }
}

fn create(args: &Create, config: &Config) -> anyhow::Result<Exit> {
    refuse_repeated(args.configs.iter().map(|(name, _)| name))?;
    let names = named(&args.topics, config)?;
    for name in &names {
        if let Some(hint) = topic::file_hint(name) {
            config.log.note(format_args!("topic {name}: {hint}"));
        }
    }
    let creation = Creation {
        partitions: args.partitions,
        replication_factor: args.replication_factor,
        configs: args.configs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
    };
    let admin = Admin::connect(config)?;
    let outcomes =
        admin.create(&names, &creation).with_context(|| format!("create topic {}", names.join(", ")))?;
    each(config.log, outcomes, |name, outcome| match outcome {
        Ok(()) => {
            let made = admin.await_usable(name, args.partitions.map(|n| n as usize))?;
            config.log.note(format_args!("created topic {}", shape(&made)));
            Ok(())
        }
        Err(CreateError::Exists) if args.if_not_exists => {
            let there = admin.await_usable(name, None)?;
            match args.partitions {
                Some(asked) if asked as usize != there.partitions.len() => config.log.error(format_args!(
                    "topic {} exists already, not with {} as asked",
                    shape(&there),
                    count(asked as usize, "partition")
                )),
                _ => config.log.note(format_args!("topic {} exists already", shape(&there))),
            }
            Ok(())
        }
        Err(CreateError::Exists) => {
            bail!("create topic {name}: it exists already (with --if-not-exists that is not an error)")
        }
        Err(CreateError::Other(e)) => Err(e.context(format!("create topic {name}"))),
    })
}

fn list(args: &List, config: &Config) -> anyhow::Result<Exit> {
    let cluster = Admin::connect(config)?.metadata(None)?;
    let topics: Vec<&TopicMetadata> =
        cluster.topics.iter().filter(|t| args.internal || !t.is_internal()).collect();
    if args.json {
        let lines = json_lines(topics.iter().map(|topic| Listed {
            topic: &topic.name,
            partitions: topic.partitions.len(),
            replication_factor: topic.replication_factor(),
            internal: topic.is_internal(),
        }))?;
        return print(&lines);
    }
    if topics.is_empty() {
        config.log.note(format_args!("no topics on {} (`kq topic create NAME` makes one)", config.brokers));
        return Ok(Exit::Done);
    }
    let rows = topics
        .iter()
        .map(|topic| format!("{}\t{}\t{}", topic.name, topic.partitions.len(), topic.replication_factor()));
    print(&table(Gap::Wide, "TOPIC\tPARTITIONS\tREPLICATION", rows)?)
}

fn describe(args: &Describe, config: &Config) -> anyhow::Result<Exit> {
    let all = args.topics.names.is_empty() && args.topics.flags.is_empty() && config.env_topic.is_none();
    let names = if all { Vec::new() } else { named(&args.topics, config)? };
    let admin = Admin::connect(config)?;
    let topics: Vec<(String, Option<TopicMetadata>)> = if all {
        let topics = admin.metadata(None)?.topics.into_iter().filter(|topic| !topic.is_internal());
        topics.map(|topic| (topic.name.clone(), Some(topic))).collect()
    } else {
        names.into_iter().map(|name| (name, None)).collect()
    };
    let form = if args.json { Form::Json } else { Form::Table };
    let mut text = Vec::new();
    let outcome = each(config.log, topics, |name, topic| {
        let topic = match topic {
            Some(topic) => topic,
            None => admin
                .topic(name)?
                .ok_or_else(|| anyhow!("{}{}", topic::absent(name), topic::or_a_file(name)))?,
        };
        describe_one(&admin, &topic, form, &mut text)
    });
    print(&text)?;
    outcome
}

/// How a topic is described.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Table,
}

/// Appends a topic's description.
fn describe_one(admin: &Admin, topic: &TopicMetadata, form: Form, text: &mut Vec<u8>) -> anyhow::Result<()> {
    let configs =
        admin.configs(&topic.name).with_context(|| format!("configuration of topic {}", topic.name))?;
    let led: Vec<i32> = topic.partitions.iter().filter(|p| p.leader >= 0).map(|p| p.id).collect();
    let marks: BTreeMap<i32, (i64, i64)> =
        led.iter().copied().zip(admin.watermarks(&topic.name, &led)?).collect();
    if form == Form::Json {
        let partitions = topic.partitions.iter().map(|p| PartitionDescription {
            partition: p.id,
            leader: (p.leader >= 0).then_some(p.leader),
            replicas: &p.replicas,
            isr: &p.isr,
            low: marks.get(&p.id).map(|m| m.0),
            high: marks.get(&p.id).map(|m| m.1),
        });
        let described = Described {
            topic: &topic.name,
            replication_factor: topic.replication_factor(),
            internal: topic.is_internal(),
            config: configs.into_iter().collect(),
            partitions: partitions.collect(),
        };
        text.extend(json_lines(std::iter::once(described))?);
        return Ok(());
    }
    if !text.is_empty() {
        text.push(b'\n');
    }
    writeln!(text, "{}", shape(topic))?;
    for (name, value) in &configs {
        writeln!(text, "  {name}={value}")?;
    }
    let rows = topic.partitions.iter().map(|p| {
        let mark = |of: fn(&(i64, i64)) -> i64| {
            marks.get(&p.id).map_or_else(|| "-".to_owned(), |marks| of(marks).to_string())
        };
        let leader = if p.leader < 0 { "none".to_owned() } else { p.leader.to_string() };
        format!(
            "{}\t{leader}\t{}\t{}\t{}\t{}",
            p.id,
            ids(&p.replicas),
            ids(&p.isr),
            mark(|m| m.0),
            mark(|m| m.1)
        )
    });
    text.extend(table(Gap::Wide, "PARTITION\tLEADER\tREPLICAS\tISR\tLOW\tHIGH", rows)?);
    Ok(())
}

fn alter(args: &Alter, config: &Config) -> anyhow::Result<Exit> {
    refuse_repeated(args.configs.iter().map(|(name, _)| name).chain(&args.deleted))?;
    let names = named(&args.topics, config)?;
    let set = args.configs.iter().map(|(name, value)| (name.as_str(), Some(value.as_str())));
    let changes: Vec<_> = set.chain(args.deleted.iter().map(|name| (name.as_str(), None))).collect();
    let admin = Admin::connect(config)?;
    let names = names.into_iter().map(|name| (name, ())).collect();
    each(config.log, names, |name, ()| {
        let there = admin.topic(name)?.ok_or_else(|| anyhow!(topic::absent(name)))?;
        let partitions = there.partitions.len();
        let asked = args.partitions.map(|asked| asked as usize);
        if asked.is_some_and(|asked| asked < partitions) {
            bail!(
                "alter topic {name}: it has {}, and can't have fewer (create a new topic and copy it: \
                 kq consume {name} -e -J | kq produce NEW -J)",
                count(partitions, "partition")
            );
        }
        if !changes.is_empty() {
            admin.configure(name, &changes).with_context(|| format!("alter topic {name}"))?;
            let told = changes.iter().map(|(name, value)| match value {
                Some(value) => format!("{name}={value}"),
                None => format!("{name} removed, so that the broker's value applies"),
            });
            config.log.note(format_args!("altered topic {name}: {}", told.collect::<Vec<_>>().join(", ")));
        }
        match asked {
            Some(asked) if asked > partitions => {
                admin.grow(name, asked).with_context(|| format!("alter topic {name}"))?;
                let now = admin.await_usable(name, Some(asked))?;
                config.log.note(format_args!("altered topic {}", shape(&now)));
            }
            Some(_) => config.log.note(format_args!("topic {} already", shape(&there))),
            None => {}
        }
        Ok(())
    })
}

/// Refuses a configuration that is named more than once: kq can't know which of the two is meant, and a
/// broker that gets both only answers that the request is wrong.
fn refuse_repeated<'a>(names: impl Iterator<Item = &'a String>) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        ensure!(
            seen.insert(name),
            "{name} is named more than once: give one --config or --delete-config for it"
        );
    }
    Ok(())
}

fn delete(args: &Delete, config: &Config) -> anyhow::Result<Exit> {
    let names = topic::several(&args.names, &args.flags, None)?;
    let admin = Admin::connect(config)?;
    let outcomes = admin.delete(&names).with_context(|| format!("delete topic {}", names.join(", ")))?;
    each(config.log, outcomes, |name, outcome| {
        outcome.with_context(|| format!("delete topic {name}"))?;
        admin.await_gone(name)?;
        config.log.note(format_args!("deleted topic {name}"));
        Ok(())
    })
}

fn named(topics: &Topics, config: &Config) -> anyhow::Result<Vec<String>> {
    topic::several(&topics.names, &topics.flags, config.env_topic.as_deref())
}

/// Does something for each topic, and continues after a failure. The last failure is that of the
/// command; those before it are reported at once.
fn each<T>(
    log: Log,
    topics: Vec<(String, T)>,
    mut act: impl FnMut(&str, T) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let mut failure: Option<anyhow::Error> = None;
    for (name, value) in topics {
        if let Err(e) = act(&name, value)
            && let Some(earlier) = failure.replace(e)
        {
            log.error(format_args!("{earlier:#}"));
        }
    }
    failure.map_or(Ok(Exit::Done), Err)
}

/// `foo: 4 partitions, replication factor 2`
fn shape(topic: &TopicMetadata) -> String {
    format!(
        "{}: {}, replication factor {}",
        topic.name,
        count(topic.partitions.len(), "partition"),
        topic.replication_factor()
    )
}

fn count(n: usize, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}

fn ids(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn print(text: &[u8]) -> anyhow::Result<Exit> {
    stdout::print(text)?;
    Ok(Exit::Done)
}
