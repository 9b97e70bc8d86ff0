//! Requests for what this broker does not have: Kafka's own error, and a line on stderr that says what to do.

use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, SaslHandshakeRequest,
    SaslHandshakeResponse,
};

use super::message;
use crate::dev::code;
use crate::dev::request::Context;

const CONSUMER_GROUPS: &str = "asks for group.protocol=consumer (KIP-848), which kq dev does not have; leave \
     group.protocol=classic";
const LOGINS: &str = "wants to log in with SASL, and kq dev has no logins; leave out the sasl.* settings, and \
     security.protocol or set it to PLAINTEXT";
const TRANSACTIONS: &str = "asks for a transaction, and kq dev has no transactions; leave out transactional.id, or use \
     Apache Kafka";

/// A member of a KIP-848 group. A client that finds no such request in `ApiVersions` may wait for ever
/// (librdkafka 2.12); with this error it ends at once.
pub(crate) fn consumer_group_heartbeat(
    context: &Context<'_>,
    _: &ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    context.broker.notes.lacks(context.client_id, CONSUMER_GROUPS);
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(code::UNSUPPORTED_VERSION)
        .with_error_message(message(format!("This client {CONSUMER_GROUPS}.")))
}

/// The begin of a login.
pub(crate) fn sasl_handshake(context: &Context<'_>, _: &SaslHandshakeRequest) -> SaslHandshakeResponse {
    context.broker.notes.lacks(context.client_id, LOGINS);
    SaslHandshakeResponse::default().with_error_code(code::UNSUPPORTED_SASL_MECHANISM)
}

/// Says that there are no transactions. The code of the answer, `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`,
/// is the one that ends every client at once, and on its own it would lead people to look for ACLs.
pub(crate) fn transactions(context: &Context<'_>) -> code::Code {
    context.broker.notes.lacks(context.client_id, TRANSACTIONS);
    code::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
}
