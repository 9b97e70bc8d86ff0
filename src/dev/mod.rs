//! The embedded broker: one node that speaks Kafka's protocol, for a laptop or a test.
//!
//! - [`server`] has the connections, [`apis`] lists the requests, [`shape`] checks what comes in,
//!   [`dispatch`] decodes it and hands it to a function of [`api`].
//! - [`topics`] and [`log`] keep the records, in files as Kafka's own batches.
//! - [`groups`] is the group coordinator: a pure state machine, and the clock that drives it.
//! - [`run`] runs a broker on its own or [`around`] a command; [`files`] raises the limit of open files.
//! - [`notes`] is what it says on stderr, with a bound for each kind of line.
//! - [`folder`] is the place on disk; [`configs`] lists the configurations of a topic.
//!
//! Not here, and refused with the protocol's own error and a line on stderr (`api::lacking`), or not
//! offered in `ApiVersions`: transactions, ACLs, TLS and SASL, KIP-848 groups, replicas. A topic may ask
//! for compaction, and keeps every record: a log that is not compacted yet is legal.
//!
//! `tests/dev_clients/run` and CI test these clients. Each one creates a topic; produces and consumes
//! without a codec and with gzip, snappy, lz4 and zstd; runs two members of a group, kills one and
//! replaces it within its session; commits offsets and resumes; and lists topics and groups. The same
//! programs pass on Apache Kafka 4.1.0.
//!
//! | client | and also |
//! |---|---|
//! | librdkafka 2.12.1 (kq's own; `tests/integration/conformance.rs`) | range and cooperative-sticky pairs, static members, delete records, offsets by time |
//! | kcat 1.7.1, librdkafka 2.0.2 (`kcat.sh`) | no topic creation of its own: made on first use; no group listing |
//! | confluent-kafka 2.16.1, librdkafka 2.16.0 (`python.py`) | cooperative-sticky, configs, more partitions, delete records, deletions, transactions refused |
//! | kafka-python 3.0.12 (`kafka_python.py`) | no codec but gzip without other packages; batches larger than a partition's share |
//! | kafka-go 0.4.48 (`kafka_go`) | offsets fetched, topic deleted |
//! | franz-go 1.22.2, kcl's library (`franz_go`) | lag, ACLs, log directories, reassignments, quotas, producers by its admin client; topic deleted |
//! | Kafka 4.1.0's console tools (`java.sh`) | lag, features, log directories, transactions listed; group and topic deleted |
//! | `KafkaJS` 2.2.4 (`kafkajs/check.js`) | none, gzip and Snappy only; compacted topics, headers |
//! | aiokafka 0.14.0 (`aiokafka_.py`) | compacted topics, headers |
//!
//! Beside them run programs that keep their state in compacted topics, and get it back from there:
//! Kafka Streams 4.1.0 (`streams.py`) and Kafka Connect 4.1.0, distributed (`connect.py`).

pub(crate) mod api;
pub(crate) mod apis;
pub(crate) mod around;
pub(crate) mod broker;
pub(crate) mod code;
pub(crate) mod configs;
pub(crate) mod dispatch;
pub(crate) mod files;
pub(crate) mod folder;
pub(crate) mod groups;
pub(crate) mod log;
pub(crate) mod notes;
pub(crate) mod request;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod shape;
pub(crate) mod topics;
