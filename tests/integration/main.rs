//! What `cargo test` runs besides the unit tests: the real binary, a file a topic. `cargo test --test integration consume::` runs one.

#[path = "../support/mod.rs"]
mod support;

mod advertised;
mod cli;
mod compaction;
mod completions;
mod compose;
mod conformance;
mod conformance_admin;
mod consume;
mod consume_bounds;
mod decode;
mod dev;
mod dev_lacking;
mod dev_limits;
mod hangup;
mod harness;
mod layout;
mod leaving;
mod notes;
/// The oracle of the fault lab can fail: its own tests, which need no cluster.
#[path = "../kafka/faults/oracle.rs"]
mod oracle;
mod outage;
mod produce;
mod produce_limits;
mod produce_progress;
mod proxy;
mod reading_flags;
mod reading_topics;
mod readme;
mod reconnecting;
mod retention;
mod serve_answers;
mod serve_drain;
mod serve_examples;
mod serve_limits;
mod serve_outage;
mod serve_records;
mod serve_requests;
mod serve_security;
mod targets;
mod threads;
mod tls;
mod topic;
mod unread;
mod wire;
mod worker;
mod worker_batch;
mod worker_ending;
mod worker_group;
mod worker_handlers;
mod worker_handlers_http;
mod worker_lanes;
mod worker_orphans;
mod worker_outage;
mod worker_output;
mod worker_persistent;
mod worker_protocol;
mod worker_seeing;
mod worker_starting;
mod worker_stdin;
mod worker_stops;
mod worker_timing;
