//! Which topics are read: names, kq's own patterns, and what comes and goes of them later.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use regex::Regex;

use crate::config::{self, Config};
use crate::kafka::client::{ConsumerClient, TopicMetadata};
use crate::kafka::connect;
use crate::kafka::errors::{Causes, Code, refused_topic, words};
use crate::reading::pattern;
use crate::terminal::notes::Log;

/// How often new topics and partitions are looked for.
const DISCOVERY: Duration = Duration::from_secs(10);
/// The same while one is missing.
const DISAPPEARANCE: Duration = Duration::from_secs(1);
/// For so long a topic must be missing until it counts as gone: one broker may know less than the
/// others for a moment.
const CERTAIN: Duration = Duration::from_secs(3);
/// How long a look waits for its answer, while records are read.
const LOOK: Duration = Duration::from_secs(1);

/// The topics that a command is to read. A name that starts with `^` is a regular expression over
/// the names of all topics.
///
/// Patterns are kq's own, of the `regex` crate: librdkafka reads them in another dialect (POSIX),
/// joins for Kafka's own topics too, and finds a new topic after five minutes.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    wanted: Vec<Wanted>,
    /// What a pattern does not select. A name is read whatever this says.
    excluded: Vec<Regex>,
}

#[derive(Clone, Debug)]
enum Wanted {
    Name(String),
    Pattern(Regex),
}

impl Wanted {
    fn text(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Pattern(pattern) => pattern.as_str(),
        }
    }

    fn matches(&self, topic: &str) -> bool {
        match self {
            Self::Name(name) => name == topic,
            // Kafka's own topics are read only by who names them.
            Self::Pattern(pattern) => {
                (!topic.starts_with("__") || pattern.as_str().contains("__")) && pattern.is_match(topic)
            }
        }
    }
}

impl Selection {
    /// The topics of these names and patterns, each once. A name that no cluster accepts is an error,
    /// and so is a pattern that can't be read.
    pub(crate) fn new<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> anyhow::Result<Self> {
        let mut all: Vec<Wanted> = Vec::new();
        for text in texts {
            let text = text.as_ref();
            if all.iter().any(|wanted| wanted.text() == text) {
                continue;
            }
            all.push(if text.starts_with('^') {
                Wanted::Pattern(Regex::new(text).with_context(|| format!("topic {text}"))?)
            } else {
                check(text)?;
                Wanted::Name(text.to_owned())
            });
        }
        Ok(Self { wanted: all, excluded: Vec::new() })
    }

    /// The same without the topics of patterns whose names match one of these expressions; an
    /// expression that is not anchored matches anywhere in a name. An error where there are
    /// expressions and no pattern.
    pub(crate) fn without(self, excluded: &[Regex]) -> anyhow::Result<Self> {
        if let Some(unused) = excluded.first()
            && !self.has_pattern()
        {
            bail!(
                "--exclude-topic {unused} leaves out topics that a pattern selects, but there is no pattern, which \
                 begins with ^, among the topics: {}",
                self.shown()
            );
        }
        Ok(Self { excluded: excluded.to_vec(), ..self })
    }

    /// The topics that are named, else what `KQ_TOPIC` names.
    pub(crate) fn given_or<S: AsRef<str>>(given: &[S], env: Option<&str>) -> anyhow::Result<Self> {
        match env {
            _ if !given.is_empty() => Self::new(given),
            Some(env) => Self::new([env]),
            None => Err(config::topic::missing()),
        }
    }

    /// Whether the topic of this name is read.
    pub(crate) fn matches(&self, topic: &str) -> bool {
        self.wanted.iter().any(|wanted| self.selects(wanted, topic))
    }

    /// Whether the topic is read because its name is given.
    pub(crate) fn has_name(&self, topic: &str) -> bool {
        self.wanted.iter().any(|wanted| matches!(wanted, Wanted::Name(name) if name == topic))
    }

    /// Whether the topic is read because of `wanted`.
    fn selects(&self, wanted: &Wanted, topic: &str) -> bool {
        let is_left_out = || self.excluded.iter().any(|excluded| excluded.is_match(topic));
        wanted.matches(topic) && (matches!(wanted, Wanted::Name(_)) || !is_left_out())
    }

    /// Whether topics may come later that are not there yet.
    pub(crate) fn has_pattern(&self) -> bool {
        self.wanted.iter().any(|wanted| matches!(wanted, Wanted::Pattern(_)))
    }

    /// The one topic that is named, where that is all.
    pub(crate) fn only_name(&self) -> Option<&str> {
        match &*self.wanted {
            [Wanted::Name(name)] => Some(name),
            _ => None,
        }
    }

    /// What was asked for, as it was written.
    fn shown(&self) -> String {
        let mut shown = self.wanted.iter().map(Wanted::text).collect::<Vec<_>>().join(", ");
        for excluded in &self.excluded {
            shown.push_str(" --exclude-topic ");
            shown.push_str(excluded.as_str());
        }
        shown
    }

    /// There is nothing to read yet: a note. Fails where the reader is to end by itself (`has_stop`):
    /// nothing would end it.
    pub(crate) fn wait_for_one(&self, has_stop: bool, log: Log) -> anyhow::Result<()> {
        let patterns = self.shown();
        if has_stop {
            bail!("no topic matches {patterns}; `kq topic list` shows those that exist");
        }
        log.note(format_args!("no topic matches {patterns} yet: waiting for one"));
        Ok(())
    }

    /// The topics as the cluster has them now, within the configured time-out; patterns may match none.
    pub(crate) fn find(
        &self,
        consumer: &impl ConsumerClient,
        causes: &Causes,
        config: &Config,
    ) -> anyhow::Result<Vec<TopicMetadata>> {
        self.find_by(|topic| connect::metadata(config, causes, |wait| consumer.metadata(topic, wait)))
    }

    /// The same, asked once and not for long, while records are read.
    pub(crate) fn look(&self, consumer: &impl ConsumerClient) -> anyhow::Result<Vec<TopicMetadata>> {
        self.find_by(|topic| consumer.metadata(topic, LOOK).map_err(|code| anyhow!(words(code))))
    }

    /// Asks for each name, and once for all topics where there are patterns.
    fn find_by(
        &self,
        ask: impl Fn(Option<&str>) -> anyhow::Result<Vec<TopicMetadata>>,
    ) -> anyhow::Result<Vec<TopicMetadata>> {
        let mut topics: Vec<TopicMetadata> = Vec::new();
        let mut all = None;
        for wanted in &self.wanted {
            let found = match wanted {
                Wanted::Name(name) => vec![existing(ask(Some(name))?, name)?],
                Wanted::Pattern(_) => {
                    if all.is_none() {
                        all = Some(ask(None)?);
                    }
                    all.iter().flatten().filter(|topic| self.selects(wanted, &topic.name)).cloned().collect()
                }
            };
            for topic in found {
                if !topics.iter().any(|t| t.name == topic.name) {
                    topics.push(topic);
                }
            }
        }
        Ok(topics)
    }
}

/// Refuses a name that no cluster accepts; where it looks like a pattern, the error says how one is written.
fn check(name: &str) -> anyhow::Result<()> {
    let Err(e) = config::topic::check(name) else { return Ok(()) };
    match pattern::meant(name).filter(|_| config::topic::file_hint(name).is_none()) {
        Some(pattern) => bail!("{e}; a pattern begins with ^, as in '{pattern}'"),
        None => Err(e),
    }
}

/// The one topic of that name, or an error that says what to do.
fn existing(metadata: Vec<TopicMetadata>, name: &str) -> anyhow::Result<TopicMetadata> {
    use Code as E;
    let topic = metadata.into_iter().find(|topic| topic.name == name);
    match topic.as_ref().and_then(|topic| topic.error) {
        Some(E::UnknownTopicOrPartition | E::UnknownTopic) => {}
        Some(code) => return Err(refused_topic(code, name)),
        None => {
            if let Some(topic) = topic.filter(|topic| !topic.partitions.is_empty()) {
                return Ok(topic);
            }
        }
    }
    Err(anyhow::Error::new(Missing(name.to_owned())))
}

/// A topic that is not there.
#[derive(Debug)]
struct Missing(String);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hint = config::topic::or_a_file(&self.0);
        write!(f, "topic {} does not exist; `kq topic list` shows those that do{hint}", self.0)
    }
}

impl std::error::Error for Missing {}

/// When to look for topics that came or went, and what is known of one that is missing. Pure: the
/// clock is injected.
#[derive(Debug)]
pub(crate) struct Discovery {
    looked: Instant,
    /// Since when a topic is missing that was there.
    missing: Option<Instant>,
}

/// Why to look for topics besides those that were deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// New topics or partitions are to be read.
    New,
    /// What is read was chosen at the start.
    Nothing,
}

impl Discovery {
    /// The topics were looked for just now.
    pub(crate) fn new(now: Instant) -> Self {
        Self { looked: now, missing: None }
    }

    /// Whether to look now. `is_flagged`: the client missed a topic.
    pub(crate) fn is_due(&mut self, now: Instant, is_flagged: bool, follows: Follows) -> bool {
        let waited = now.saturating_duration_since(self.looked);
        let is_due = is_flagged
            || match self.missing {
                Some(_) => waited >= DISAPPEARANCE,
                None => waited >= DISCOVERY && follows == Follows::New,
            };
        if is_due {
            self.looked = now;
        }
        is_due
    }

    /// What a [`Selection::look`] found; `None` where it is to be repeated. An error once a topic is
    /// gone for good.
    pub(crate) fn judge(
        &mut self,
        now: Instant,
        looked: anyhow::Result<Vec<TopicMetadata>>,
    ) -> anyhow::Result<Option<Vec<TopicMetadata>>> {
        let e = match looked {
            Ok(topics) => {
                self.missing = None;
                return Ok(Some(topics));
            }
            Err(e) => e,
        };
        if let Some(Missing(name)) = e.downcast_ref() {
            let since = *self.missing.get_or_insert(now);
            if now.saturating_duration_since(since) >= CERTAIN {
                return Err(anyhow!("topic {name} does not exist any more"));
            }
        }
        Ok(None)
    }
}

/// The names of topics, in order: what a group is joined for.
pub(crate) fn names(topics: &[TopicMetadata]) -> Vec<String> {
    let mut names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::metadata::PartitionMetadata;

    fn selection(texts: &[&str]) -> Selection {
        Selection::new(texts).unwrap()
    }

    fn topic(name: &str) -> TopicMetadata {
        let partition = PartitionMetadata { id: 0, leader: 1, replicas: vec![1], isr: vec![1], error: None };
        TopicMetadata { name: name.to_owned(), partitions: vec![partition], error: None }
    }

    /// A selection without the topics that one of these matches.
    fn without(texts: &[&str], excluded: &[&str]) -> anyhow::Result<Selection> {
        let excluded: Vec<Regex> = excluded.iter().map(|text| Regex::new(text).unwrap()).collect();
        selection(texts).without(&excluded)
    }

    /// What of a cluster with these topics is found, and how often is asked.
    fn found(texts: &[&str], there: &[&str]) -> (anyhow::Result<Vec<String>>, usize) {
        found_by(&selection(texts), there)
    }

    fn found_by(selection: &Selection, there: &[&str]) -> (anyhow::Result<Vec<String>>, usize) {
        let asked = std::cell::Cell::new(0);
        let ask = |name: Option<&str>| {
            asked.set(asked.get() + 1);
            let all = there.iter().filter(|there| name.is_none_or(|name| name == **there));
            Ok(all.map(|name| topic(name)).collect())
        };
        let found = selection.find_by(ask);
        (found.map(|topics| topics.into_iter().map(|topic| topic.name).collect()), asked.get())
    }

    #[test]
    fn patterns_are_of_kqs_own_dialect() {
        let of = selection(&[r"^en\w$", "^(?i)orders"]);
        assert!(of.matches("en1") && of.matches("ORDERS-eu") && !of.matches("en"));
        let e = format!("{:#}", Selection::new(["^["]).unwrap_err());
        assert!(e.starts_with("topic ^["), "{e}");
    }

    #[test]
    fn topics_of_kafka_itself_are_read_by_who_names_them() {
        assert!(!selection(&["^.*"]).matches("__consumer_offsets"));
        assert!(selection(&["^.*"]).matches("orders__eu"));
        assert!(selection(&["^__.*"]).matches("__consumer_offsets"));
        assert!(selection(&["__consumer_offsets"]).matches("__consumer_offsets"));
        let there = ["__consumer_offsets", "a", "b"];
        assert_eq!(found(&["^.*"], &there).0.unwrap(), ["a", "b"]);
        assert_eq!(found(&["^__c"], &there).0.unwrap(), ["__consumer_offsets"]);
    }

    #[test]
    fn each_topic_is_read_once_and_all_are_asked_for_once() {
        let (found, asked) = found(&["b", "^b", "^[ab]$", "b"], &["a", "b"]);
        assert_eq!(found.unwrap(), ["b", "a"]);
        assert_eq!(asked, 2);
    }

    #[test]
    fn a_name_must_be_there_and_a_pattern_may_match_nothing() {
        assert_eq!(found(&["^x"], &["a"]).0.unwrap(), [""; 0]);
        let e = found(&["x"], &["a"]).0.unwrap_err().to_string();
        assert_eq!(e, "topic x does not exist; `kq topic list` shows those that do");
        assert!(Selection::new(["a b"]).unwrap_err().to_string().contains("' '"));
        assert_eq!(selection(&["a"]).only_name(), Some("a"));
        assert_eq!(selection(&["^a"]).only_name(), None);
        assert!(selection(&["a", "^b"]).has_pattern() && !selection(&["a", "b"]).has_pattern());
    }

    #[test]
    fn what_is_left_out_of_a_pattern_is_searched_for_in_the_whole_name() {
        let there = ["orders", "orders.dlq", "orders.dlq.old", "orders-test"];
        let left = |excluded: &[&str]| found_by(&without(&["^orders"], excluded).unwrap(), &there).0.unwrap();
        assert_eq!(left(&[]), there);
        assert_eq!(left(&[r"\.dlq$"]), ["orders", "orders.dlq.old", "orders-test"]);
        assert_eq!(left(&["dlq"]), ["orders", "orders-test"], "anywhere in the name");
        assert_eq!(left(&["^dlq", "^orders-"]), ["orders", "orders.dlq", "orders.dlq.old"]);
        assert_eq!(left(&["orders"]), [""; 0]);
    }

    #[test]
    fn a_topic_that_is_named_is_read_whatever_is_left_out_of_a_pattern() {
        let both = without(&["a.dlq", "^a"], &[r"\.dlq$"]).unwrap();
        assert!(both.matches("a") && both.matches("a.dlq") && !both.matches("ab.dlq"));
        assert_eq!(found_by(&both, &["a", "a.dlq", "ab.dlq"]).0.unwrap(), ["a.dlq", "a"]);
    }

    #[test]
    fn what_looks_like_a_pattern_is_answered_with_one() {
        let e = Selection::new([".*"]).unwrap_err().to_string();
        assert!(e.starts_with("`.*` can't be a topic's name: it holds '*'"), "{e}");
        assert!(e.ends_with("; a pattern begins with ^, as in '^.*'"), "{e}");
        let e = Selection::new(["a b"]).unwrap_err().to_string();
        assert!(!e.contains("pattern"), "{e}");
    }

    #[test]
    fn to_leave_topics_out_there_must_be_a_pattern() {
        let e = without(&["a", "b"], &["x"]).unwrap_err().to_string();
        assert!(
            e.starts_with("--exclude-topic x leaves out topics that a pattern selects")
                && e.ends_with(": a, b"),
            "{e}"
        );
        assert!(without(&["a"], &[]).is_ok());
        let e = without(&["^a"], &["b", "c"]).unwrap().wait_for_one(true, Log::default()).unwrap_err();
        let e = e.to_string();
        assert!(e.starts_with("no topic matches ^a --exclude-topic b --exclude-topic c;"), "{e}");
    }

    #[test]
    fn new_topics_are_looked_for_every_ten_seconds_and_at_once_where_one_is_missed() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut discovery = Discovery::new(began);
        assert!(!discovery.is_due(at(9_900), false, Follows::New));
        assert!(!discovery.is_due(at(20_000), false, Follows::Nothing));
        assert!(discovery.is_due(at(20_000), false, Follows::New));
        assert!(!discovery.is_due(at(20_100), false, Follows::New));
        assert!(discovery.is_due(at(20_200), true, Follows::Nothing));
    }

    #[test]
    fn a_topic_is_gone_once_it_was_missing_for_three_seconds() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let missing = || Err(anyhow::Error::new(Missing("t".into())));
        let mut discovery = Discovery::new(began);
        assert!(discovery.judge(at(0), missing()).unwrap().is_none());
        assert!(discovery.is_due(at(1000), false, Follows::Nothing), "it is looked for soon");
        assert!(discovery.judge(at(1000), Ok(vec![topic("t")])).unwrap().is_some());
        assert!(discovery.judge(at(2000), missing()).unwrap().is_none());
        assert!(discovery.judge(at(4000), Err(anyhow!("no answer"))).unwrap().is_none());
        let e = discovery.judge(at(5000), missing()).unwrap_err().to_string();
        assert_eq!(e, "topic t does not exist any more");
    }
}
