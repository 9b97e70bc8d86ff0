//! The requests that the broker answers: key, versions and shape of each, once. Pure: no clock, no IO.
//!
//! Dispatch, the answer to `ApiVersions` and the names in notes come from this table.

use kafka_protocol::messages::ApiKey;

use super::shape::Kind::{Blob, Fixed, List, Structs, Text};
use super::shape::{self, Field, Kind, Version, all, between, from, until};

/// One request that the broker answers.
pub(crate) struct Api {
    pub key: ApiKey,
    /// The versions that are answered.
    pub min: i16,
    pub max: i16,
    fields: &'static [Field],
}

impl Api {
    /// Whether a version has compact lengths, tagged fields, and the longer headers.
    pub(crate) fn is_flexible(&self, version: i16) -> bool {
        self.key.request_header_version(version) >= 2
    }

    /// Walks the body of a request before it is decoded; says where it breaks.
    pub(crate) fn check(&self, version: i16, body: &[u8]) -> Result<(), &'static str> {
        shape::check(self.fields, self.version(version), body)
    }

    fn version(&self, number: i16) -> Version {
        Version { number, is_flexible: self.is_flexible(number) }
    }
}

const fn api(key: ApiKey, versions: (i16, i16), fields: &'static [Field]) -> Api {
    Api { key, min: versions.0, max: versions.1, fields }
}

const INDEXES: Kind = List(&Fixed(4));
const ACLS: Kind = Structs(&[all(Fixed(1)), all(Text), all(Fixed(1)), all(Text), all(Text), all(Fixed(2))]);
const PLACES: Kind = Structs(&[all(Text), all(INDEXES)]);

/// Every request that the broker answers.
pub(crate) const APIS: &[Api] = &[
    api(
        ApiKey::Produce,
        (3, 8),
        &[
            all(Text),
            all(Fixed(2)),
            all(Fixed(4)),
            all(Structs(&[all(Text), all(Structs(&[all(Fixed(4)), all(Blob)]))])),
        ],
    ),
    api(
        ApiKey::Fetch,
        (4, 11),
        &[
            all(Fixed(17)),
            from(7, Fixed(8)),
            all(Structs(&[
                all(Text),
                all(Structs(&[
                    all(Fixed(4)),
                    from(9, Fixed(4)),
                    all(Fixed(8)),
                    from(5, Fixed(8)),
                    all(Fixed(4)),
                ])),
            ])),
            from(7, PLACES),
            from(11, Text),
        ],
    ),
    api(
        ApiKey::ListOffsets,
        (1, 7),
        &[
            all(Fixed(4)),
            from(2, Fixed(1)),
            all(Structs(&[all(Text), all(Structs(&[all(Fixed(4)), from(4, Fixed(4)), all(Fixed(8))]))])),
        ],
    ),
    api(
        ApiKey::Metadata,
        (0, 13),
        &[
            all(Structs(&[from(10, Fixed(16)), all(Text)])),
            from(4, Fixed(1)),
            between(8, 10, Fixed(1)),
            from(8, Fixed(1)),
        ],
    ),
    api(
        ApiKey::OffsetCommit,
        (2, 8),
        &[
            all(Text),
            all(Fixed(4)),
            all(Text),
            from(7, Text),
            until(4, Fixed(8)),
            all(Structs(&[
                all(Text),
                all(Structs(&[all(Fixed(4)), all(Fixed(8)), from(6, Fixed(4)), all(Text)])),
            ])),
        ],
    ),
    api(
        ApiKey::OffsetFetch,
        (1, 8),
        &[until(7, Text), until(7, PLACES), from(8, Structs(&[all(Text), all(PLACES)])), from(7, Fixed(1))],
    ),
    api(ApiKey::FindCoordinator, (0, 4), &[until(3, Text), from(1, Fixed(1)), from(4, List(&Text))]),
    api(
        ApiKey::JoinGroup,
        (0, 9),
        &[
            all(Text),
            all(Fixed(4)),
            from(1, Fixed(4)),
            all(Text),
            from(5, Text),
            all(Text),
            all(Structs(&[all(Text), all(Blob)])),
            from(8, Text),
        ],
    ),
    api(ApiKey::Heartbeat, (0, 4), &[all(Text), all(Fixed(4)), all(Text), from(3, Text)]),
    api(
        ApiKey::LeaveGroup,
        (0, 5),
        &[all(Text), until(2, Text), from(3, Structs(&[all(Text), all(Text), from(5, Text)]))],
    ),
    api(
        ApiKey::SyncGroup,
        (0, 5),
        &[
            all(Text),
            all(Fixed(4)),
            all(Text),
            from(3, Text),
            from(5, Text),
            from(5, Text),
            all(Structs(&[all(Text), all(Blob)])),
        ],
    ),
    api(ApiKey::DescribeGroups, (0, 6), &[all(List(&Text)), from(3, Fixed(1))]),
    api(ApiKey::ListGroups, (0, 5), &[from(4, List(&Text)), from(5, List(&Text))]),
    api(ApiKey::SaslHandshake, (0, 1), &[all(Text)]),
    api(ApiKey::ApiVersions, (0, 4), &[from(3, Text), from(3, Text)]),
    api(
        ApiKey::CreateTopics,
        (2, 7),
        &[
            all(Structs(&[
                all(Text),
                all(Fixed(6)),
                all(Structs(&[all(Fixed(4)), all(INDEXES)])),
                all(Structs(&[all(Text), all(Text)])),
            ])),
            all(Fixed(5)),
        ],
    ),
    api(
        ApiKey::DeleteTopics,
        (1, 6),
        &[from(6, Structs(&[all(Text), all(Fixed(16))])), until(5, List(&Text)), all(Fixed(4))],
    ),
    api(
        ApiKey::DeleteRecords,
        (0, 2),
        &[all(Structs(&[all(Text), all(Structs(&[all(Fixed(12))]))])), all(Fixed(4))],
    ),
    api(ApiKey::InitProducerId, (0, 4), &[all(Text), all(Fixed(4)), from(3, Fixed(10))]),
    api(
        ApiKey::DescribeConfigs,
        (1, 4),
        &[all(Structs(&[all(Fixed(1)), all(Text), all(List(&Text))])), all(Fixed(1)), from(3, Fixed(1))],
    ),
    api(
        ApiKey::AlterConfigs,
        (0, 2),
        &[all(Structs(&[all(Fixed(1)), all(Text), all(Structs(&[all(Text), all(Text)]))])), all(Fixed(1))],
    ),
    api(
        ApiKey::DescribeAcls,
        (1, 3),
        &[all(Fixed(1)), all(Text), all(Fixed(1)), all(Text), all(Text), all(Fixed(2))],
    ),
    api(ApiKey::CreateAcls, (1, 3), &[all(ACLS)]),
    api(ApiKey::DeleteAcls, (1, 3), &[all(ACLS)]),
    api(ApiKey::DescribeLogDirs, (1, 4), &[all(PLACES)]),
    api(
        ApiKey::CreatePartitions,
        (0, 3),
        &[all(Structs(&[all(Text), all(Fixed(4)), all(Structs(&[all(INDEXES)]))])), all(Fixed(5))],
    ),
    api(ApiKey::DeleteGroups, (0, 2), &[all(List(&Text))]),
    api(
        ApiKey::IncrementalAlterConfigs,
        (0, 1),
        &[
            all(Structs(&[all(Fixed(1)), all(Text), all(Structs(&[all(Text), all(Fixed(1)), all(Text)]))])),
            all(Fixed(1)),
        ],
    ),
    api(ApiKey::ElectLeaders, (0, 2), &[from(1, Fixed(1)), all(PLACES), all(Fixed(4))]),
    api(
        ApiKey::AlterPartitionReassignments,
        (0, 1),
        &[
            all(Fixed(4)),
            from(1, Fixed(1)),
            all(Structs(&[all(Text), all(Structs(&[all(Fixed(4)), all(INDEXES)]))])),
        ],
    ),
    api(ApiKey::ListPartitionReassignments, (0, 0), &[all(Fixed(4)), all(PLACES)]),
    api(
        ApiKey::OffsetDelete,
        (0, 0),
        &[all(Text), all(Structs(&[all(Text), all(Structs(&[all(Fixed(4))]))]))],
    ),
    api(
        ApiKey::DescribeClientQuotas,
        (0, 1),
        &[all(Structs(&[all(Text), all(Fixed(1)), all(Text)])), all(Fixed(1))],
    ),
    api(
        ApiKey::AlterClientQuotas,
        (0, 1),
        &[
            all(Structs(&[
                all(Structs(&[all(Text), all(Text)])),
                all(Structs(&[all(Text), all(Fixed(8)), all(Fixed(1))])),
            ])),
            all(Fixed(1)),
        ],
    ),
    api(ApiKey::DescribeUserScramCredentials, (0, 0), &[all(Structs(&[all(Text)]))]),
    api(
        ApiKey::AlterUserScramCredentials,
        (0, 0),
        &[
            all(Structs(&[all(Text), all(Fixed(1))])),
            all(Structs(&[all(Text), all(Fixed(1)), all(Fixed(4)), all(Blob), all(Blob)])),
        ],
    ),
    api(ApiKey::DescribeCluster, (0, 1), &[all(Fixed(1)), from(1, Fixed(1))]),
    api(ApiKey::DescribeProducers, (0, 0), &[all(PLACES)]),
    api(ApiKey::DescribeTransactions, (0, 0), &[all(List(&Text))]),
    api(
        ApiKey::ListTransactions,
        (0, 2),
        &[all(List(&Text)), all(List(&Fixed(8))), from(1, Fixed(8)), from(2, Text)],
    ),
    api(
        ApiKey::ConsumerGroupHeartbeat,
        (0, 1),
        &[
            all(Text),
            all(Text),
            all(Fixed(4)),
            all(Text),
            all(Text),
            all(Fixed(4)),
            all(List(&Text)),
            from(1, Text),
            all(Text),
            all(Structs(&[all(Fixed(16)), all(INDEXES)])),
        ],
    ),
];

/// The request with this key, if the broker answers it.
pub(crate) fn find(key: i16) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key as i16 == key)
}

/// A request's name for a person, whether or not the broker answers it.
pub(crate) fn name(key: i16) -> String {
    ApiKey::try_from(key)
        .map_or_else(|()| format!("an unknown request (api key {key})"), |key| format!("{key:?}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes a request of this API, with sizes and bytes taken from `seed`.
    pub(crate) fn generate(api: &Api, version: i16, seed: &[u8]) -> Vec<u8> {
        shape::tests::generate(api.fields, api.version(version), seed)
    }

    proptest! {
        #[test]
        fn what_is_well_formed_passes_and_a_shorter_one_does_not(
            seed in proptest::collection::vec(any::<u8>(), 1..200),
        ) {
            for api in APIS {
                for version in api.min..=api.max {
                    let body = generate(api, version, &seed);
                    prop_assert_eq!(api.check(version, &body), Ok(()), "{:?} {}", api.key, version);
                    if !body.is_empty() {
                        prop_assert!(api.check(version, &body[..body.len() - 1]).is_err());
                    }
                }
            }
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for api in APIS {
                for version in api.min..=api.max {
                    let _ = api.check(version, &bytes);
                }
            }
        }
    }
}
