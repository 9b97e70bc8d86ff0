//! librdkafka's calls for moving records, behind safe types.
//!
//! rust-rdkafka stays in charge of configuration, administration and error
//! codes. What it does not offer is here: the batch calls of both directions
//! (a third of the cost on the calling thread), the partition and offset of an
//! end of partition, start offsets chosen inside a rebalance, and a close that
//! has an upper bound in time.
//!
//! A client is never destroyed: `rd_kafka_destroy` waits without a bound while
//! brokers are away. [`Consumer::close`] leaves the group in bounded time, a
//! producer is drained by its caller, and the process then ends.
//!
//! [`ask`] holds the requests of the admin API that a client sends beside its records.
#![allow(unsafe_code)]
// The transmutes below change a lifetime and nothing else; a cast would hide that.
#![allow(clippy::transmute_ptr_to_ptr)]

mod ask;

pub use ask::alter_topic_configs;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::bindings as sys;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

pub use crate::record::Outgoing;
use crate::record::{Header, RecordRef, Timestamp};

/// Hears what librdkafka reports besides records; called from several threads.
pub trait Observer: Send + Sync {
    /// A broker is away, a login was refused, the client is fenced …
    fn error(&self, code: RDKafkaErrorCode, reason: &str);
    /// A line of librdkafka's own log; `level` as in syslog, 0 (emergency) to 7 (debug).
    fn log(&self, level: i32, facility: &str, message: &str);
}

/// What the thread inside [`Consumer::poll`] does when the group's assignment changes.
pub trait Rebalance {
    /// Partitions arrive. An entry's `offset` says where to start: left as it is
    /// (`Offset::Invalid`), the group's committed offset.
    fn assigned(&mut self, consumer: &Consumer, partitions: &mut [Assigned]);
    /// Partitions go. What is stored before this returns is committed, unless
    /// `lost`: then they are somebody else's already and nothing may be stored.
    fn revoked(&mut self, consumer: &Consumer, partitions: &[Assigned], lost: bool);
}

/// A partition in a rebalance, and the offset to start from.
#[derive(Clone, Debug, PartialEq)]
pub struct Assigned {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: Offset,
}

/// One partition of a topic, as the cluster's metadata has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    pub id: i32,
    /// The leader's broker id, -1 where there is none.
    pub leader: i32,
    pub error: Option<RDKafkaErrorCode>,
}

/// One topic of the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    pub name: String,
    pub partitions: Vec<PartitionMetadata>,
    pub error: Option<RDKafkaErrorCode>,
}

fn code_of(err: RDKafkaRespErr) -> Option<RDKafkaErrorCode> {
    (err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| err.into())
}

fn check(err: RDKafkaRespErr) -> Result<(), RDKafkaErrorCode> {
    code_of(err).map_or(Ok(()), Err)
}

/// Takes an error object apart and frees it; null is success.
fn check_object(error: *mut sys::rd_kafka_error_t) -> Result<(), RDKafkaErrorCode> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, owned by the caller, and not used after the destroy.
    let code = unsafe {
        let code = sys::rd_kafka_error_code(error);
        sys::rd_kafka_error_destroy(error);
        code
    };
    check(code)
}

fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

/// # Safety
/// `s` is null or a NUL-terminated string that outlives the returned text.
unsafe fn text<'a>(s: *const c_char) -> std::borrow::Cow<'a, str> {
    if s.is_null() {
        return "".into();
    }
    // SAFETY: as this function demands.
    unsafe { CStr::from_ptr(s) }.to_string_lossy()
}

/// Who is told of deliveries.
type Receiver = dyn FnMut(Delivery<'_>) + 'static;

/// What a client's callbacks reach through librdkafka's opaque pointer.
struct Context {
    observer: Arc<dyn Observer>,
    /// Set for the length of one `poll`: whom the callbacks on this thread serve.
    deliveries: Cell<Option<*mut Receiver>>,
    rebalance: Cell<Option<(*const Consumer, *mut (dyn Rebalance + 'static))>>,
    /// Partitions that went during the poll that is under way.
    revoked: RefCell<Vec<Assigned>>,
}

/// A librdkafka client handle with its callbacks' context; neither is ever destroyed: a handle that
/// is dropped leaves a client behind whose threads go on and call back.
struct Handle {
    rk: *mut sys::rd_kafka_t,
    context: &'static Context,
}

impl Handle {
    fn new(
        config: &ClientConfig,
        kind: sys::rd_kafka_type_t,
        observer: Arc<dyn Observer>,
    ) -> anyhow::Result<Self> {
        let native = config.create_native_config().context("librdkafka configuration")?;
        let context: &'static Context = Box::leak(Box::new(Context {
            observer,
            deliveries: Cell::new(None),
            rebalance: Cell::new(None),
            revoked: RefCell::default(),
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
            if kind == sys::rd_kafka_type_t::RD_KAFKA_PRODUCER {
                sys::rd_kafka_conf_set_dr_msg_cb(conf, Some(on_delivery));
            } else {
                sys::rd_kafka_conf_set_rebalance_cb(conf, Some(on_rebalance));
            }
            let rk = sys::rd_kafka_new(kind, conf, reason.as_mut_ptr(), reason.len());
            if !rk.is_null() {
                let _ = ManuallyDrop::new(native);
            }
            rk
        };
        if rk.is_null() {
            // SAFETY: librdkafka wrote a NUL-terminated reason into the buffer.
            bail!("{}", unsafe { text(reason.as_ptr()) });
        }
        Ok(Self { rk, context })
    }

    /// # Safety
    /// `rk` is a live client made by [`Handle::new`], which gave it its context.
    unsafe fn context<'a>(rk: *const sys::rd_kafka_t) -> Option<&'a Context> {
        if rk.is_null() {
            return None;
        }
        // SAFETY: the opaque pointer was set in `new` to what is never freed.
        unsafe { sys::rd_kafka_opaque(rk).cast::<Context>().as_ref() }
    }

    fn metadata(
        &self,
        topic: Option<&str>,
        timeout: Duration,
    ) -> Result<Vec<TopicMetadata>, RDKafkaErrorCode> {
        let handle = topic
            .map(|name| Topic::new(self, name))
            .transpose()
            .map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        let mut metadata: *const sys::rd_kafka_metadata = ptr::null();
        // SAFETY: the topic handle lives until the end of this function; the result is freed
        // below, after everything was copied out of its arrays, whose lengths it states.
        unsafe {
            check(sys::rd_kafka_metadata(
                self.rk,
                c_int::from(handle.is_none()),
                handle.as_ref().map_or(ptr::null_mut(), |topic| topic.rkt),
                &raw mut metadata,
                millis(timeout),
            ))?;
            let topics = slice((*metadata).topics, (*metadata).topic_cnt)
                .iter()
                .map(|topic| TopicMetadata {
                    name: text(topic.topic).into_owned(),
                    error: code_of(topic.err),
                    partitions: slice(topic.partitions, topic.partition_cnt)
                        .iter()
                        .map(|p| PartitionMetadata { id: p.id, leader: p.leader, error: code_of(p.err) })
                        .collect(),
                })
                .collect();
            sys::rd_kafka_metadata_destroy(metadata);
            Ok(topics)
        }
    }
}

/// # Safety
/// `data` points to `len` elements that outlive the returned slice, or `len` is 0.
unsafe fn slice<'a, T>(data: *const T, len: c_int) -> &'a [T] {
    if data.is_null() || len <= 0 {
        return &[];
    }
    // SAFETY: as this function demands.
    unsafe { std::slice::from_raw_parts(data, len as usize) }
}

unsafe extern "C" fn on_log(
    rk: *const sys::rd_kafka_t,
    level: c_int,
    fac: *const c_char,
    line: *const c_char,
) {
    // SAFETY: librdkafka calls with the client (null while there is none) and two strings that
    // live for the call.
    unsafe {
        if let Some(context) = Handle::context(rk) {
            context.observer.log(level, &text(fac), &text(line));
        }
    }
}

unsafe extern "C" fn on_error(rk: *mut sys::rd_kafka_t, err: c_int, reason: *const c_char, _: *mut c_void) {
    // SAFETY: the client is live during its callback, and so is the reason; the buffer has the
    // length that is stated.
    unsafe {
        let Some(context) = Handle::context(rk) else { return };
        if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__FATAL as c_int {
            let mut buffer = [0 as c_char; 512];
            sys::rd_kafka_fatal_error(rk, buffer.as_mut_ptr(), buffer.len());
            context.observer.error(RDKafkaErrorCode::Fatal, &text(buffer.as_ptr()));
            return;
        }
        let code = RDKafkaRespErr::try_from(err).map_or(RDKafkaErrorCode::Unknown, RDKafkaErrorCode::from);
        context.observer.error(code, &text(reason));
    }
}

unsafe extern "C" fn on_delivery(
    rk: *mut sys::rd_kafka_t,
    message: *const sys::rd_kafka_message_t,
    _: *mut c_void,
) {
    // SAFETY: client and message are live during the callback; the receiver, where one is set,
    // is borrowed by the `poll` on this very thread that led here.
    unsafe {
        let Some(context) = Handle::context(rk) else { return };
        let Some(receiver) = context.deliveries.get() else { return };
        let mut headers = Vec::new();
        read_headers(message.cast_mut(), &mut headers);
        let message = &*message;
        (*receiver)(Delivery {
            tag: message._private as u64,
            error: code_of(message.err),
            topic: DeliveredTopic { rkt: message.rkt, message: PhantomData },
            partition: message.partition,
            offset: message.offset,
            bytes: message.key_len + message.len,
            header_bytes: size_of_headers(&headers),
        });
    }
}

unsafe extern "C" fn on_rebalance(
    rk: *mut sys::rd_kafka_t,
    err: RDKafkaRespErr,
    partitions: *mut sys::rd_kafka_topic_partition_list_t,
    _: *mut c_void,
) {
    // SAFETY: client and list are live during the callback; consumer and handler, where set, are
    // borrowed by the `poll` or `close` on this very thread that led here.
    unsafe {
        let assign = err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let cooperative = text(sys::rd_kafka_rebalance_protocol(rk)) == "COOPERATIVE";
        if let Some((consumer, handler)) = Handle::context(rk).and_then(|context| context.rebalance.get()) {
            let elements =
                if partitions.is_null() { &[][..] } else { slice((*partitions).elems, (*partitions).cnt) };
            let mut changed: Vec<Assigned> = elements
                .iter()
                .map(|e| Assigned {
                    topic: text(e.topic).into(),
                    partition: e.partition,
                    offset: Offset::from_raw(e.offset),
                })
                .collect();
            if assign {
                (*handler).assigned(&*consumer, &mut changed);
                for (i, chosen) in changed.iter().enumerate() {
                    if let Some(raw) = chosen.offset.to_raw() {
                        (*(*partitions).elems.add(i)).offset = raw;
                    }
                    (*consumer).begin(&chosen.topic, chosen.partition, chosen.offset.to_raw());
                }
            } else {
                let lost = sys::rd_kafka_assignment_lost(rk) != 0;
                (*handler).revoked(&*consumer, &changed, lost);
                (*consumer).handle.context.revoked.borrow_mut().extend(changed);
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
        if let (Err(code), Some(context)) = (outcome, Handle::context(rk)) {
            context.observer.error(code, "the assignment could not be taken over");
        }
    }
}

// ---------------------------------------------------------------- producer

/// The fate of one record given to a [`Producer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The number that the record was sent with.
    pub tag: u64,
    /// `None`: acknowledged.
    pub error: Option<RDKafkaErrorCode>,
    pub topic: DeliveredTopic<'a>,
    pub partition: i32,
    /// The record's offset; negative where it is not known (`acks=0`, or an error).
    pub offset: i64,
    /// Bytes of its key and its value.
    pub bytes: usize,
    /// Bytes of its headers' names and values.
    pub header_bytes: usize,
}

/// The topic that a record was sent to: its name is read where it is asked for, not for each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveredTopic<'a> {
    rkt: *const sys::rd_kafka_topic_t,
    message: PhantomData<&'a ()>,
}

impl<'a> DeliveredTopic<'a> {
    /// No topic, whose name is empty.
    pub const NONE: Self = Self { rkt: ptr::null(), message: PhantomData };

    pub fn name(self) -> std::borrow::Cow<'a, str> {
        if self.rkt.is_null() {
            return "".into();
        }
        // SAFETY: the message, which 'a stands for, keeps the topic and its name.
        unsafe { text(sys::rd_kafka_topic_name(self.rkt)) }
    }
}

fn size_of_headers(headers: &[Header<'_>]) -> usize {
    headers.iter().map(|header| header.name.len() + header.value.map_or(0, <[u8]>::len)).sum()
}

/// A producer: queues records, reports the fate of each in [`Producer::poll`].
///
/// Not `Sync`: deliveries are reported to the thread that polls.
pub struct Producer {
    handle: Handle,
    /// Bytes of the records that are queued and not reported: keys, values and headers.
    queued: Cell<usize>,
    /// How many of them there may be, unless one record alone has more.
    most: usize,
}

/// A topic to produce to: spares a look-up by name for each record.
pub struct Topic<'a> {
    rkt: *mut sys::rd_kafka_topic_t,
    client: PhantomData<&'a Handle>,
}

impl<'a> Topic<'a> {
    fn new(handle: &'a Handle, name: &str) -> anyhow::Result<Self> {
        let c_name = CString::new(name).with_context(|| format!("topic {name:?}"))?;
        // SAFETY: the client is live, the name outlives the call, null means the client's own
        // default topic configuration.
        let rkt = unsafe { sys::rd_kafka_topic_new(handle.rk, c_name.as_ptr(), ptr::null_mut()) };
        if rkt.is_null() {
            // SAFETY: no arguments; reads a thread-local.
            let code: RDKafkaErrorCode = unsafe { sys::rd_kafka_last_error() }.into();
            bail!("topic {name:?}: {code}");
        }
        Ok(Self { rkt, client: PhantomData })
    }
}

impl Drop for Topic<'_> {
    fn drop(&mut self) {
        // SAFETY: made by rd_kafka_topic_new, given up once; the client outlives it by 'a.
        unsafe { sys::rd_kafka_topic_destroy(self.rkt) };
    }
}

/// Pointer and length as librdkafka wants them: null is null, empty is not.
fn raw(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |b| (b.as_ptr().cast_mut().cast(), b.len()))
}

impl Producer {
    /// Starts a producer; connecting goes on in the background.
    ///
    /// `queue.buffering.max.kbytes` is heeded here: librdkafka counts values alone
    /// (`rd_kafka_msg_new0`), and has a value that is larger wait for ever for room.
    pub fn new(config: &ClientConfig, observer: Arc<dyn Observer>) -> anyhow::Result<Self> {
        const BOUND: &str = "queue.buffering.max.kbytes";
        let most = config.get(BOUND).and_then(|kbytes| kbytes.parse::<usize>().ok()).unwrap_or(1 << 20) << 10;
        let mut config = config.clone();
        config.set(BOUND, c_int::MAX.to_string());
        let handle = Handle::new(&config, sys::rd_kafka_type_t::RD_KAFKA_PRODUCER, observer)?;
        Ok(Self { handle, queued: Cell::new(0), most })
    }

    /// Whether so many more bytes may be queued now.
    fn has_room(&self, queued: usize, size: usize) -> bool {
        queued == 0 || queued + size <= self.most
    }

    /// The cluster's view of one topic, or of all.
    pub fn metadata(
        &self,
        topic: Option<&str>,
        timeout: Duration,
    ) -> Result<Vec<TopicMetadata>, RDKafkaErrorCode> {
        self.handle.metadata(topic, timeout)
    }

    /// A handle to produce to `name` with.
    pub fn topic(&self, name: &str) -> anyhow::Result<Topic<'_>> {
        Topic::new(&self.handle, name)
    }

    /// Queues one record; its bytes are copied. `QueueFull` means poll and try again.
    pub fn send(&self, topic: &Topic<'_>, record: &Outgoing<'_>) -> Result<(), RDKafkaErrorCode> {
        use sys::rd_kafka_vtype_t as vtype;
        let (key, key_len) = raw(record.key);
        let (value, value_len) = raw(record.value);
        let size = key_len + value_len + size_of_headers(record.headers);
        if !self.has_room(self.queued.get(), size) {
            return Err(RDKafkaErrorCode::QueueFull);
        }
        let vu = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        let mem = |ptr, size| sys::rd_kafka_vu_s__bindgen_ty_1 {
            mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size },
        };
        let headers = native_headers(record.headers)?;
        let mut arguments = [
            vu(vtype::RD_KAFKA_VTYPE_RKT, sys::rd_kafka_vu_s__bindgen_ty_1 { rkt: topic.rkt }),
            vu(
                vtype::RD_KAFKA_VTYPE_PARTITION,
                sys::rd_kafka_vu_s__bindgen_ty_1 { i32_: record.partition.unwrap_or(PARTITION_UA) },
            ),
            vu(vtype::RD_KAFKA_VTYPE_MSGFLAGS, sys::rd_kafka_vu_s__bindgen_ty_1 { i: MSG_F_COPY }),
            vu(vtype::RD_KAFKA_VTYPE_KEY, mem(key, key_len)),
            vu(vtype::RD_KAFKA_VTYPE_VALUE, mem(value, value_len)),
            vu(
                vtype::RD_KAFKA_VTYPE_OPAQUE,
                sys::rd_kafka_vu_s__bindgen_ty_1 { ptr: record.tag as usize as *mut c_void },
            ),
            vu(
                vtype::RD_KAFKA_VTYPE_TIMESTAMP,
                sys::rd_kafka_vu_s__bindgen_ty_1 { i64_: record.timestamp.unwrap_or(0) },
            ),
            vu(vtype::RD_KAFKA_VTYPE_HEADERS, sys::rd_kafka_vu_s__bindgen_ty_1 { headers }),
        ];
        // Without headers the last argument, a null pointer, stays away.
        let count = if headers.is_null() { arguments.len() - 1 } else { arguments.len() };
        // SAFETY: client and topic are live; key and value outlive the call, which copies them;
        // the headers become librdkafka's on success and are freed here otherwise.
        unsafe {
            let outcome =
                check_object(sys::rd_kafka_produceva(self.handle.rk, arguments.as_mut_ptr(), count));
            if outcome.is_ok() {
                self.queued.set(self.queued.get() + size);
            } else if !headers.is_null() {
                sys::rd_kafka_headers_destroy(headers);
            }
            outcome
        }
    }

    /// Queues many values without key or header for one partition, in order: half the cost of
    /// [`Producer::send`]. Gives how many of them are dealt with: what a full queue held back,
    /// and all after it, still belongs to the caller, who polls and tries again. A value that
    /// can't be queued for another reason is dealt with, and handed to `refused` with its tag.
    pub fn send_values<'v>(
        &self,
        topic: &Topic<'_>,
        partition: i32,
        values: impl Iterator<Item = (&'v [u8], u64)>,
        scratch: &mut Scratch,
        refused: &mut dyn FnMut(u64, RDKafkaErrorCode),
    ) -> usize {
        let mut queued = self.queued.get();
        let fitting = values.take_while(|(value, _)| {
            let fits = self.has_room(queued, value.len());
            queued += value.len();
            fits
        });
        scratch.0.clear();
        scratch.0.extend(fitting.map(|(value, tag)| sys::rd_kafka_message_t {
            err: RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
            rkt: ptr::null_mut(),
            partition,
            payload: value.as_ptr().cast_mut().cast(),
            len: value.len(),
            key: ptr::null_mut(),
            key_len: 0,
            offset: 0,
            _private: tag as usize as *mut c_void,
        }));
        let count = scratch.0.len();
        if count == 0 {
            return 0;
        }
        // SAFETY: topic and client are live; the values outlive the call, which copies them
        // (MSG_F_COPY); the array has the length that is stated.
        let taken = unsafe {
            sys::rd_kafka_produce_batch(
                topic.rkt,
                partition,
                MSG_F_COPY,
                scratch.0.as_mut_ptr(),
                count as c_int,
            )
        };
        let sizes = scratch.0.iter().filter(|message| code_of(message.err).is_none()).map(|m| m.len);
        self.queued.set(self.queued.get() + sizes.sum::<usize>());
        if taken as usize == count {
            return count;
        }
        for (index, message) in scratch.0.iter().enumerate() {
            match code_of(message.err) {
                None => {}
                // The queue is full for this one and all that follow.
                Some(RDKafkaErrorCode::QueueFull) => return index,
                Some(code) => refused(message._private as u64, code),
            }
        }
        count
    }

    /// Serves delivery reports for up to `timeout` (returns after the first round of them).
    pub fn poll(&self, timeout: Duration, deliveries: &mut dyn FnMut(Delivery<'_>)) {
        let mut counted = |delivery: Delivery<'_>| {
            let size = delivery.bytes + delivery.header_bytes;
            self.queued.set(self.queued.get().saturating_sub(size));
            deliveries(delivery);
        };
        let receiver: &mut dyn FnMut(Delivery<'_>) = &mut counted;
        // SAFETY: only the lifetime is erased: the receiver is taken out again before this
        // function, which owns it, returns, and only this thread's callbacks read it.
        let receiver: *mut Receiver = unsafe { std::mem::transmute(ptr::from_mut(receiver)) };
        self.handle.context.deliveries.set(Some(receiver));
        // SAFETY: the client is live.
        unsafe { sys::rd_kafka_poll(self.handle.rk, millis(timeout)) };
        self.handle.context.deliveries.set(None);
    }

    /// Records that were queued and whose fate is not reported yet.
    pub fn in_flight(&self) -> usize {
        // SAFETY: the client is live.
        usize::try_from(unsafe { sys::rd_kafka_outq_len(self.handle.rk) }).unwrap_or(0)
    }

    /// Gives up every record that waits in the queue or on the wire; the next polls report
    /// each as failed (`PurgeQueue`, `PurgeInflight`).
    pub fn purge(&self) {
        let all = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT;
        // SAFETY: the client is live.
        unsafe { sys::rd_kafka_purge(self.handle.rk, all as c_int) };
    }
}

/// `RD_KAFKA_MSG_F_COPY`: librdkafka copies key and value before the call returns.
const MSG_F_COPY: c_int = sys::RD_KAFKA_MSG_F_COPY as c_int;

/// `RD_KAFKA_PARTITION_UA`, a macro with a cast that the bindings lack: the partitioner decides.
const PARTITION_UA: i32 = -1;

/// Memory that [`Producer::send_values`] uses again and again.
#[derive(Default)]
pub struct Scratch(Vec<sys::rd_kafka_message_t>);

fn native_headers(headers: &[Header<'_>]) -> Result<*mut sys::rd_kafka_headers_t, RDKafkaErrorCode> {
    if headers.is_empty() {
        return Ok(ptr::null_mut());
    }
    // It would be read back as less than was counted.
    if headers.iter().any(|header| header.name.contains(&0)) {
        return Err(RDKafkaErrorCode::InvalidArgument);
    }
    // SAFETY: the new list is ours until it is handed over; name and value are copied by the
    // call, with the lengths stated.
    unsafe {
        let list = sys::rd_kafka_headers_new(headers.len());
        for header in headers {
            let (value, len) = raw(header.value);
            let added = check(sys::rd_kafka_header_add(
                list,
                header.name.as_ptr().cast(),
                header.name.len() as isize,
                value,
                len as isize,
            ));
            if let Err(code) = added {
                sys::rd_kafka_headers_destroy(list);
                return Err(code);
            }
        }
        Ok(list)
    }
}

// ---------------------------------------------------------------- consumer

/// Something that a consumer's queue held.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    Record(RecordRef<'a>),
    /// The partition has nothing more now; the next record there gets an offset ≥ `offset`.
    End {
        topic: &'a str,
        partition: i32,
        offset: i64,
    },
    /// An error of a partition, or of the consumer where `topic` is empty and `partition` -1.
    Error {
        topic: &'a str,
        partition: i32,
        offset: i64,
        code: RDKafkaErrorCode,
        reason: &'a str,
    },
}

/// A consumer, of a group or of partitions that it chose itself.
///
/// Not `Sync`: rebalances are served on the thread that polls.
pub struct Consumer {
    handle: Handle,
    queue: *mut sys::rd_kafka_queue_t,
    /// Whether fetching may go on from the application's position: in a group, or after a pause.
    resumes: bool,
    /// Whether it leaves its group at the end: a static member stays in it for its next start.
    leaves: bool,
    /// The memory of the last batch, used again for the next.
    spare: RefCell<Vec<*mut sys::rd_kafka_message_t>>,
    /// Where the client was last told to begin in a partition, and its position then: that is of
    /// what it delivered last, and stays until something comes from where it was told to begin.
    begins: RefCell<HashMap<(String, i32), (i64, i64)>>,
}

/// Events of one [`Consumer::poll`]; freed as one.
pub struct Batch<'a> {
    consumer: &'a Consumer,
    messages: Vec<*mut sys::rd_kafka_message_t>,
    length: usize,
}

impl Consumer {
    /// Starts a consumer; it neither subscribes nor assigns yet. One that commits by itself
    /// (`enable.auto.commit`) is taken for a member of a group.
    /// `config` must name a `group.id`, which librdkafka wants even for partitions of one's own.
    pub fn new(config: &ClientConfig, observer: Arc<dyn Observer>) -> anyhow::Result<Self> {
        let handle = Handle::new(config, sys::rd_kafka_type_t::RD_KAFKA_CONSUMER, observer)?;
        // SAFETY: the client is live; the queue is a reference of ours that is kept for good.
        let queue = unsafe {
            check(sys::rd_kafka_poll_set_consumer(handle.rk)).context("redirect the main queue")?;
            sys::rd_kafka_queue_get_consumer(handle.rk)
        };
        if queue.is_null() {
            bail!("a consumer needs a group.id");
        }
        let resumes = config.get("enable.partition.eof") == Some("true")
            && config.get("enable.auto.commit") == Some("true");
        let leaves = config.get("group.instance.id").is_none();
        Ok(Self { handle, queue, resumes, leaves, spare: RefCell::default(), begins: RefCell::default() })
    }

    /// The cluster's view of one topic, or of all.
    pub fn metadata(
        &self,
        topic: Option<&str>,
        timeout: Duration,
    ) -> Result<Vec<TopicMetadata>, RDKafkaErrorCode> {
        self.handle.metadata(topic, timeout)
    }

    /// The partition's low watermark, and its high watermark (the last stable offset for a
    /// read-committed client), asked from the broker.
    pub fn watermarks(
        &self,
        topic: &str,
        partition: i32,
        timeout: Duration,
    ) -> Result<(i64, i64), RDKafkaErrorCode> {
        let topic = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client is live; the name and both numbers outlive the call.
        unsafe {
            check(sys::rd_kafka_query_watermark_offsets(
                self.handle.rk,
                topic.as_ptr(),
                partition,
                &raw mut low,
                &raw mut high,
                millis(timeout),
            ))?;
        }
        Ok((low, high))
    }

    /// The partition's high watermark as the last fetch had it, without asking; `None` before one.
    pub fn seen_end(&self, topic: &str, partition: i32) -> Option<i64> {
        let topic = CString::new(topic).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client is live; the name and both numbers outlive the call.
        let known = check(unsafe {
            sys::rd_kafka_get_watermark_offsets(
                self.handle.rk,
                topic.as_ptr(),
                partition,
                &raw mut low,
                &raw mut high,
            )
        });
        known.ok().and((high >= 0).then_some(high))
    }

    /// Replaces each entry's offset, a time in ms since the epoch, by the offset of the first
    /// record at or after it; `Offset::End` where there is none.
    pub fn offsets_for_times(
        &self,
        list: &TopicPartitionList,
        timeout: Duration,
    ) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: client and list are live.
        check(unsafe { sys::rd_kafka_offsets_for_times(self.handle.rk, list.ptr(), millis(timeout)) })
    }

    /// Fills in each entry's committed offset; `Offset::Invalid` where the group has none.
    pub fn committed(&self, list: &TopicPartitionList, timeout: Duration) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: client and list are live.
        check(unsafe { sys::rd_kafka_committed(self.handle.rk, list.ptr(), millis(timeout)) })
    }

    /// Joins the group for these topics; `^…` is a regular expression.
    pub fn subscribe(&self, topics: &[String]) -> Result<(), RDKafkaErrorCode> {
        let mut list = TopicPartitionList::new();
        for topic in topics {
            list.add_topic_unassigned(topic);
        }
        // SAFETY: client and list are live; the list is copied.
        check(unsafe { sys::rd_kafka_subscribe(self.handle.rk, list.ptr()) })
    }

    /// Reads these partitions from their offsets, without a group.
    pub fn assign(&self, list: &TopicPartitionList) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: client and list are live; the list is copied.
        check(unsafe { sys::rd_kafka_assign(self.handle.rk, list.ptr()) })
    }

    /// Reads these partitions besides those that are assigned, without a group.
    pub fn assign_more(&self, list: &TopicPartitionList) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: client and list are live; the list is copied; an error object is freed by check_object.
        check_object(unsafe { sys::rd_kafka_incremental_assign(self.handle.rk, list.ptr()) })
    }

    /// Goes on from `offset` in an assigned partition; what is queued from before is dropped.
    /// `State`: it is not assigned (any more), or was given up with `AutoOffsetReset` ([`Consumer::restart`]).
    pub fn seek(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        timeout: Duration,
    ) -> Result<(), RDKafkaErrorCode> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::from_raw(offset))
            .map_err(|_| RDKafkaErrorCode::InvalidArgument)?;
        // SAFETY: client and list are live; an error object is freed by check_object.
        check_object(unsafe { sys::rd_kafka_seek_partitions(self.handle.rk, list.ptr(), millis(timeout)) })?;
        list.elements().first().map_or(Ok(()), |e| {
            e.error().map_err(|e| e.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown))
        })?;
        self.begin(topic, partition, Some(offset));
        Ok(())
    }

    /// Takes note of where a partition was told to begin; `None`: at its committed offset.
    fn begin(&self, topic: &str, partition: i32, offset: Option<i64>) {
        let name = (topic.to_owned(), partition);
        let Some(offset) = offset else {
            self.begins.borrow_mut().remove(&name);
            return;
        };
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        // SAFETY: client and list are live; the one element is read while the list is.
        let position = unsafe {
            match check(sys::rd_kafka_position(self.handle.rk, list.ptr())) {
                Ok(()) => (*(*list.ptr()).elems).offset,
                Err(_) => sys::RD_KAFKA_OFFSET_INVALID.into(),
            }
        };
        self.begins.borrow_mut().insert(name, (offset, position));
    }

    /// Starts an assigned partition again, at `offset`, after the client gave it up with
    /// `AutoOffsetReset`. It takes no seek then: `rd_kafka_toppar_seek` wants a fetcher that was
    /// started, and `rd_kafka_offset_reset` has stopped it. So it is assigned anew. A partition
    /// that left meanwhile is `InvalidArgument`.
    pub fn restart(&self, topic: &str, partition: i32, offset: i64) -> Result<(), RDKafkaErrorCode> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::from_raw(offset))
            .map_err(|_| RDKafkaErrorCode::InvalidArgument)?;
        // SAFETY: client and list are live, and lists are copied; error objects are freed by
        // check_object; the assignment is ours, and is freed after its last use.
        unsafe {
            let rk = self.handle.rk;
            if text(sys::rd_kafka_rebalance_protocol(rk)) != "EAGER" {
                check_object(sys::rd_kafka_incremental_unassign(rk, list.ptr()))?;
                return check_object(sys::rd_kafka_incremental_assign(rk, list.ptr()));
            }
            // Here there is only all or nothing: the others go on from where they are. What was told
            // to begin and has brought nothing yet begins there still.
            let mut all = ptr::null_mut();
            check(sys::rd_kafka_assignment(rk, &raw mut all))?;
            let outcome = check(sys::rd_kafka_position(rk, all)).and_then(|()| {
                let mut begins = self.begins.borrow_mut();
                let mut is_there = false;
                for i in 0..(*all).cnt as usize {
                    let element = &mut *(*all).elems.add(i);
                    let name = (text(element.topic).into_owned(), element.partition);
                    if name.0 == topic && name.1 == partition {
                        is_there = true;
                        begins.insert(name, (offset, element.offset));
                        element.offset = offset;
                    } else if let Some(&(begin, position)) = begins.get(&name)
                        && position == element.offset
                    {
                        element.offset = begin;
                    }
                }
                if !is_there {
                    return Err(RDKafkaErrorCode::InvalidArgument);
                }
                check(sys::rd_kafka_assign(rk, all))
            });
            sys::rd_kafka_topic_partition_list_destroy(all);
            outcome
        }
    }

    /// Stops fetching these partitions and drops what was fetched ahead.
    pub fn pause(&self, list: &TopicPartitionList) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: client and list are live.
        check(unsafe { sys::rd_kafka_pause_partitions(self.handle.rk, list.ptr()) })
    }

    /// Fetches these partitions again, from where they were paused.
    pub fn resume(&self, list: &TopicPartitionList) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: client and list are live.
        check(unsafe { sys::rd_kafka_resume_partitions(self.handle.rk, list.ptr()) })
    }

    /// Stores the next offset to read of each entry for the next commit. Entries that this
    /// member does not own fail, alone, with `_STATE` in their own error.
    pub fn store(&self, list: &TopicPartitionList) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: client and list are live.
        check(unsafe { sys::rd_kafka_offsets_store(self.handle.rk, list.ptr()) })
    }

    /// Commits what is stored and waits for the broker's answer, up to `timeout`, serving
    /// rebalances meanwhile. `Err(OperationTimedOut)` where no answer came.
    pub fn commit_stored(&self, timeout: Duration) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: a null list means: what is stored.
        unsafe { self.commit_list(ptr::null(), timeout) }
    }

    /// Commits these offsets and waits for the broker's answer, up to `timeout`. A consumer that
    /// has not joined its group may do so while the group has no members.
    pub fn commit(&self, list: &TopicPartitionList, timeout: Duration) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: the list is live.
        unsafe { self.commit_list(list.ptr(), timeout) }
    }

    /// # Safety
    /// `list` is null or a live list; it is copied.
    unsafe fn commit_list(
        &self,
        list: *const sys::rd_kafka_topic_partition_list_t,
        timeout: Duration,
    ) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: the client is live, the queue is ours and given up at the end, the event is
        // freed after its errors were read.
        unsafe {
            let answers = sys::rd_kafka_queue_new(self.handle.rk);
            let asked =
                check(sys::rd_kafka_commit_queue(self.handle.rk, list, answers, None, ptr::null_mut()));
            let outcome = asked.and_then(|()| {
                let event = sys::rd_kafka_queue_poll(answers, millis(timeout));
                if event.is_null() {
                    return Err(RDKafkaErrorCode::OperationTimedOut);
                }
                // The event's own error is set only where every partition failed.
                let partitions = sys::rd_kafka_event_topic_partition_list(event);
                let all = if partitions.is_null() {
                    &[][..]
                } else {
                    slice((*partitions).elems, (*partitions).cnt)
                };
                let outcome = check(sys::rd_kafka_event_error(event))
                    .and_then(|()| all.iter().try_for_each(|partition| check(partition.err)));
                sys::rd_kafka_event_destroy(event);
                outcome
            });
            sys::rd_kafka_queue_destroy(answers);
            match outcome {
                // Nothing was stored since the last commit: all is committed.
                Err(RDKafkaErrorCode::NoOffset) => Ok(()),
                other => other,
            }
        }
    }

    /// Whether the group took this member's partitions away without asking.
    pub fn assignment_lost(&self) -> bool {
        // SAFETY: the client is live.
        unsafe { sys::rd_kafka_assignment_lost(self.handle.rk) != 0 }
    }

    /// The group's members know this one by this name; empty before the first join.
    pub fn member_id(&self) -> String {
        // SAFETY: the client is live; the string is copied and freed with librdkafka's own call.
        unsafe {
            let id = sys::rd_kafka_memberid(self.handle.rk);
            let copy = text(id).into_owned();
            if !id.is_null() {
                sys::rd_kafka_mem_free(self.handle.rk, id.cast());
            }
            copy
        }
    }

    /// Waits up to `timeout` for the first event, then takes what is there, up to `most`.
    /// Rebalances are served by `handler` meanwhile; must be called at least every
    /// `max.poll.interval.ms`.
    pub fn poll(&self, timeout: Duration, most: usize, handler: &mut dyn Rebalance) -> Batch<'_> {
        self.serving(handler, || {
            let mut messages = std::mem::take(&mut *self.spare.borrow_mut());
            if messages.len() < most {
                messages.resize(most, ptr::null_mut());
            }
            let room = &mut messages[..most];
            let length =
                if self.resumes { self.take_singly(timeout, room) } else { self.take_batch(timeout, room) };
            Batch { consumer: self, messages, length }
        })
    }

    /// The batch call, for partitions that are never paused nor shared with a group.
    ///
    /// It counts an end of partition as a record (`rd_kafka_q_serve_rkmessages` moves the
    /// application's position one past it), so that whatever goes on from that position after a
    /// pause or a rebalance would skip a record, or ask for an offset that is not there.
    fn take_batch(&self, timeout: Duration, room: &mut [*mut sys::rd_kafka_message_t]) -> usize {
        // It waits for a full batch or the whole time-out, so ask for one first.
        // SAFETY: the queue is live and the array has room for what is asked.
        let length = unsafe {
            let first = sys::rd_kafka_consume_batch_queue(self.queue, millis(timeout), room.as_mut_ptr(), 1);
            if first == 1 && room.len() > 1 {
                1 + sys::rd_kafka_consume_batch_queue(self.queue, 0, room.as_mut_ptr().add(1), room.len() - 1)
                    .max(0)
            } else {
                first.max(0)
            }
        };
        length as usize
    }

    /// One record a call, which keeps the position right at an end of partition.
    fn take_singly(&self, timeout: Duration, room: &mut [*mut sys::rd_kafka_message_t]) -> usize {
        let revoked = &self.handle.context.revoked;
        revoked.borrow_mut().clear();
        let mut length = 0;
        let mut wait = millis(timeout);
        while length < room.len() {
            // SAFETY: the client is live; the message, where there is one, is ours.
            let message = unsafe { sys::rd_kafka_consumer_poll(self.handle.rk, wait) };
            // A rebalance inside the call stands between what was taken before and this message,
            // which may be the first of the same partition's next assignment.
            length = give_back(&mut room[..length], &std::mem::take(&mut *revoked.borrow_mut()));
            if message.is_null() {
                break;
            }
            room[length] = message;
            length += 1;
            wait = 0;
        }
        length
    }

    /// Leaves the group, serving the last rebalance, and waits until that is done or `timeout`
    /// has passed; says which. Offsets that were stored are committed on the way.
    pub fn close(&self, timeout: Duration, handler: &mut dyn Rebalance) -> bool {
        let deadline = Instant::now() + timeout;
        if self.leaves && !self.has_partitions() {
            // A member without a partition that closes says nothing (rdkafka_cgrp.c: "consumer is
            // terminating, skipping rejoin"), and the group's next rebalance waits for it until
            // its session ends. One that unsubscribes first says that it leaves.
            // SAFETY: the client is live.
            let _ = check(unsafe { sys::rd_kafka_unsubscribe(self.handle.rk) });
        }
        // SAFETY: client and queue are live; an error object is freed by check_object.
        let closing = check_object(unsafe { sys::rd_kafka_consumer_close_queue(self.handle.rk, self.queue) });
        if closing.is_err() {
            return false;
        }
        loop {
            // SAFETY: the client is live.
            if unsafe { sys::rd_kafka_consumer_closed(self.handle.rk) } != 0 {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            drop(self.poll(Duration::from_millis(2), 1000, handler));
        }
    }

    fn has_partitions(&self) -> bool {
        let mut all = ptr::null_mut();
        // SAFETY: the client is live; the list that it makes is read and destroyed here.
        unsafe {
            if check(sys::rd_kafka_assignment(self.handle.rk, &raw mut all)).is_err() {
                return false;
            }
            let any = (*all).cnt > 0;
            sys::rd_kafka_topic_partition_list_destroy(all);
            any
        }
    }

    /// Runs `f`, which calls librdkafka on this thread, with `handler` behind the rebalance callback.
    fn serving<T>(&self, handler: &mut dyn Rebalance, f: impl FnOnce() -> T) -> T {
        // SAFETY: only the lifetime is erased: the handler is taken out again before this
        // function, which borrows it, returns, and only this thread's callbacks read it.
        let handler: *mut (dyn Rebalance + 'static) = unsafe { std::mem::transmute(ptr::from_mut(handler)) };
        let before = self.handle.context.rebalance.replace(Some((ptr::from_ref(self), handler)));
        let result = f();
        self.handle.context.rebalance.set(before);
        result
    }
}

/// Frees the messages of partitions that are somebody else's by now, moves the others together,
/// and gives their number.
fn give_back(messages: &mut [*mut sys::rd_kafka_message_t], revoked: &[Assigned]) -> usize {
    if revoked.is_empty() {
        return messages.len();
    }
    let mut kept = 0;
    for index in 0..messages.len() {
        let message = messages[index];
        // SAFETY: each message is live and ours, with its topic; it is either kept in the array,
        // once, or given back, once.
        unsafe {
            let rkt = (*message).rkt;
            let topic = text(if rkt.is_null() { ptr::null() } else { sys::rd_kafka_topic_name(rkt) });
            if revoked.iter().any(|r| r.partition == (*message).partition && *r.topic == *topic) {
                sys::rd_kafka_message_destroy(message);
            } else {
                messages[kept] = message;
                kept += 1;
            }
        }
    }
    kept
}

impl Batch<'_> {
    /// How many events there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the time passed without an event.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Hands each event over, in order. Headers are read only `with_headers`: they cost a
    /// parse of each record.
    pub fn for_each<E>(
        &self,
        with_headers: bool,
        mut each: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut last_topic, mut topic) = (ptr::null_mut(), "");
        let mut headers: Vec<Header<'_>> = Vec::new();
        for &message in &self.messages[..self.length] {
            // SAFETY: each message stays alive, with its topic, key, value and headers, until
            // this batch is dropped; nothing handed to `each` outlives the call.
            unsafe {
                let pointer = message;
                let message = &*message;
                if message.rkt != last_topic {
                    last_topic = message.rkt;
                    topic = if last_topic.is_null() {
                        ""
                    } else {
                        CStr::from_ptr(sys::rd_kafka_topic_name(last_topic)).to_str().unwrap_or("")
                    };
                }
                let (partition, offset) = (message.partition, message.offset);
                match code_of(message.err) {
                    None => {
                        headers.clear();
                        if with_headers {
                            read_headers(pointer, &mut headers);
                        }
                        each(Event::Record(RecordRef {
                            topic,
                            partition,
                            offset,
                            timestamp: timestamp_of(pointer),
                            key: bytes_of(message.key, message.key_len),
                            value: bytes_of(message.payload, message.len),
                            headers: &headers,
                        }))?;
                    }
                    Some(RDKafkaErrorCode::PartitionEOF) => each(Event::End { topic, partition, offset })?,
                    Some(code) => {
                        let reason = text(sys::rd_kafka_message_errstr(pointer));
                        each(Event::Error { topic, partition, offset, code, reason: &reason })?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for message in &mut self.messages[..self.length] {
            // SAFETY: given to us by the batch call, given back once; the client is alive.
            unsafe { sys::rd_kafka_message_destroy(std::mem::replace(message, ptr::null_mut())) };
        }
        *self.consumer.spare.borrow_mut() = std::mem::take(&mut self.messages);
    }
}

/// # Safety
/// `data` is null or points to `len` bytes that outlive the returned slice.
unsafe fn bytes_of<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: as this function demands.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// # Safety
/// `message` is a live consumed message.
unsafe fn timestamp_of(message: *const sys::rd_kafka_message_t) -> Timestamp {
    let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: as this function demands; the kind outlives the call.
    let ms = unsafe { sys::rd_kafka_message_timestamp(message, &raw mut kind) };
    match kind {
        sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME if ms >= 0 => Timestamp::Create(ms),
        sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME if ms >= 0 => {
            Timestamp::LogAppend(ms)
        }
        _ => Timestamp::None,
    }
}

/// # Safety
/// `message` is live and outlives what is pushed to `out`.
unsafe fn read_headers(message: *mut sys::rd_kafka_message_t, out: &mut Vec<Header<'_>>) {
    let mut list = ptr::null_mut();
    // SAFETY: as this function demands: the list belongs to the message, and names and values to
    // the list; the loop ends at the first index that is not there.
    unsafe {
        if check(sys::rd_kafka_message_headers(message, &raw mut list)).is_err() {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0usize);
            let got = sys::rd_kafka_header_get_all(list, index, &raw mut name, &raw mut value, &raw mut size);
            if check(got).is_err() {
                return;
            }
            out.push(Header { name: CStr::from_ptr(name).to_bytes(), value: bytes_of(value, size) });
        }
    }
}
