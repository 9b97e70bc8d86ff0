//! A client beside a member of a group, for nothing but questions to the group's coordinator.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;

use super::commits::on_commit;
use super::handle::{Handle, Role};
use super::list;
use super::queue::{Positions, Queue};
use super::rebalance::on_rebalance;
use super::{check, millis};
use crate::config::Properties;
use crate::kafka::client::Observer;
use crate::kafka::code::Code;
use crate::kafka::properties::native;
use crate::record::TopicPartition;

/// How many events are taken from the client before a question.
const EVENTS: usize = 100;

/// What belongs to a member, and not to one that only asks. With the group protocol of the brokers, its
/// client would have a member's state too; its lines of the log would stand twice.
const OF_A_MEMBER: [&str; 4] = ["group.instance.id", "group.protocol", "group.remote.assignor", "debug"];

/// A client with a connection of its own to the coordinator of a member's group, which it never joins.
pub(super) struct Coordinator {
    handle: Handle,
    queue: Queue,
}

/// What is wrong with a broker is reported by the member's client.
struct Deaf;

impl Observer for Deaf {
    fn error(&self, _: Code, _: &str) {}

    fn log(&self, _: i32, _: &str, _: &str) {}
}

impl Coordinator {
    /// Starts the client beside a member with these properties.
    pub(super) fn new(member: &Properties) -> anyhow::Result<Self> {
        let mut config = member.clone();
        for name in OF_A_MEMBER {
            config.remove(name);
        }
        config.set("enable.auto.commit", "false");
        // A transaction that commits offsets in the group would hold up the answer.
        config.set("isolation.level", "read_uncommitted");
        let role = Role::Consumer { on_rebalance, on_commit };
        let handle = Handle::new(&native(&config)?, role, Arc::new(Deaf))?;
        let queue = Queue::new(&handle, Positions::Once)?;
        Ok(Self { handle, queue })
    }

    /// Asks for the committed offset in this topic. A question without an answer is dropped when the time
    /// is over, or, if it was sent, after `socket.timeout.ms`: librdkafka does not retry it, since
    /// `rd_kafka_committed` has closed the queue of its answer.
    pub(super) fn ask(&self, topic: &str, timeout: Duration) -> Result<(), Code> {
        // Nothing else takes what the client has to say: errors, and tokens of a login to be renewed.
        drop(self.queue.take(&self.handle, Duration::ZERO, EVENTS));
        let list = list::of_partitions(&[TopicPartition::new(topic, 0)]);
        // SAFETY: client and list are live; the list is ours alone, and librdkafka writes into it
        // only until it returns.
        check(unsafe { sys::rd_kafka_committed(self.handle.rk, list.ptr(), millis(timeout)) })
    }
}
