//! The client's properties of every reader, and those in which consume and worker differ.

use crate::config::{Config, Properties};
use crate::reading::isolation::Isolation;
use crate::reading::membership::{self, Sharing};

/// What kq wants of every reader: no record skipped silently, the ends of partitions known, nothing
/// committed but what was dealt with, memory bounded. They rank below what the user sets.
///
/// - `auto.offset.reset=error`: records that retention deleted are counted and reported, and then kq
///   seeks past them; librdkafka's own reset is silent.
/// - `allow.auto.create.topics=false`: to read a topic never creates it.
/// - `fetch.queue.backoff.ms`: its default of a second starves partitions, since the limit counts the
///   queue of all of them.
/// - `reconnect.backoff.ms`: as for a producer, for a quick start; half of it is what each further
///   connection waits for.
const EVERY_READER: [(&str, &str); 9] = [
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "error"),
    ("auto.commit.interval.ms", "1000"),
    ("isolation.level", "read_committed"),
    ("allow.auto.create.topics", "false"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.queue.backoff.ms", "10"),
    ("reconnect.backoff.ms", "20"),
];

/// What records are fetched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetching {
    /// `kq consume`, which follows the topics.
    Following,
    /// `kq consume`, which ends by itself.
    ToTheEnd,
    /// `kq worker`, with a process for each record.
    ForOneShot,
    /// `kq worker`, with processes that take one record after the other.
    ForPersistent,
}

impl Fetching {
    fn properties(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Following => for_stdout("500"),
            Self::ToTheEnd => for_stdout("20"),
            Self::ForOneShot => for_commands("1000"),
            Self::ForPersistent => for_commands("5000"),
        }
    }
}

/// stdout takes millions of records a second. What is fetched ahead of a partition is enough to hide the
/// way to the broker, and little enough to stay in the processor's caches, which saves a fifth of the
/// CPU, and in 64 MiB.
///
/// `wait` (ms): a broker answers a fetch that finds nothing after this time, and the end of a partition
/// is known only then.
fn for_stdout(wait: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![("queued.min.messages", "20000"), ("fetch.message.max.bytes", "524288"), ("fetch.wait.max.ms", wait)]
}

/// Commands take thousands of records a second, from all partitions at once. A fetch is counted with its
/// size on the wire and held decompressed: compressed JSON is twenty times as large. With a megabyte a
/// partition 1.5 million records took 240 MiB, and no less time.
///
/// `ahead`: the records to hold ready for the processes.
fn for_commands(ahead: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![("queued.min.messages", ahead), ("fetch.message.max.bytes", "65536")]
}

/// The member of a group that a reader is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    pub group: &'a str,
    pub sharing: Sharing,
    /// The name of a static member.
    pub instance_id: Option<&'a str>,
}

/// The properties of a reader: of a member, or of one without a group, which commits nothing and of
/// which librdkafka wants the name of a group all the same.
///
/// `isolation`: where it was asked for; without, the connection's own property counts.
pub(crate) fn of(
    member: Option<Member<'_>>,
    fetching: Fetching,
    isolation: Option<Isolation>,
    config: &Config,
) -> anyhow::Result<Properties> {
    let anonymous = format!("kq-{}", std::process::id());
    let mut flags = vec![
        ("group.id", member.map_or(anonymous.as_str(), |member| member.group)),
        ("enable.auto.commit", if member.is_some() { "true" } else { "false" }),
    ];
    if let Some(member) = member {
        flags.extend(membership::properties(member.sharing, config)?);
        flags.extend(member.instance_id.map(|id| ("group.instance.id", id)));
    }
    flags.extend(isolation.map(|isolation| ("isolation.level", isolation.level())));
    Ok(config.client_with(&[&EVERY_READER[..], &fetching.properties()].concat(), &flags))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::flags::ConnectionArgs;
    use crate::kafka::properties::Librdkafka;
    use crate::reading::membership::GroupProtocol;

    fn config(properties: &[&str]) -> Config {
        let properties = properties.iter().map(|&property| property.into()).collect();
        let args = ConnectionArgs { properties, ..Default::default() };
        Config::resolve_with(&args, &|_| None, &Librdkafka).unwrap()
    }

    fn member(instance_id: Option<&'static str>) -> Member<'static> {
        let sharing = Sharing { protocol: GroupProtocol::Classic, assignor: None };
        Member { group: "g", sharing, instance_id }
    }

    /// What a reader sets besides the connection's properties, but for a name that has its process id.
    fn set(member: Option<Member<'_>>, fetching: Fetching, isolation: Option<Isolation>) -> Vec<String> {
        let config = config(&[]);
        let own = of(member, fetching, isolation, &config).unwrap();
        let connection = config.client(&[]);
        let all: BTreeSet<(&str, &str)> = own.iter().collect();
        let connection: BTreeSet<(&str, &str)> = connection.iter().collect();
        let name = format!("group.id=kq-{}", std::process::id());
        let set = all.difference(&connection).map(|(name, value)| format!("{name}={value}"));
        set.filter(|property| *property != name).collect()
    }

    /// What every reader has.
    const ALL: [&str; 8] = [
        "allow.auto.create.topics=false",
        "auto.commit.interval.ms=1000",
        "auto.offset.reset=error",
        "enable.auto.offset.store=false",
        "enable.partition.eof=true",
        "fetch.queue.backoff.ms=10",
        "queued.max.messages.kbytes=16384",
        "reconnect.backoff.ms=20",
    ];

    fn with_all(own: &[&str]) -> Vec<String> {
        let mut properties: Vec<String> = ALL.iter().chain(own).map(|&property| property.into()).collect();
        properties.sort_unstable();
        properties
    }

    #[test]
    fn a_consume_without_a_group_commits_nothing() {
        let own = [
            "enable.auto.commit=false",
            "fetch.message.max.bytes=524288",
            "fetch.wait.max.ms=500",
            "isolation.level=read_committed",
            "queued.min.messages=20000",
        ];
        assert_eq!(set(None, Fetching::Following, None), with_all(&own));
    }

    #[test]
    fn a_consume_in_a_group_that_ends_does_not_wait_at_the_end_of_a_partition() {
        let own = [
            "enable.auto.commit=true",
            "fetch.message.max.bytes=524288",
            "fetch.wait.max.ms=20",
            "group.id=g",
            "group.protocol=classic",
            "isolation.level=read_uncommitted",
            "partition.assignment.strategy=cooperative-sticky",
            "queued.min.messages=20000",
        ];
        let isolation = Some(Isolation::ReadUncommitted);
        assert_eq!(set(Some(member(None)), Fetching::ToTheEnd, isolation), with_all(&own));
    }

    #[test]
    fn a_worker_fetches_little_ahead() {
        for (fetching, ahead) in [(Fetching::ForOneShot, "1000"), (Fetching::ForPersistent, "5000")] {
            let ahead = format!("queued.min.messages={ahead}");
            let own = [
                "enable.auto.commit=true",
                "fetch.message.max.bytes=65536",
                "group.id=g",
                "group.instance.id=a",
                "group.protocol=classic",
                "isolation.level=read_committed",
                "partition.assignment.strategy=cooperative-sticky",
                &ahead,
            ];
            assert_eq!(set(Some(member(Some("a"))), fetching, None), with_all(&own));
        }
    }

    #[test]
    fn what_the_user_sets_ranks_above_the_defaults() {
        let config = config(&["auto.commit.interval.ms=5", "queued.min.messages=7"]);
        let client = of(Some(member(None)), Fetching::Following, None, &config).unwrap();
        assert_eq!(client.get("auto.commit.interval.ms"), Some("5"));
        assert_eq!(client.get("queued.min.messages"), Some("7"));
    }
}
