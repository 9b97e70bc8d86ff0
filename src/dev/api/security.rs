//! ACLs, quotas and SCRAM users: what a broker answers that has none of them and can't get any.

use kafka_protocol::messages::alter_client_quotas_request::EntryData as AskedQuota;
use kafka_protocol::messages::alter_client_quotas_response::{EntityData, EntryData};
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse, CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest,
    DeleteAclsResponse, DescribeAclsRequest, DescribeAclsResponse, DescribeClientQuotasRequest,
    DescribeClientQuotasResponse, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};

use super::{message, once};
use crate::dev::code;

/// As Kafka where no authorizer is configured.
const NO_ACLS: &str = "No Authorizer is configured on the broker; kq dev has no ACLs";
const NO_QUOTAS: &str = "kq dev has no quotas";
const NO_LOGINS: &str = "kq dev has no logins";
/// What a quota can be set for.
const QUOTA_ENTITIES: &[&str] = &["user", "client-id", "ip"];

/// Refused: there are no ACLs.
pub(crate) fn describe_acls(_: &DescribeAclsRequest) -> DescribeAclsResponse {
    DescribeAclsResponse::default()
        .with_error_code(code::SECURITY_DISABLED)
        .with_error_message(message(NO_ACLS))
}

/// Refused: there are no ACLs.
pub(crate) fn create_acls(request: &CreateAclsRequest) -> CreateAclsResponse {
    let refused = AclCreationResult::default()
        .with_error_code(code::SECURITY_DISABLED)
        .with_error_message(message(NO_ACLS));
    CreateAclsResponse::default().with_results(vec![refused; request.creations.len()])
}

/// Refused: there are no ACLs.
pub(crate) fn delete_acls(request: &DeleteAclsRequest) -> DeleteAclsResponse {
    let refused = DeleteAclsFilterResult::default()
        .with_error_code(code::SECURITY_DISABLED)
        .with_error_message(message(NO_ACLS));
    DeleteAclsResponse::default().with_filter_results(vec![refused; request.filters.len()])
}

/// There are none.
pub(crate) fn describe_quotas(request: &DescribeClientQuotasRequest) -> DescribeClientQuotasResponse {
    let response = DescribeClientQuotasResponse::default();
    let kinds = request.components.iter().map(|component| component.entity_type.as_str());
    match kinds.into_iter().find(|kind| !QUOTA_ENTITIES.contains(kind)) {
        None => response.with_error_message(None).with_entries(Some(Vec::new())),
        Some(kind) => response
            .with_error_code(code::UNSUPPORTED_VERSION)
            .with_error_message(message(format!("Unsupported entity type {kind}")))
            .with_entries(None),
    }
}

/// None can be set. To remove one succeeds, as in Kafka where there is none.
pub(crate) fn alter_quotas(request: &AlterClientQuotasRequest) -> AlterClientQuotasResponse {
    let entries = request.entries.iter().map(|asked: &AskedQuota| {
        let entity = asked.entity.iter().map(|part| {
            EntityData::default()
                .with_entity_type(part.entity_type.clone())
                .with_entity_name(part.entity_name.clone())
        });
        let entry = EntryData::default().with_entity(entity.collect());
        if asked.ops.iter().all(|op| op.remove) {
            return entry.with_error_message(None);
        }
        entry.with_error_code(code::INVALID_REQUEST).with_error_message(message(NO_QUOTAS))
    });
    AlterClientQuotasResponse::default().with_entries(entries.collect())
}

/// There are none.
pub(crate) fn describe_scram(
    request: &DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let users = once(request.users.iter().flatten(), |user| user.name.as_str());
    let results = users.map(|user| {
        let why =
            format!("Attempt to describe a user credential that does not exist: {}", user.name.as_str());
        DescribeUserScramCredentialsResult::default()
            .with_user(user.name.clone())
            .with_error_code(code::RESOURCE_NOT_FOUND)
            .with_error_message(message(why))
    });
    DescribeUserScramCredentialsResponse::default().with_error_message(None).with_results(results.collect())
}

/// None can be set, and none is there that could be deleted.
pub(crate) fn alter_scram(request: &AlterUserScramCredentialsRequest) -> AlterUserScramCredentialsResponse {
    let result = |error, why| {
        AlterUserScramCredentialsResult::default().with_error_code(error).with_error_message(message(why))
    };
    let deleted = request.deletions.iter().map(|deletion| {
        let why = "Attempt to delete a user credential that does not exist";
        result(code::RESOURCE_NOT_FOUND, why).with_user(deletion.name.clone())
    });
    let set = request.upsertions.iter().map(|upsertion| {
        result(code::UNSUPPORTED_SASL_MECHANISM, NO_LOGINS).with_user(upsertion.name.clone())
    });
    AlterUserScramCredentialsResponse::default().with_results(deleted.chain(set).collect())
}
