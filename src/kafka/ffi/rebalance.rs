//! Changes of a group's assignment: from librdkafka's callback to the handler.

use std::ffi::c_void;
use std::ptr;

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;

use super::handle::{Handle, Lent};
use super::list::{raw_start, start_of};
use super::{check, check_object, slice, text};
use crate::kafka::client::{Assigned, Rebalance, StartAt};

impl Handle {
    /// Runs `f`, which calls librdkafka on this thread, with `handler` behind the rebalance callback.
    pub(super) fn serving<T>(&self, handler: &mut dyn Rebalance, f: impl FnOnce() -> T) -> T {
        // SAFETY: only the lifetime is erased: the handler is taken out again before this function,
        // which borrows it, returns or unwinds, and only this thread's callbacks read it.
        let handler: *mut (dyn Rebalance + 'static) = unsafe { std::mem::transmute(ptr::from_mut(handler)) };
        let _lent = Lent::new(&self.polling().rebalance, handler);
        f()
    }
}

pub(super) unsafe extern "C" fn on_rebalance(
    rk: *mut sys::rd_kafka_t,
    err: RDKafkaRespErr,
    partitions: *mut sys::rd_kafka_topic_partition_list_t,
    _: *mut c_void,
) {
    // SAFETY: client and list are live during the callback; the handler, where one is set, is
    // borrowed by the `poll` or `close` on this very thread that led here.
    unsafe {
        let assign = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let cooperative = text(sys::rd_kafka_rebalance_protocol(rk)) == "COOPERATIVE";
        if let Some(polling) = Handle::polling_of(rk)
            && let Some(handler) = polling.rebalance.get()
        {
            let elements =
                if partitions.is_null() { &[][..] } else { slice((*partitions).elems, (*partitions).cnt) };
            let mut changed: Vec<Assigned> = elements
                .iter()
                .map(|e| Assigned {
                    topic: text(e.topic).into(),
                    partition: e.partition,
                    start: start_of(e.offset),
                })
                .collect();
            if assign {
                (*handler).assigned(&mut changed);
                for (i, chosen) in changed.iter().enumerate() {
                    let element = &mut *(*partitions).elems.add(i);
                    if chosen.start != StartAt::Committed {
                        element.offset = raw_start(chosen.start);
                    }
                    polling.begins.note(rk, &chosen.topic, chosen.partition, element.offset);
                }
            } else {
                let lost = sys::rd_kafka_assignment_lost(rk) != 0;
                (*handler).revoked(&changed, lost);
                polling.revoked.borrow_mut().extend(changed);
            }
        }
        let outcome = match (assign, cooperative) {
            (true, true) => check_object(sys::rd_kafka_incremental_assign(rk, partitions)),
            (true, false) => check(sys::rd_kafka_assign(rk, partitions)),
            (false, true) if !partitions.is_null() => {
                check_object(sys::rd_kafka_incremental_unassign(rk, partitions))
            }
            (false, _) => check(sys::rd_kafka_assign(rk, ptr::null())),
        };
        if let (Err(code), Some(observer)) = (outcome, Handle::observer_of(rk)) {
            observer.error(code, "the assignment could not be taken over");
        }
    }
}
