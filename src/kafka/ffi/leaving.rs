//! How a consumer leaves its group, so that the group does not wait for it until its session ends.

use std::ffi::c_char;
use std::ptr;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaConfRes;

use super::handle::Handle;
use super::queue::Queue;
use super::{check, check_object, text};
use crate::config::Properties;
use crate::kafka::client::{Departure, Rebalance};

/// How long one poll waits meanwhile …
const POLL: Duration = Duration::from_millis(2);
/// … and how much it takes at most.
const BATCH: usize = 1000;

/// What kind of member a consumer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// The broker names it in the answer to its `JoinGroup`.
    Classic,
    /// It names itself, and a heartbeat says that it leaves (KIP-848).
    Consumer,
    /// It stays in its group for its next start.
    Static,
}

impl Membership {
    /// That of a consumer with these properties.
    pub(super) fn of(config: &Properties) -> Self {
        if config.get("group.instance.id").is_some() {
            return Self::Static;
        }
        if config.get("group.protocol") == Some("consumer") { Self::Consumer } else { Self::Classic }
    }

    /// Leaves the group and closes the consumer, up to `deadline`; `queue` is that of `handle`.
    ///
    /// A member without a partition that closes says nothing (`rdkafka_cgrp.c`: "consumer is terminating,
    /// skipping rejoin"), and the group's next rebalance waits for it until its session ends. One that
    /// unsubscribes first says that it leaves. While it joins, librdkafka postpones that ("postponing
    /// subscribe until previous rebalance completes"), and a close would have it forgotten: the close
    /// waits until it has taken effect.
    pub(super) fn leave(
        self,
        handle: &Handle,
        queue: &Queue,
        deadline: Instant,
        handler: &mut dyn Rebalance,
    ) -> Departure {
        let mut poll = || drop(handle.serving(handler, || queue.take(handle, POLL, BATCH)));
        let was_member = self.is_member(handle);
        let mut departure = Departure::Known;
        if self != Membership::Static && !has_partitions(handle) {
            // SAFETY: the client is live.
            let _ = check(unsafe { sys::rd_kafka_unsubscribe(handle.rk) });
            while self.is_member(handle) && !is_fenced(handle) {
                if Instant::now() >= deadline {
                    departure = Departure::Unknown { session: session(handle) };
                    break;
                }
                poll();
            }
        }
        // SAFETY: client and queue are live; an error object is ours.
        let closing = unsafe { check_object(sys::rd_kafka_consumer_close_queue(handle.rk, queue.native)) };
        // It is refused to one that was fenced.
        while closing.is_ok() {
            // SAFETY: the client is live.
            if unsafe { sys::rd_kafka_consumer_closed(handle.rk) } != 0 {
                break;
            }
            if Instant::now() >= deadline {
                departure = match self {
                    Membership::Classic if was_member => Departure::Unknown { session: session(handle) },
                    Membership::Consumer => Departure::Unknown { session: None },
                    Membership::Classic | Membership::Static => departure,
                };
                break;
            }
            poll();
        }
        departure
    }

    /// Whether the group has this member and has not been told that it leaves, as far as that can be
    /// known: librdkafka forgets the member's id as it sends `LeaveGroup`.
    fn is_member(self, handle: &Handle) -> bool {
        if self != Membership::Classic {
            return false;
        }
        // SAFETY: the client is live; the id, where there is one, is ours and is freed once.
        unsafe {
            let id = sys::rd_kafka_memberid(handle.rk);
            if id.is_null() {
                return false;
            }
            let is_empty = *id == 0;
            sys::rd_kafka_mem_free(handle.rk, id.cast());
            !is_empty
        }
    }
}

/// Whether librdkafka has given the client up, for instance because another member has its name.
fn is_fenced(handle: &Handle) -> bool {
    // SAFETY: the client is live; no text is asked for.
    let code = unsafe { sys::rd_kafka_fatal_error(handle.rk, ptr::null_mut(), 0) };
    check(code).is_err()
}

fn has_partitions(handle: &Handle) -> bool {
    let mut all = ptr::null_mut();
    // SAFETY: the client is live; the list that it makes is read and destroyed here.
    unsafe {
        if check(sys::rd_kafka_assignment(handle.rk, &raw mut all)).is_err() {
            return false;
        }
        let any = (*all).cnt > 0;
        sys::rd_kafka_topic_partition_list_destroy(all);
        any
    }
}

/// `session.timeout.ms`, as this client sends it when it joins.
fn session(handle: &Handle) -> Option<Duration> {
    let mut value = [0 as c_char; 32];
    let mut size = value.len();
    // SAFETY: the client is live and its configuration with it; the name ends with NUL; the value is
    // written with its NUL into the buffer, whose size is stated.
    unsafe {
        let conf = sys::rd_kafka_conf(handle.rk);
        let name = c"session.timeout.ms".as_ptr();
        match sys::rd_kafka_conf_get(conf, name, value.as_mut_ptr(), &raw mut size) {
            RDKafkaConfRes::RD_KAFKA_CONF_OK => text(value.as_ptr()).parse().ok().map(Duration::from_millis),
            _ => None,
        }
    }
}
