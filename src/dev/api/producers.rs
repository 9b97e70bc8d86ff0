//! Producers of a partition and transactions, as an administrator sees them.

use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse, ProducerId,
};

use super::{Room, message, once};
use crate::dev::code;
use crate::dev::request::Context;

/// The states that a filter may name.
const STATES: &[&str] = &[
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

/// The idempotent producers that wrote to partitions, none of them in a transaction.
pub(crate) fn describe(
    context: &Context<'_>,
    request: &DescribeProducersRequest,
) -> anyhow::Result<DescribeProducersResponse> {
    let mut room = Room::new();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            room.take(size_of::<PartitionResponse>())?;
            let response = PartitionResponse::default().with_partition_index(*index);
            let Some((_, partition)) = context.broker.topics.partition(&topic.name, *index) else {
                let why = format!("There is no partition {} of topic {}.", index, topic.name.as_str());
                room.take(why.len())?;
                return Ok(response
                    .with_error_code(code::UNKNOWN_TOPIC_OR_PARTITION)
                    .with_error_message(message(why)));
            };
            let active = partition.log().active_producers();
            room.take(active.len() * size_of::<ProducerState>())?;
            let active = active.into_iter().map(|producer| {
                ProducerState::default()
                    .with_producer_id(ProducerId(producer.id))
                    .with_producer_epoch(i32::from(producer.epoch))
                    .with_last_sequence(producer.last_sequence)
                    .with_last_timestamp(producer.last_timestamp)
                    .with_coordinator_epoch(-1)
                    .with_current_txn_start_offset(-1)
            });
            Ok(response.with_error_message(None).with_active_producers(active.collect()))
        });
        Ok(TopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect::<anyhow::Result<_>>()?))
    });
    Ok(DescribeProducersResponse::default().with_topics(topics.collect::<anyhow::Result<_>>()?))
}

/// There are none.
pub(crate) fn list_transactions(request: &ListTransactionsRequest) -> ListTransactionsResponse {
    let states = once(&request.state_filters, |state| state.as_str());
    let unknown = states.filter(|state| !STATES.contains(&state.as_str()));
    ListTransactionsResponse::default().with_unknown_state_filters(unknown.cloned().collect())
}

/// There are none.
pub(crate) fn describe_transactions(request: &DescribeTransactionsRequest) -> DescribeTransactionsResponse {
    let ids = once(&request.transactional_ids, |id| id.as_str());
    let states = ids.map(|id| {
        let is_empty = id.is_empty();
        TransactionState::default().with_transactional_id(id.clone()).with_error_code(if is_empty {
            code::INVALID_REQUEST
        } else {
            code::TRANSACTIONAL_ID_NOT_FOUND
        })
    });
    DescribeTransactionsResponse::default().with_transaction_states(states.collect())
}
