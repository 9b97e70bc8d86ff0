//! Produce and `InitProducerId`.

use std::sync::atomic::Ordering;

use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{
    InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse, ProducerId,
};

use super::{lacking, message, text};
use crate::dev::code::{self, Code};
use crate::dev::log::checked::{BUDGET, Checked};
use crate::dev::log::refusal::{Fault, Faults, LISTED, Refusal};
use crate::dev::notes::Kind;
use crate::dev::request::Context;

/// What the batches of one request may still use together.
struct Left {
    /// Records that are listed because they are refused.
    listed: usize,
    /// Bytes that are decompressed to look at records.
    decoded: u64,
}

/// Appends one batch to each partition.
pub(crate) fn produce(context: &Context<'_>, request: &ProduceRequest) -> ProduceResponse {
    let refused = if !(-1..=1).contains(&request.acks) {
        code::INVALID_REQUIRED_ACKS
    } else if request.transactional_id.is_some() {
        lacking::transactions(context)
    } else {
        code::NONE
    };
    let mut left = Left { listed: LISTED, decoded: BUDGET };
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for topic in &request.topic_data {
        let partitions =
            topic.partition_data.iter().map(|data| partition(context, &topic.name, data, refused, &mut left));
        responses.push(
            TopicProduceResponse::default()
                .with_name(topic.name.clone())
                .with_partition_responses(partitions.collect()),
        );
    }
    ProduceResponse::default().with_responses(responses)
}

/// Whether all partitions accepted their records.
pub(crate) fn all_taken(response: &ProduceResponse) -> bool {
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    partitions.all(|partition| partition.error_code == code::NONE)
}

fn partition(
    context: &Context<'_>,
    topic: &str,
    data: &PartitionProduceData,
    refused: Code,
    left: &mut Left,
) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default()
        .with_index(data.index)
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1);
    if refused != code::NONE {
        return response.with_error_code(refused);
    }
    let Some((topic, partition)) = context.broker.topics.partition(topic, data.index) else {
        return response.with_error_code(code::UNKNOWN_TOPIC_OR_PARTITION);
    };
    let records = data.records.as_deref().unwrap_or_default();
    let config = topic.log_config();
    let now_ms = crate::clock::now_ms();
    let checked = Checked::new(records, &config, context.version, now_ms, &mut left.decoded);
    let (appended, start) = {
        let mut log = partition.log();
        (checked.and_then(|batch| log.append(batch, &config, now_ms)), log.start())
    };
    match appended {
        Ok(appended) => {
            partition.grew();
            response
                .with_base_offset(appended.base_offset)
                .with_log_append_time_ms(appended.log_append_time)
                .with_log_start_offset(start)
        }
        Err(Refusal { code, why, faults }) => {
            let client = (context.client.peer, context.client_id);
            context.broker.notes.verbose(format_args!(
                "{} {:?}: refused for {}[{}]: {why}",
                client.0, client.1, topic.name, data.index
            ));
            if code == code::KAFKA_STORAGE_ERROR {
                context
                    .broker
                    .notes
                    .error(Kind::Storage, format_args!("{}[{}]: {why}", topic.name, data.index));
            }
            let response = response.with_error_code(code);
            let place = format!("{}-{}", topic.name, data.index);
            match faults.sentence(&place) {
                Some(sentence) => response
                    .with_log_start_offset(start)
                    .with_error_message(message(sentence))
                    .with_record_errors(record_errors(&faults, &place, &mut left.listed)),
                None => response.with_error_message(message(why)),
            }
        }
    }
}

/// The records of a batch that are refused, `left` at most; it is reduced by those that are listed.
fn record_errors(faults: &Faults, place: &str, left: &mut usize) -> Vec<BatchIndexAndErrorMessage> {
    let no_key = text(Fault::NoKey.sentence(0, place));
    let listed = faults.listed.iter().take(*left).map(|(index, fault)| {
        let sentence = match fault {
            // One sentence for all of them: there may be thousands.
            Fault::NoKey => no_key.clone(),
            Fault::Time { .. } => text(fault.sentence(*index, place)),
        };
        BatchIndexAndErrorMessage::default()
            .with_batch_index(*index)
            .with_batch_index_error_message(Some(sentence))
    });
    let listed: Vec<_> = listed.collect();
    *left -= listed.len();
    listed
}

/// Assigns a new id to each producer. Ids begin with the start time of the broker, so that none is
/// assigned twice after a restart.
pub(crate) fn init_producer_id(
    context: &Context<'_>,
    request: &InitProducerIdRequest,
) -> InitProducerIdResponse {
    let response = InitProducerIdResponse::default().with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
    if request.transactional_id.is_some() {
        return response.with_error_code(lacking::transactions(context));
    }
    let ProducerId(current) = request.producer_id;
    if context.version >= 3 && current >= 0 && (0..i16::MAX).contains(&request.producer_epoch) {
        return response
            .with_producer_id(ProducerId(current))
            .with_producer_epoch(request.producer_epoch + 1);
    }
    let id = context.broker.next_producer_id.fetch_add(1, Ordering::Relaxed);
    response.with_producer_id(ProducerId(id)).with_producer_epoch(0)
}
