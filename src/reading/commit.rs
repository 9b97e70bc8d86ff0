//! Commits of a group member: tried again while the group rebalances, and back before what is committed.

use std::time::Duration;

use crate::kafka::client::ConsumerClient;
use crate::kafka::errors::Code;
use crate::reading::questions::Unanswered;
use crate::record::TopicPartition;

/// What to do after a commit that the group did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Commit again.
    TryAgain,
    /// Nothing: a rebalance committed it when it took the partitions away.
    Done,
    /// Give up: the commit failed.
    Fail,
}

/// Commits what is stored, again and again while the group rebalances. A broker answers a commit after
/// the `JoinGroup` before it, once every other member has come, and by then its generation is over.
///
/// Each commit waits for `patience()`. After one that the group did not take, or that had no answer in
/// that time, `then` polls, which serves the rebalance, and decides.
pub(crate) fn commit_stored(
    consumer: &impl ConsumerClient,
    patience: impl Fn() -> Duration,
    mut then: impl FnMut(Code, Duration) -> Then,
) -> Result<(), Code> {
    use Code as E;
    loop {
        let patience = patience();
        let outcome = consumer.commit_stored(patience);
        let Err(code @ (E::RebalanceInProgress | E::IllegalGeneration | E::OperationTimedOut)) = outcome
        else {
            return outcome;
        };
        match then(code, patience) {
            Then::TryAgain => {}
            Then::Done => return Ok(()),
            Then::Fail => return Err(code),
        }
    }
}

/// Commits a position before the one that the group has committed. The client never does so by itself:
/// it commits only what is further on. In the middle of a rebalance it is left to the next owner, who
/// finds what this member found.
pub(crate) fn commit_back(
    consumer: &impl ConsumerClient,
    topic: &str,
    partition: i32,
    position: i64,
    timeout: Duration,
) -> anyhow::Result<()> {
    use Code as E;
    match consumer.commit(&[(TopicPartition::new(topic, partition), position).into()], timeout) {
        Ok(()) | Err(E::RebalanceInProgress | E::IllegalGeneration | E::UnknownMemberId) => Ok(()),
        Err(code) => Err(Unanswered::of("commit", topic, partition)(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::fake::{Cluster, Question};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_commit_is_tried_again_while_the_group_rebalances() {
        let cluster = Cluster::new();
        cluster.refuse(Question::Commit, [Code::RebalanceInProgress, Code::IllegalGeneration]);
        let mut asked = Vec::new();
        let outcome = commit_stored(
            &cluster.consumer(),
            || SECOND,
            |code, patience| {
                asked.push((code, patience));
                Then::TryAgain
            },
        );
        assert_eq!(outcome, Ok(()));
        assert_eq!(asked, [(Code::RebalanceInProgress, SECOND), (Code::IllegalGeneration, SECOND)]);
        assert_eq!(cluster.calls_of("commit_stored").len(), 3);
    }

    #[test]
    fn a_commit_of_partitions_that_left_is_done_or_failed_as_its_caller_knows() {
        for (then, outcome) in [(Then::Done, Ok(())), (Then::Fail, Err(Code::IllegalGeneration))] {
            let cluster = Cluster::new();
            cluster.refuse(Question::Commit, [Code::IllegalGeneration]);
            assert_eq!(commit_stored(&cluster.consumer(), || SECOND, |_, _| then), outcome);
            assert_eq!(cluster.calls_of("commit_stored").len(), 1);
        }
    }

    #[test]
    fn a_commit_that_is_refused_for_good_is_not_tried_again() {
        let cluster = Cluster::new();
        cluster.refuse(Question::Commit, [Code::GroupAuthorizationFailed]);
        let outcome = commit_stored(&cluster.consumer(), || SECOND, |code, _| panic!("asked for {code}"));
        assert_eq!(outcome, Err(Code::GroupAuthorizationFailed));
    }

    #[test]
    fn a_commit_back_is_left_to_the_next_owner_in_a_rebalance() {
        for code in [Code::RebalanceInProgress, Code::IllegalGeneration, Code::UnknownMemberId] {
            let cluster = Cluster::new().with_topic("orders", 1);
            cluster.refuse(Question::Commit, [code]);
            commit_back(&cluster.consumer(), "orders", 0, 3, SECOND).unwrap();
            assert_eq!(cluster.committed("orders", 0), None);
        }
        let cluster = Cluster::new().with_topic("orders", 1);
        cluster.refuse(Question::Commit, [Code::GroupAuthorizationFailed]);
        let error = commit_back(&cluster.consumer(), "orders", 0, 3, SECOND).unwrap_err().to_string();
        assert!(error.starts_with("commit of orders[0]: not authorised"), "{error}");
    }
}
