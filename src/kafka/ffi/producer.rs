//! A producer: takes records, and reports the result of each.

use std::borrow::Cow;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;

use super::batch::read_headers;
use super::handle::{Handle, Lent, Receiver, Role};
use super::metadata::metadata;
use super::topic::NativeTopic;
use super::{admin, check, check_object, code_of, millis, text};
use crate::config::Properties;
use crate::kafka::client::{
    DeliveredTopic, Delivery, Observer, Persistence, ProducerClient, TopicClient, TopicMetadata,
};
use crate::kafka::code::Code;
use crate::kafka::properties::native;
use crate::lock::Lock;
use crate::record::{Header, Outgoing};

/// A topic as a message knows it.
struct MessageTopic<'a> {
    rkt: *const sys::rd_kafka_topic_t,
    message: PhantomData<&'a sys::rd_kafka_message_t>,
}

impl DeliveredTopic for MessageTopic<'_> {
    fn name(&self) -> Cow<'_, str> {
        if self.rkt.is_null() {
            return "".into();
        }
        // SAFETY: the message, which 'a stands for, keeps the topic and its name.
        unsafe { text(sys::rd_kafka_topic_name(self.rkt)) }
    }
}

impl fmt::Debug for MessageTopic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

/// A producer: queues records from any thread, and reports the result of each in [`Producer::poll`], to one
/// thread at a time.
pub(crate) struct Producer {
    handle: Handle,
    /// Bytes of the records that are queued and not reported: keys, values and headers.
    queued: AtomicUsize,
    /// How many of them there may be, unless one record alone has more.
    most: usize,
    /// `queue.buffering.max.messages`.
    most_records: usize,
    /// The memory of the last [`TopicClient::send_values`], used again for the next.
    scratch: Lock<Vec<sys::rd_kafka_message_t>>,
    /// Held by the thread that polls.
    polling: Lock<()>,
}

// SAFETY: librdkafka's client may be used from any thread (its INTRODUCTION.md, "Threads and callbacks"), and it is
// never destroyed. What is not safe for threads are the cells of `Polling`: the receiver of deliveries is set, read
// and taken out by `poll` alone, which holds `polling`; librdkafka calls back with deliveries from nowhere else
// (`dr_msg_cb` is served by `rd_kafka_poll`). The other cells of `Polling` are a consumer's. The pointers in
// `scratch` are not read after the call that filled them.
unsafe impl Send for Producer {}
// SAFETY: as above.
unsafe impl Sync for Producer {}

impl Producer {
    /// Starts a producer; it connects in the background.
    ///
    /// `queue.buffering.max.kbytes` is applied here: librdkafka counts only values
    /// (`rd_kafka_msg_new0`), and a value that is larger than it would wait for ever.
    pub(crate) fn new(config: &Properties, observer: Arc<dyn Observer>) -> anyhow::Result<Self> {
        const BOUND: &str = "queue.buffering.max.kbytes";
        let number = |name: &str| config.get(name).and_then(|number| number.parse::<usize>().ok());
        let most = number(BOUND).unwrap_or(1 << 20) << 10;
        // 0 is no bound.
        let most_records =
            number("queue.buffering.max.messages").filter(|&most| most > 0).unwrap_or(usize::MAX);
        let mut config = native(config)?;
        config.set(BOUND, c_int::MAX.to_string());
        let handle = Handle::new(&config, Role::Producer(on_delivery), observer)?;
        Ok(Self {
            handle,
            queued: AtomicUsize::new(0),
            most,
            most_records,
            scratch: Lock::default(),
            polling: Lock::default(),
        })
    }

    /// Makes the client unusable, as a broker's answer may.
    #[cfg(test)]
    pub(crate) fn make_unusable(&self) {
        let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        // SAFETY: the client is live, and the reason is a C string that outlives the call.
        unsafe { sys::rd_kafka_test_fatal_error(self.handle.rk, code, c"a test".as_ptr()) };
    }

    /// Whether so many more bytes may be queued while so many are.
    fn takes(&self, queued: usize, size: usize) -> bool {
        queued == 0 || queued + size <= self.most
    }

    /// Counts the bytes of a record that is about to be queued, if there is room for them.
    fn reserve(&self, size: usize) -> Result<(), Code> {
        let queued = self.queued.fetch_add(size, Ordering::Relaxed);
        if self.takes(queued, size) {
            return Ok(());
        }
        self.release(size);
        Err(Code::QueueFull)
    }

    /// Bytes that are queued no longer, or were not queued after all.
    fn release(&self, size: usize) {
        self.queued.fetch_sub(size, Ordering::Relaxed);
    }
}

/// A topic to produce to: spares a look-up by name for each record. It sends by the producer that made
/// it, so that the handle of one client never reaches another.
pub(crate) struct Topic<'a> {
    producer: &'a Producer,
    native: NativeTopic<'a>,
}

// SAFETY: librdkafka's topic handle is counted by references and locked inside: any thread may produce with it.
unsafe impl Send for Topic<'_> {}
// SAFETY: as above.
unsafe impl Sync for Topic<'_> {}

impl ProducerClient for Producer {
    type Topic<'a> = Topic<'a>;

    fn metadata(&self, topic: Option<&str>, timeout: Duration) -> Result<Vec<TopicMetadata>, Code> {
        metadata(&self.handle, topic, timeout)
    }

    fn topic_config(
        &self,
        topic: &str,
        name: &str,
        broker: i32,
        timeout: Duration,
    ) -> Result<Option<String>, Code> {
        admin::describe_topic(&self.handle, topic, name, broker, timeout)
    }

    fn topic(&self, name: &str) -> anyhow::Result<Topic<'_>> {
        Ok(Topic { producer: self, native: NativeTopic::new(&self.handle, name)? })
    }

    fn poll(&self, timeout: Duration, deliveries: &mut dyn FnMut(Delivery<'_>)) {
        let Some(_polling) = self.polling.try_lock() else { return };
        let mut released = 0;
        let mut counted = |delivery: Delivery<'_>| {
            released += delivery.bytes + delivery.header_bytes;
            deliveries(delivery);
        };
        let receiver: &mut dyn FnMut(Delivery<'_>) = &mut counted;
        // SAFETY: only the lifetime is erased: the receiver is taken out again before this function,
        // which owns it, returns or unwinds, and only callbacks of the call below, on this thread, read it.
        let receiver: *mut Receiver = unsafe { std::mem::transmute(ptr::from_mut(receiver)) };
        let _lent = Lent::new(&self.handle.polling().deliveries, receiver);
        // SAFETY: the client is live.
        unsafe { sys::rd_kafka_poll(self.handle.rk, millis(timeout)) };
        self.release(released);
    }

    fn in_flight(&self) -> usize {
        // SAFETY: the client is live.
        usize::try_from(unsafe { sys::rd_kafka_outq_len(self.handle.rk) }).unwrap_or(0)
    }

    fn purge(&self) {
        let flags =
            sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT | sys::RD_KAFKA_PURGE_F_NON_BLOCKING;
        // SAFETY: the client is live. It refuses nothing: the flags are known, and it is a producer.
        let _ = code_of(unsafe { sys::rd_kafka_purge(self.handle.rk, flags as c_int) });
    }

    fn has_room(&self, records: usize, bytes: usize) -> bool {
        records <= self.most_records && self.takes(self.queued.load(Ordering::Relaxed), bytes)
    }
}

impl TopicClient for Topic<'_> {
    fn send(&self, record: &Outgoing<'_>) -> Result<(), Code> {
        use sys::rd_kafka_vtype_t as vtype;
        let producer = self.producer;
        let (key, key_len) = raw(record.key);
        let (value, value_len) = raw(record.value);
        let size = key_len + value_len + size_of_headers(record.headers);
        let vu = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        let mem = |ptr, size| sys::rd_kafka_vu_s__bindgen_ty_1 {
            mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size },
        };
        let headers = native_headers(record.headers)?;
        if let Err(full) = producer.reserve(size) {
            if !headers.is_null() {
                // SAFETY: the list is ours, and nothing has it.
                unsafe { sys::rd_kafka_headers_destroy(headers) };
            }
            return Err(full);
        }
        let mut arguments = [
            vu(vtype::RD_KAFKA_VTYPE_RKT, sys::rd_kafka_vu_s__bindgen_ty_1 { rkt: self.native.rkt }),
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
        // Without headers the last argument, a null pointer, is left out.
        let count = if headers.is_null() { arguments.len() - 1 } else { arguments.len() };
        // SAFETY: client and topic are live; key and value outlive the call, which copies them;
        // the headers become librdkafka's on success and are freed here otherwise.
        unsafe {
            let outcome =
                check_object(sys::rd_kafka_produceva(producer.handle.rk, arguments.as_mut_ptr(), count));
            if outcome.is_err() {
                producer.release(size);
                if !headers.is_null() {
                    sys::rd_kafka_headers_destroy(headers);
                }
            }
            outcome
        }
    }

    fn send_values<'v>(
        &self,
        partition: i32,
        values: impl Iterator<Item = (&'v [u8], u64)>,
        refused: &mut dyn FnMut(u64, Code),
    ) -> usize {
        let producer = self.producer;
        let before = producer.queued.load(Ordering::Relaxed);
        let mut queued = before;
        let fitting = values.take_while(|(value, _)| {
            let fits = producer.takes(queued, value.len());
            queued += if fits { value.len() } else { 0 };
            fits
        });
        // Another thread that sends at this moment has a memory of its own.
        let mut scratch =
            producer.scratch.try_lock().map(|mut spare| std::mem::take(&mut *spare)).unwrap_or_default();
        scratch.clear();
        scratch.extend(fitting.map(|(value, tag)| sys::rd_kafka_message_t {
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
        // Counted first: a report may come before this call returns.
        producer.queued.fetch_add(queued - before, Ordering::Relaxed);
        let dealt_with = self.queue_batch(partition, &mut scratch, refused);
        if let Some(mut spare) = producer.scratch.try_lock() {
            *spare = scratch;
        }
        dealt_with
    }
}

impl Topic<'_> {
    /// Queues these messages for one partition, and gives how many of them are dealt with.
    fn queue_batch(
        &self,
        partition: i32,
        messages: &mut [sys::rd_kafka_message_t],
        refused: &mut dyn FnMut(u64, Code),
    ) -> usize {
        let count = messages.len();
        if count == 0 {
            return 0;
        }
        // SAFETY: topic and client are live; the values outlive the call, which copies them
        // (MSG_F_COPY); the array has the length that is stated.
        let taken = unsafe {
            let (rkt, array) = (self.native.rkt, messages.as_mut_ptr());
            sys::rd_kafka_produce_batch(rkt, partition, MSG_F_COPY, array, count as c_int)
        };
        if taken as usize == count {
            return count;
        }
        let refused_bytes = messages.iter().filter(|message| code_of(message.err).is_some()).map(|m| m.len);
        self.producer.release(refused_bytes.sum());
        for (index, message) in messages.iter().enumerate() {
            match code_of(message.err) {
                None => {}
                // The queue is full for this one and all that follow.
                Some(Code::QueueFull) => return index,
                Some(code) => refused(message._private as u64, code),
            }
        }
        count
    }
}

// A tag travels as a pointer.
const _: () = assert!(usize::BITS >= u64::BITS);

/// `RD_KAFKA_MSG_F_COPY`: librdkafka copies key and value before the call returns.
const MSG_F_COPY: c_int = sys::RD_KAFKA_MSG_F_COPY as c_int;

/// `RD_KAFKA_PARTITION_UA`, a macro with a cast that the bindings lack: the partitioner decides.
const PARTITION_UA: i32 = -1;

/// Pointer and length as librdkafka takes them: null is null, empty is not.
fn raw(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |b| (b.as_ptr().cast_mut().cast(), b.len()))
}

fn size_of_headers(headers: &[Header<'_>]) -> usize {
    headers.iter().map(|header| header.name.len() + header.value.map_or(0, <[u8]>::len)).sum()
}

fn native_headers(headers: &[Header<'_>]) -> Result<*mut sys::rd_kafka_headers_t, Code> {
    if headers.is_empty() {
        return Ok(ptr::null_mut());
    }
    // It would be read back as less than was counted.
    if headers.iter().any(|header| header.name.contains(&0)) {
        return Err(Code::InvalidArgument);
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

pub(super) unsafe extern "C" fn on_delivery(
    rk: *mut sys::rd_kafka_t,
    message: *const sys::rd_kafka_message_t,
    _: *mut c_void,
) {
    // SAFETY: client and message are live during the callback; the receiver, where one is set,
    // is borrowed by the `poll` on this very thread that led here.
    unsafe {
        let Some(receiver) = Handle::polling_of(rk).and_then(|polling| polling.deliveries.get()) else {
            return;
        };
        let mut headers = Vec::new();
        read_headers(message.cast_mut(), &mut headers);
        let message = &*message;
        (*receiver)(Delivery {
            tag: message._private as u64,
            error: code_of(message.err),
            persistence: match sys::rd_kafka_message_status(message) {
                sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Persistence::Not,
                _ => Persistence::Possibly,
            },
            topic: &MessageTopic { rkt: message.rkt, message: PhantomData },
            partition: message.partition,
            offset: message.offset,
            has_key: !message.key.is_null(),
            bytes: message.key_len + message.len,
            header_bytes: size_of_headers(&headers),
        });
    }
}
