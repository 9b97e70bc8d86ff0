//! The end of a run: the summary, what failed, and the exit status.

use super::tally::{Place, Tally};
use super::{Session, Stop, unreported};
use crate::clock::time;
use crate::exit::{self, Exit};
use crate::kafka::client::ProducerClient;
use crate::kafka::code::Code;
use crate::sending::settings::Acks;
use crate::terminal::notes::Log;

impl<P: ProducerClient> Session<'_, P> {
    /// Prints the result, and gives the exit status. `at` is the last record that was read, `unread`
    /// the error that ended the reading.
    pub(super) fn finish(mut self, at: Place, unread: Option<anyhow::Error>) -> anyhow::Result<Exit> {
        let report_error = self.reporter.take_error();
        self.say(|log, name| {
            let log = log.of_the_end();
            self.summarise(log, name);
            if let Some(stop) = self.stop {
                say_why(stop, self.tally.failed, &name(at), log);
            }
            if self.reporter.untaken() > 0 {
                log.error(unreported(self.reporter.untaken()));
            }
        });
        if let Some(e) = unread {
            let mut place = String::new();
            self.say(|_, name| place = name(at));
            let rest = match self.settings.inputs.len() - 1 - at.input {
                0 => String::new(),
                1 => "; the file after it was not read".to_owned(),
                n => format!("; the {n} files after it were not read"),
            };
            return Err(exit::with(Exit::Failed, e.context(format!("stopped after {place}{rest}"))));
        }
        if let Some(e) = report_error {
            return Err(exit::with(Exit::Usage, anyhow::Error::new(e).context("write the report to stdout")));
        }
        Ok(status(&self.tally, self.stop))
    }

    /// The counts, and the first of the records that failed.
    fn summarise(&self, log: Log, name: &dyn Fn(Place) -> String) {
        let tally = &self.tally;
        let done = match self.connected.acks {
            Acks::None => "sent, not acknowledged (acks 0)",
            Acks::All | Acks::Some => "acknowledged",
        };
        log.note(tally.summary(done, self.started.elapsed()));
        if let Some((first, ms)) = tally.first_early {
            let what = match tally.early {
                1 => "1 record has a timestamp before 2001:".to_owned(),
                n => format!("{} records have a timestamp before 2001, the first:", indicatif::HumanCount(n)),
            };
            let (name, time) = (name(first), time::shown(ms));
            log.note(format_args!("{what} {name}: {ms} is {time}; Kafka counts in milliseconds"));
        }
        if let Some((first, why)) = &tally.first_invalid {
            let what = counted(tally.invalid, "invalid and not sent");
            log.error(format_args!("{what} {}: {why}", name(*first)));
        }
        if let Some((first, cause)) = &tally.first {
            let what = counted(tally.failed, "failed");
            // Batches are made to fit the one topic that is known at the start.
            let hint = if self.settings.topic_from_record && cause.code == Code::MessageSizeTooLarge {
                "; where a topic's limit is low, its batch was: -X batch.size=LIMIT sends them"
            } else {
                ""
            };
            log.error(format_args!("{what} {}: {cause}{hint}", name(*first)));
        }
    }
}

/// Prints why reading stopped before the input ended. `at` names the last record that was read.
fn say_why(stop: Stop, failed: u64, at: &str, log: Log) {
    match stop {
        Stop::Invalid => {
            log.error(format_args!("stopped at {at}; nothing after it was read (--on-invalid skip goes on)"));
        }
        Stop::Hopeless => log.error(format_args!("stopped after {at}: no later record could succeed")),
        Stop::Signal(signal) => {
            let rest = if failed == 0 { "; what was read before is delivered" } else { "" };
            log.error(format_args!("stopped by signal {signal} after {at}{rest}"));
        }
        Stop::ReportFailed => {
            log.error(format_args!("stopped after {at}; what was read before is delivered"));
        }
        Stop::Count => {}
    }
}

/// How a run ended. A refusal by the cluster counts more than the records that failed by it.
fn status(tally: &Tally, stop: Option<Stop>) -> Exit {
    match (tally.hopeless, stop) {
        (Some(Code::Fatal), _) => Exit::Fenced,
        (Some(code), _) if is_refusal(code) => Exit::Usage,
        _ if tally.failed + tally.invalid > 0 => Exit::Failed,
        (_, Some(Stop::Signal(signal))) => Exit::Signal(signal),
        _ => Exit::Done,
    }
}

/// `1 record failed:`, `5,000 records failed, the first:`.
fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 record {what}:"),
        _ => format!("{} records {what}, the first:", indicatif::HumanCount(count)),
    }
}

/// Whether the cluster, or the system, does not let this client do it: not the records' fault.
fn is_refusal(code: Code) -> bool {
    use Code as E;
    matches!(
        code,
        E::TopicAuthorizationFailed
            | E::ClusterAuthorizationFailed
            | E::Authentication
            | E::CriticalSystemResource
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_that_of_the_gravest_event() {
        let of = |failed, invalid, hopeless, stop| {
            let mut tally = Tally::default();
            (tally.failed, tally.invalid, tally.hopeless) = (failed, invalid, hopeless);
            status(&tally, stop)
        };
        assert_eq!(of(0, 0, None, None), Exit::Done);
        assert_eq!(of(0, 0, None, Some(Stop::Count)), Exit::Done);
        assert_eq!(of(0, 0, None, Some(Stop::Signal(15))), Exit::Signal(15));
        assert_eq!(of(1, 0, None, Some(Stop::Signal(15))), Exit::Failed);
        assert_eq!(of(0, 1, None, None), Exit::Failed);
        for code in [Code::TopicAuthorizationFailed, Code::ClusterAuthorizationFailed, Code::Authentication] {
            assert_eq!(of(1, 1, Some(code), Some(Stop::Signal(15))), Exit::Usage, "{code}");
        }
        assert_eq!(of(1, 0, Some(Code::UnknownTopic), Some(Stop::Hopeless)), Exit::Failed);
        assert_eq!(of(1, 0, Some(Code::Fatal), Some(Stop::Hopeless)), Exit::Fenced);
    }
}
