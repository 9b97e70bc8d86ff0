//! Whether the broker that counts answers again: any other's answer is no contact with it.

use std::time::Duration;

use crate::kafka::client::ConsumerClient;
use crate::kafka::errors::{Causes, is_contact_lost};
use crate::record::TopicPartition;

/// Whom a reader waits for.
#[derive(Clone, Debug)]
pub(crate) enum Whom<'a> {
    /// Any broker.
    Anyone,
    /// The leader of a partition that is read.
    LeaderOf(TopicPartition),
    /// The coordinator of the group that is to give this member its share of this topic, and of others.
    CoordinatorFor(&'a str),
}

/// Asks whether the cluster answers, each question for so long at most. Where an address that the cluster
/// advertises is known to be bad, the one who is waited for must answer by itself.
pub(crate) fn is_back(
    consumer: &impl ConsumerClient,
    causes: &Causes,
    whom: &Whom<'_>,
    patience: Duration,
) -> bool {
    let topic = match whom {
        Whom::LeaderOf(partition) => Some(&*partition.topic),
        Whom::Anyone | Whom::CoordinatorFor(_) => None,
    };
    if consumer.metadata(topic, patience).is_err() {
        return false;
    }
    causes.clear();
    if causes.advertised().is_some() && !answers(consumer, whom, patience) {
        return false;
    }
    causes.forget();
    true
}

/// Whether this one answers, if only with a refusal.
pub(crate) fn answers(consumer: &impl ConsumerClient, whom: &Whom<'_>, patience: Duration) -> bool {
    let refusal = match whom {
        Whom::Anyone => None,
        Whom::LeaderOf(partition) => {
            consumer.watermarks(&partition.topic, partition.partition, patience).err()
        }
        Whom::CoordinatorFor(topic) => consumer.ask_coordinator(topic, patience).err(),
    };
    !refusal.is_some_and(is_contact_lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::errors::Code;
    use crate::kafka::fake::{Cluster, Question};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bootstrap_address_that_answers_is_no_contact_with_a_leader_or_a_coordinator_that_does_not() {
        let cluster = Cluster::new().with_topic("t", 1);
        let consumer = cluster.consumer();
        let partition = TopicPartition::new("t", 0);
        for (whom, question) in [
            (&Whom::LeaderOf(partition), Question::Watermarks),
            (&Whom::CoordinatorFor("t"), Question::Coordinator),
        ] {
            let causes = Causes::default();
            cluster.refuse(question, [Code::OperationTimedOut]);
            causes.error(Code::Resolve, "b:1/7: Failed to resolve 'b:1': Name or service not known");
            assert!(!is_back(&consumer, &causes, whom, SECOND), "{whom:?}");
            assert!(causes.advertised().is_some());
            assert!(is_back(&consumer, &causes, whom, SECOND), "{whom:?}: now it answers");
            assert_eq!(causes.advertised(), None);
        }
    }

    #[test]
    fn without_a_bad_address_any_broker_is_contact() {
        let cluster = Cluster::new().with_topic("t", 1);
        let consumer = cluster.consumer();
        cluster.refuse(Question::Coordinator, [Code::OperationTimedOut]);
        assert!(is_back(&consumer, &Causes::default(), &Whom::CoordinatorFor("t"), SECOND));
        cluster.refuse(Question::Metadata, [Code::BrokerTransportFailure]);
        assert!(!is_back(&consumer, &Causes::default(), &Whom::Anyone, SECOND));
    }
}
