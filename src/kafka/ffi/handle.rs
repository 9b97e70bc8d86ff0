//! A client of librdkafka and what its callbacks reach; neither is ever destroyed.

use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;

use super::begins::Begins;
use super::{sockets, text};
use crate::kafka::client::{Assigned, Delivery, MetadataVerdict, Observer, Rebalance};
use crate::kafka::code::Code;
use crate::kafka::errors::setup;
use crate::kafka::properties::threads_of;
use crate::threads;

/// Receives deliveries.
pub(super) type Receiver = dyn FnMut(Delivery<'_>) + 'static;

/// Whether a client produces or consumes, and what librdkafka calls on the thread that polls it.
#[derive(Clone, Copy)]
pub(super) enum Role {
    /// With the callback for delivery reports.
    Producer(unsafe extern "C" fn(*mut sys::rd_kafka_t, *const sys::rd_kafka_message_t, *mut c_void)),
    Consumer {
        /// For changes of the group's assignment.
        on_rebalance: OnPartitions,
        /// For the answers to commits.
        on_commit: OnPartitions,
    },
}

/// A callback with a list of partitions.
pub(super) type OnPartitions = unsafe extern "C" fn(
    *mut sys::rd_kafka_t,
    RDKafkaRespErr,
    *mut sys::rd_kafka_topic_partition_list_t,
    *mut c_void,
);

/// What a client's callbacks reach through librdkafka's opaque pointer; it is never freed.
///
/// Its two parts are borrowed apart from each other, since two kinds of threads come here:
/// - librdkafka's own threads, with a line of the log. They see the observer alone, which is `Sync`.
/// - The thread that uses the client. A [`Handle`] is neither `Send` nor `Sync`, so it is one thread; a
///   producer, which is both, lets one thread at a time poll.
///   Deliveries and rebalances are reported from inside its calls and nowhere else: librdkafka puts
///   them into the application's queue, which `rd_kafka_poll`, `rd_kafka_consumer_poll` and
///   `rd_kafka_consume_batch_queue` serve. Only this thread sees [`Polling`] and its cells.
struct Context {
    observer: Arc<dyn Observer>,
    polling: Polling,
}

/// What serves the callbacks on the thread that uses the client.
pub(super) struct Polling {
    /// Receives deliveries, for the length of one `poll`.
    pub(super) deliveries: Cell<Option<*mut Receiver>>,
    /// Receives rebalances, for the length of one `poll`.
    pub(super) rebalance: Cell<Option<*mut (dyn Rebalance + 'static)>>,
    /// The starts that partitions were given.
    pub(super) begins: Begins,
    /// Partitions that were revoked during the current poll.
    pub(super) revoked: RefCell<Vec<Assigned>>,
    /// What the broker answered to commits with metadata.
    pub(super) metadata: Cell<MetadataVerdict>,
}

/// A pointer that is lent to the callbacks for the length of a call. What was lent before is put back
/// when the call returns, and when it unwinds.
pub(super) struct Lent<'a, T: Copy> {
    cell: &'a Cell<Option<T>>,
    before: Option<T>,
}

impl<'a, T: Copy> Lent<'a, T> {
    pub(super) fn new(cell: &'a Cell<Option<T>>, pointer: T) -> Self {
        Self { cell, before: cell.replace(Some(pointer)) }
    }
}

impl<T: Copy> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        self.cell.set(self.before);
    }
}

/// A librdkafka client handle with its callbacks' context; neither is ever destroyed: a handle that
/// is dropped leaves a client behind whose threads still run and call back.
pub(super) struct Handle {
    pub(super) rk: *mut sys::rd_kafka_t,
    context: &'static Context,
}

impl Handle {
    pub(super) fn new(
        config: &ClientConfig,
        role: Role,
        observer: Arc<dyn Observer>,
    ) -> anyhow::Result<Self> {
        threads::ensure(threads_of(config))?;
        let native = config.create_native_config().context("librdkafka configuration")?;
        let context: &'static Context = Box::leak(Box::new(Context {
            observer,
            polling: Polling {
                deliveries: Cell::new(None),
                rebalance: Cell::new(None),
                begins: Begins::default(),
                revoked: RefCell::default(),
                metadata: Cell::default(),
            },
        }));
        let mut reason = [0 as c_char; 512];
        // SAFETY: the configuration is valid until rd_kafka_new takes it (it takes it only on
        // success, when it must not be freed again); the context lives to the end of the process,
        // as the client does.
        let rk = unsafe {
            let conf = native.ptr();
            sys::rd_kafka_conf_set_opaque(conf, ptr::from_ref(context).cast_mut().cast());
            sys::rd_kafka_conf_set_log_cb(conf, Some(on_log));
            sys::rd_kafka_conf_set_error_cb(conf, Some(on_error));
            sys::rd_kafka_conf_set_socket_cb(conf, Some(sockets::open));
            let kind = match role {
                Role::Producer(on_delivery) => {
                    sys::rd_kafka_conf_set_dr_msg_cb(conf, Some(on_delivery));
                    sys::rd_kafka_type_t::RD_KAFKA_PRODUCER
                }
                Role::Consumer { on_rebalance, on_commit } => {
                    sys::rd_kafka_conf_set_rebalance_cb(conf, Some(on_rebalance));
                    sys::rd_kafka_conf_set_offset_commit_cb(conf, Some(on_commit));
                    sys::rd_kafka_type_t::RD_KAFKA_CONSUMER
                }
            };
            let rk = sys::rd_kafka_new(kind, conf, reason.as_mut_ptr(), reason.len());
            if !rk.is_null() {
                let _ = ManuallyDrop::new(native);
            }
            rk
        };
        if rk.is_null() {
            // SAFETY: librdkafka wrote a NUL-terminated reason into the buffer.
            let why = unsafe { text(reason.as_ptr()) };
            return Err(setup::error(&why, config));
        }
        Ok(Self { rk, context })
    }

    /// What serves this client's callbacks on this thread.
    pub(super) fn polling(&self) -> &Polling {
        &self.context.polling
    }

    /// The observer of a client, for its callbacks on any thread.
    ///
    /// # Safety
    /// `rk` is null, or a client made by [`Handle::new`], which gave it its context.
    pub(super) unsafe fn observer_of<'a>(rk: *const sys::rd_kafka_t) -> Option<&'a dyn Observer> {
        if rk.is_null() {
            return None;
        }
        // SAFETY: the opaque pointer was set in `new` to what is never freed; of it only the
        // observer is borrowed, which is Sync.
        unsafe {
            let context = sys::rd_kafka_opaque(rk).cast::<Context>();
            let observer: &'a Arc<dyn Observer> = (!context.is_null()).then(|| &(*context).observer)?;
            Some(&**observer)
        }
    }

    /// What serves the callbacks of the call that led here.
    ///
    /// # Safety
    /// `rk` is a client made by [`Handle::new`], and this thread is inside one of its calls.
    pub(super) unsafe fn polling_of<'a>(rk: *const sys::rd_kafka_t) -> Option<&'a Polling> {
        // SAFETY: the opaque pointer was set in `new` to what is never freed; this thread is the
        // one that uses the client, which alone borrows this part.
        unsafe {
            let context = sys::rd_kafka_opaque(rk).cast::<Context>();
            (!context.is_null()).then(|| &(*context).polling)
        }
    }
}

pub(super) unsafe extern "C" fn on_log(
    rk: *const sys::rd_kafka_t,
    level: c_int,
    fac: *const c_char,
    line: *const c_char,
) {
    // SAFETY: librdkafka calls with the client (null while there is none) and two strings that
    // live for the call.
    unsafe {
        if let Some(observer) = Handle::observer_of(rk) {
            observer.log(level, &text(fac), &text(line));
        }
    }
}

pub(super) unsafe extern "C" fn on_error(
    rk: *mut sys::rd_kafka_t,
    err: c_int,
    reason: *const c_char,
    _: *mut c_void,
) {
    // SAFETY: the client is live during its callback, and so is the reason; the buffer has the
    // length that is stated.
    unsafe {
        let Some(observer) = Handle::observer_of(rk) else { return };
        if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__FATAL as c_int {
            let mut buffer = [0 as c_char; 512];
            sys::rd_kafka_fatal_error(rk, buffer.as_mut_ptr(), buffer.len());
            observer.error(Code::Fatal, &text(buffer.as_ptr()));
            return;
        }
        let code = RDKafkaRespErr::try_from(err).map_or(Code::Unknown, Code::from);
        observer.error(code, &text(reason));
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn what_is_lent_is_put_back_when_the_call_returns_or_unwinds() {
        let cell = Cell::new(None);
        let outer = Lent::new(&cell, 1);
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _inner = Lent::new(&cell, 2);
            assert_eq!(cell.get(), None, "this fails, on purpose");
        }));
        assert!(unwound.is_err());
        assert_eq!(cell.get(), Some(1));
        drop(outer);
        assert_eq!(cell.get(), None);
    }
}
