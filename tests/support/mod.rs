//! What every integration test uses: the real binary in a clean environment, a cluster, waits with a limit.
//!
//! ```ignore
//! use crate::support::Cluster;
//!
//! let cluster = Cluster::get();
//! let topic = cluster.topic("orders");
//! cluster.kq(["produce", &topic]).stdin("a\nb\n").run().success();
//! cluster.kq(["consume", &topic, "-e"]).run().success().stdout("a\nb\n");
//! ```
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "integration and kafka use their own part each"
)]

mod cluster;
pub mod compose;
mod http;
mod kq;
mod output;
mod postgres;
mod proxy;
mod records;
mod refusing;
mod running;
pub mod serve;
pub mod serve_load;
mod wait;
pub mod wire;

pub use cluster::Cluster;
pub use http::{HttpServer, Request};
pub use kq::Kq;
pub use output::Output;
pub use postgres::Postgres;
pub use proxy::{Link, Proxy};
pub use records::{lines, numbers, once, topic_with, values};
pub use refusing::Refusing;
pub use running::{CONT, INT, Running, STOP, TERM, runs};
pub use wait::{is_full, wait_for, wait_until};
