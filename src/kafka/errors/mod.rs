//! Turns librdkafka's errors and log lines into a sentence that a person can act on.

mod advertised;
mod cause;
mod refusal;
mod said;
pub(crate) mod setup;
mod truncation;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::client::Observer;
pub(crate) use super::code::Code;
use crate::clock::duration;
use crate::config;
use crate::lock::Lock;
use crate::terminal::notes::Log;
use crate::threads;
use cause::Cause;
use said::{Role, Said, split_broker};

pub(crate) use advertised::Fault;
pub(crate) use refusal::{broker_words, refusal_words, with_broker_words};
pub(crate) use truncation::truncated_at;

/// For so long what was said of an address that the cluster advertises is true: librdkafka says the same
/// again every 30 s (`rd_kafka_broker_set_error`), and never that it is over.
const TRUE_FOR: Duration = Duration::from_secs(40);

/// What librdkafka last reported of each broker: written by a client's callbacks, read when an error
/// must be explained. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Causes {
    log: Log,
    /// The addresses that the user gave, `host:port,…`.
    bootstrap: Arc<str>,
    membership: Membership,
    known: Arc<Lock<Known>>,
    all_down: Arc<AtomicBool>,
    /// Whether any broker has ever answered.
    is_reached: Arc<AtomicBool>,
    no_protocol: Arc<AtomicBool>,
    topic_gone: Arc<AtomicBool>,
    no_threads: Arc<AtomicBool>,
}

/// Whether a client is a member of a group. librdkafka looks for the coordinator of a consumer that is none, too,
/// and nothing depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Membership {
    #[default]
    None,
    Member,
}

/// By address, `host:port`: whose it is, why it can't be used, and when that was said last.
type Known = BTreeMap<String, (Role, Cause, Instant)>;

impl Causes {
    /// Knows nothing yet of a cluster with these addresses, `host:port,…`; librdkafka's own lines go through
    /// `log`, at `-vv`.
    pub(crate) fn new(log: Log, bootstrap: &str, membership: Membership) -> Self {
        Self {
            log,
            bootstrap: bootstrap.into(),
            membership,
            known: Arc::default(),
            all_down: Arc::default(),
            is_reached: Arc::default(),
            no_protocol: Arc::default(),
            topic_gone: Arc::default(),
            no_threads: Arc::default(),
        }
    }

    /// Takes an error event: `reason` is librdkafka's, `BROKER/ID: what happened`.
    pub(crate) fn error(&self, code: Code, reason: &str) {
        use Code as E;
        self.log.verbose(2, format_args!("librdkafka: {reason}"));
        if code == Code::AllBrokersDown {
            self.all_down.store(true, Ordering::Relaxed);
        }
        if matches!(code, E::UnknownPartition | E::UnknownTopic | E::UnknownTopicOrPartition) {
            self.topic_gone.store(true, Ordering::Relaxed);
        }
        if code == E::CriticalSystemResource && reason.contains("thread") {
            self.no_threads.store(true, Ordering::Relaxed);
        }
        self.note(Some(code), reason);
    }

    /// Whether a thread for a broker could not be started: nothing reaches that broker.
    pub(crate) fn lacks_threads(&self) -> bool {
        self.no_threads.load(Ordering::Relaxed)
    }

    /// Whether librdkafka missed a topic or a partition that is being read, since this was asked last.
    pub(crate) fn take_topic_gone(&self) -> bool {
        self.topic_gone.swap(false, Ordering::Relaxed)
    }

    /// Whether librdkafka found every broker away since the last [`Causes::clear`]. It does
    /// not say when they are back: the caller that gets an answer clears it.
    pub(crate) fn all_down(&self) -> bool {
        self.all_down.load(Ordering::Relaxed)
    }

    /// Whether the group's coordinator does not speak the group protocol that was asked for:
    /// librdkafka then waits for ever, and says so only in a debug line.
    pub(crate) fn lacks_group_protocol(&self) -> bool {
        self.no_protocol.load(Ordering::Relaxed)
    }

    /// Some broker has answered: forgets what kept the user's own addresses from it. The others may be
    /// as bad as before.
    pub(crate) fn clear(&self) {
        self.all_down.store(false, Ordering::Relaxed);
        self.is_reached.store(true, Ordering::Relaxed);
        self.known.lock().retain(|_, (role, ..)| role.is_advertised());
    }

    /// Forgets all that is known: the brokers that matter have answered.
    pub(crate) fn forget(&self) {
        self.all_down.store(false, Ordering::Relaxed);
        self.known.lock().clear();
    }

    /// What is wrong with addresses that the cluster advertises, if anything is while the addresses are good
    /// that the user gave: a client that reaches those may wait for the others for ever.
    pub(crate) fn advertised(&self) -> Option<Fault> {
        let known = self.known.lock();
        if known.values().any(|(role, ..)| *role == Role::Bootstrap) {
            return None;
        }
        let faults = known.iter().filter(|(_, known)| is_fault(known));
        let faults: Vec<Fault> =
            faults.map(|(address, (role, cause, _))| advertised::fault(address, *role, cause)).collect();
        let patience = faults.iter().map(|fault| fault.patience).min()?;
        let hidden = faults.iter().map(|fault| fault.hidden).max()?;
        let sentences: Vec<_> = faults.into_iter().map(|fault| fault.sentence).collect();
        Some(Fault { sentence: sentences.join("; "), patience, hidden })
    }

    /// Takes a line of the log of another client of the same cluster, without showing it, where it is about
    /// an address that the cluster advertises.
    pub(crate) fn overhear(&self, level: i32, facility: &str, message: &str) {
        let is_new = |said: Said<'_>| said.role.is_advertised() && !self.is_given(said.address);
        if is_fail(level, facility) && split_broker(message).is_some_and(is_new) {
            self.note(None, message);
        }
    }

    /// Whether the user gave this address, `host:port`.
    fn is_given(&self, address: &str) -> bool {
        self.bootstrap.split(',').any(|given| is_same(given, address))
    }

    /// Takes a line of librdkafka's log; `level` as in syslog.
    pub(crate) fn log(&self, level: i32, facility: &str, message: &str) {
        let shown_from = if level >= 7 { 3 } else { 2 };
        self.log.verbose(shown_from, format_args!("librdkafka: {facility}: {message}"));
        if facility == "COORD" && is_unsupported(message) {
            self.no_protocol.store(true, Ordering::Relaxed);
        }
        if is_fail(level, facility) {
            self.note(None, message);
        }
    }

    fn note(&self, code: Option<Code>, text: &str) {
        let Some(said) = split_broker(text) else { return };
        let Some(cause) = Cause::read(code, said.protocol, said.words) else { return };
        if said.role == Role::Coordinator && self.membership == Membership::None {
            return;
        }
        let mut known = self.known.lock();
        let before = known.get(said.address);
        // A disconnect follows a refused login, and explains nothing.
        let weaker = matches!(cause, Cause::Closed | Cause::Other(_) | Cause::WantsLogin);
        if weaker && before.is_some_and(|(_, before, _)| before.is_final()) {
            return;
        }
        let role = match (said.role, before) {
            _ if self.is_given(said.address) => Role::Bootstrap,
            (Role::Coordinator, Some((role @ Role::Broker(_), ..))) => *role,
            (role, _) => role,
        };
        known.insert(said.address.to_owned(), (role, cause, Instant::now()));
    }

    /// Whether trying again is pointless: each of the `brokers` (`host:port,…`) failed in a way that
    /// does not pass.
    pub(crate) fn are_final(&self, brokers: &str) -> bool {
        if self.lacks_threads() {
            return true;
        }
        let known = self.known.lock();
        let hopeless = known.values().filter(|(_, cause, _)| cause.is_final()).count();
        hopeless > 0 && hopeless == known.len() && hopeless >= brokers.split(',').count()
    }

    /// The causes so far in one clause: `a:9092: connection refused; b:9092: …`.
    pub(crate) fn last(&self) -> Option<String> {
        if self.lacks_threads() {
            return Some(threads::NO_MORE.to_owned());
        }
        if let Some(fault) = self.advertised() {
            return Some(fault.sentence);
        }
        let known = self.known.lock();
        let parts: Vec<String> =
            by_cause(&known).map(|(brokers, cause)| format!("{brokers}: {}", cause.sentence().0)).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The error for `brokers` that could not be used: `code` is what the request ended with,
    /// after `timeout` at the most.
    pub(crate) fn explain(&self, code: Code, brokers: &str, timeout: Duration) -> anyhow::Error {
        if !is_contact_lost(code) {
            return anyhow!("{brokers}: {}", words(code));
        }
        if self.lacks_threads() {
            return anyhow!(threads::NO_MORE);
        }
        if let Some(fault) = self.advertised() {
            return anyhow!(fault.sentence);
        }
        let timeout = duration::format(timeout);
        let known = self.known.lock();
        let mut causes = by_cause(&known);
        match (causes.next(), causes.next()) {
            (None, _) if self.is_reached.load(Ordering::Relaxed) => anyhow!(
                "no answer within {timeout} from {brokers}, or from a broker that it names (give --timeout more)"
            ),
            (None, _) => anyhow!(
                "can't reach {brokers}: no answer within {timeout} (check -b/KQ_BROKERS, or give --timeout more)"
            ),
            (Some((brokers, cause)), None) => {
                let (sentence, advice) = cause.sentence();
                anyhow!("can't reach {brokers}: {sentence} ({advice})")
            }
            (Some(first), Some(second)) => {
                let parts: Vec<String> = [first, second]
                    .into_iter()
                    .chain(causes)
                    .map(|(brokers, cause)| {
                        let (sentence, advice) = cause.sentence();
                        format!("{brokers}: {sentence} ({advice})")
                    })
                    .collect();
                anyhow!("can't reach any broker: {}", parts.join("; "))
            }
        }
    }
}

/// The error for a request about one topic that the cluster refused.
pub(crate) fn refused_topic(code: Code, topic: &str) -> anyhow::Error {
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic => anyhow!(config::topic::absent(topic)),
        code => anyhow!("topic {topic}: {}", words(code)),
    }
}

impl Observer for Causes {
    fn error(&self, code: Code, reason: &str) {
        Self::error(self, code, reason);
    }

    fn log(&self, level: i32, facility: &str, message: &str) {
        Self::log(self, level, facility, message);
    }
}

/// Whether a code says only that the brokers can't be reached.
pub(crate) fn is_contact_lost(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::Resolve
            | Code::Authentication
            | Code::SSL
    )
}

/// Whether a question may be answered when it is asked again: [`is_contact_lost`], or a partition or a
/// group has no leader or coordinator at the moment, as while brokers fail.
pub(crate) fn is_passing(code: Code) -> bool {
    is_contact_lost(code)
        || matches!(
            code,
            Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::NotCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
        )
}

/// Whether a line of the log is about a broker that can't be used. librdkafka logs closed connections as
/// information (6).
fn is_fail(level: i32, facility: &str) -> bool {
    level <= 6 && facility == "FAIL"
}

/// Whether what the user gave, `[protocol://]host[:port]`, is this `host:port`.
fn is_same(given: &str, address: &str) -> bool {
    let given = given.split_once("://").map_or(given, |(_, given)| given);
    given == address || address.strip_suffix(":9092") == Some(given)
}

/// Whether this is of an address that the cluster advertises, and still true.
fn is_fault((role, _, said): &(Role, Cause, Instant)) -> bool {
    role.is_advertised() && said.elapsed() < TRUE_FOR
}

/// Brokers that share a cause share a clause.
fn by_cause(known: &Known) -> impl Iterator<Item = (String, &Cause)> {
    let mut groups: Vec<(String, &Cause)> = Vec::new();
    for (broker, (_, cause, _)) in known {
        match groups.iter_mut().find(|(_, c)| *c == cause) {
            Some((brokers, _)) => {
                brokers.push_str(", ");
                brokers.push_str(broker);
            }
            None => groups.push((broker.clone(), cause)),
        }
    }
    groups.into_iter()
}

/// An error code of a request in plain words. Where librdkafka's description says too little, the
/// words say what it means.
pub(crate) fn words(code: Code) -> String {
    own_words(code).unwrap_or_else(|| description(code))
}

/// kq's own words for a code whose description says too little.
fn own_words(code: Code) -> Option<String> {
    let words = match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic => "the topic does not exist",
        Code::TopicAlreadyExists => "the topic exists already",
        Code::TopicAuthorizationFailed => {
            "not authorised for this topic (ask for the ACL, or log in as another user)"
        }
        Code::ClusterAuthorizationFailed => {
            "not authorised on this cluster (ask for the ACL, or log in as another user)"
        }
        Code::GroupAuthorizationFailed => {
            "not authorised for this group (ask for the ACL, or log in as another user)"
        }
        Code::OperationTimedOut | Code::RequestTimedOut => {
            "the cluster did not answer in time (give --timeout more)"
        }
        Code::CriticalSystemResource => threads::NO_MORE,
        Code::LeaderNotAvailable => "no leader at present (`kq topic describe` shows where its replicas are)",
        Code::InvalidTimestamp => {
            "the topic refuses a timestamp of its batch (message.timestamp.after.max.ms, message.timestamp.before.max.ms)"
        }
        // Also of a timestamp, where several are refused. Where one record is, librdkafka gives all of the batch
        // its code (`rd_kafka_dr_msgq0`).
        Code::InvalidRecord => {
            "the broker refuses a record of its batch: one without a key in a compacted topic (cleanup.policy), or with a \
             timestamp out of range (message.timestamp.after.max.ms, message.timestamp.before.max.ms)"
        }
        Code::InvalidDifferentRecord => "not written, since the broker refuses another record of its batch",
        _ => return None,
    };
    Some(words.to_owned())
}

/// librdkafka's description of a code, without who speaks: "Broker: Invalid configuration".
fn description(code: Code) -> String {
    let text = code.to_string();
    let text = text.split_once(" (").map_or(text.as_str(), |(_, text)| text.trim_end_matches(')'));
    text.trim_start_matches("Broker: ").trim_start_matches("Local: ").to_owned()
}

/// The error where the cluster does not support the consumer protocol.
pub(crate) const UNSUPPORTED: &str = "the brokers do not speak --group-protocol consumer: that takes Apache Kafka 4.0 or \
     later, and `kq dev` has the classic one only; leave the flag out";

/// Whether a line of librdkafka's log, or a fatal error, says that the cluster does not speak the
/// consumer protocol: there is no code for it, and without the log no sign at all.
pub(crate) fn is_unsupported(text: &str) -> bool {
    text.contains("ConsumerGroupHeartbeat") && text.contains("not supported")
}

#[cfg(test)]
mod tests;
