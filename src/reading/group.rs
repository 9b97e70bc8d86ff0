//! A consumer group from outside: how many members it has, and where it is to read from.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

use crate::clock::source::System;
use crate::config::Config;
use crate::kafka::client::{ConsumerClient, TopicMetadata};
use crate::kafka::errors::{Causes, Code, is_contact_lost, words};
use crate::reading::bounds::Start;
use crate::reading::contact::{self, Riding};
use crate::reading::questions;
use crate::record::TopicPartition;
use crate::terminal::notes::Log;

/// How long a start waits to learn whether it is alone.
const GLANCE: Duration = Duration::from_secs(1);

/// Notes how many members the group has, if any. Without an answer (no permission, or none within a
/// second) there is no note. To be called before this consumer joins.
pub(crate) fn note_members(consumer: &impl ConsumerClient, group: &str, log: Log) {
    if log.is_quiet() {
        return;
    }
    match consumer.group_members(group, GLANCE) {
        Ok(0) => {}
        Ok(members) => {
            log.note(format_args!(
                "group {group} has {} already; records are shared with them",
                counted(members)
            ));
        }
        Err(code) => log.verbose(1, format_args!("members of group {group}: {}", words(code))),
    }
}

/// Commits for the group, in every partition of these topics, the offset that `from` means now;
/// one beyond the end is the end. Refused where the group has members: they would go on from where they are.
/// To be called before this consumer joins.
pub(crate) fn seek(
    consumer: &impl ConsumerClient,
    causes: &Causes,
    config: &Config,
    group: &str,
    topics: &[TopicMetadata],
    from: Start,
) -> anyhow::Result<()> {
    if from == Start::Stored {
        bail!("--reset --from stored: that is where the group reads from anyway; give another start");
    }
    let explain = |what: &str, code| {
        let fault = causes.advertised().filter(|_| is_contact_lost(code));
        let why = fault.map_or_else(|| words(code), |fault| fault.sentence);
        anyhow!("{what} of group {group}: {why}")
    };
    let (timeout, limit) = (config.timeout, config.timeout);
    let riding = Riding { log: config.log, clock: &System, causes, timeout, limit };
    let is_over = || false;
    let is_lost = Cell::new(false);
    let members = contact::ride_out(
        &riding,
        is_over,
        |code| is_contact_lost(*code),
        |timeout| {
            let asked = Instant::now();
            // A question about members that has no answer stays in the client: no second one before the
            // coordinator answers.
            if is_lost.replace(true)
                && let Some(topic) = topics.first()
                && let Err(code) = consumer.ask_coordinator(&topic.name, timeout)
                && is_contact_lost(code)
            {
                return Err(code);
            }
            consumer.group_members(group, timeout.saturating_sub(asked.elapsed()))
        },
    );
    match members.map_err(|code| explain("members", code))? {
        0 => {}
        members => bail!(refusal(group, &counted(members))),
    }
    let mut offsets = Vec::new();
    for topic in topics {
        for partition in &topic.partitions {
            let (name, id) = (topic.name.as_str(), partition.id);
            let offset = contact::ride_out(&riding, is_over, questions::is_passing, |timeout| {
                let (low, high) = questions::watermarks(consumer, name, id, timeout)?;
                Ok(questions::start(consumer, name, id, from, (low, high), timeout)?.min(high))
            })
            .map_err(|e| questions::explained(e, causes.advertised()))?;
            config.log.verbose(1, format_args!("group {group}: to {name}[{id}]@{offset}"));
            offsets.push((TopicPartition::new(name, id), offset).into());
        }
    }
    if offsets.is_empty() {
        return Ok(());
    }
    consumer.commit(&offsets, config.timeout).map_err(|code| match code {
        Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress => {
            anyhow!(refusal(group, "members"))
        }
        code => explain("offsets", code),
    })?;
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    config.log.note(format_args!("group {group} was reset in {}", names.join(", ")));
    Ok(())
}

fn counted(members: usize) -> String {
    if members == 1 { "1 member".into() } else { format!("{members} members") }
}

fn refusal(group: &str, members: &str) -> String {
    format!(
        "--reset: group {group} has {members}, and only a group without any can be reset; \
         stop them first (one that was killed counts until its session ends), or use another group"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::flags::ConnectionArgs;
    use crate::kafka::fake::{Cluster, Question};
    use crate::kafka::properties::Librdkafka;

    #[test]
    fn a_group_whose_coordinator_is_away_is_asked_for_its_members_once_before_it_answers() {
        let cluster = Cluster::new().with_topic("t", 1);
        let config = Config::resolve_with(&ConnectionArgs::default(), &|_| None, &Librdkafka).unwrap();
        cluster.refuse(Question::Members, [Code::OperationTimedOut]);
        cluster.refuse(Question::Coordinator, [Code::OperationTimedOut; 3]);
        let (consumer, causes) = (cluster.consumer(), Causes::default());
        seek(&consumer, &causes, &config, "g", &cluster.topics(), Start::End).unwrap();
        assert_eq!(cluster.asked(Question::Coordinator), 4);
        assert_eq!(cluster.asked(Question::Members), 2);
        assert_eq!(cluster.committed("t", 0), Some(0));
    }
}
