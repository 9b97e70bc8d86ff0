//! A producer: takes records, and reports the result of each.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;

use super::batch::read_headers;
use super::handle::{Handle, Lent, Receiver, Role};
use super::metadata::metadata;
use super::topic::NativeTopic;
use super::{admin, check, check_object, code_of, millis, text};
use crate::config::Properties;
use crate::kafka::client::{DeliveredTopic, Delivery, Observer, ProducerClient, TopicClient, TopicMetadata};
use crate::kafka::code::Code;
use crate::kafka::properties::native;
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

/// A producer: queues records, and reports the result of each in [`Producer::poll`].
///
/// Not `Sync`: deliveries are reported to the thread that polls.
pub(crate) struct Producer {
    handle: Handle,
    /// Bytes of the records that are queued and not reported: keys, values and headers.
    queued: Cell<usize>,
    /// How many of them there may be, unless one record alone has more.
    most: usize,
    /// The memory of the last [`TopicClient::send_values`], used again for the next.
    scratch: RefCell<Vec<sys::rd_kafka_message_t>>,
}

impl Producer {
    /// Starts a producer; it connects in the background.
    ///
    /// `queue.buffering.max.kbytes` is applied here: librdkafka counts only values
    /// (`rd_kafka_msg_new0`), and a value that is larger than it would wait for ever.
    pub(crate) fn new(config: &Properties, observer: Arc<dyn Observer>) -> anyhow::Result<Self> {
        const BOUND: &str = "queue.buffering.max.kbytes";
        let most = config.get(BOUND).and_then(|kbytes| kbytes.parse::<usize>().ok()).unwrap_or(1 << 20) << 10;
        let mut config = native(config)?;
        config.set(BOUND, c_int::MAX.to_string());
        let handle = Handle::new(&config, Role::Producer(on_delivery), observer)?;
        Ok(Self { handle, queued: Cell::new(0), most, scratch: RefCell::default() })
    }

    /// Whether so many more bytes may be queued now.
    fn has_room(&self, queued: usize, size: usize) -> bool {
        queued == 0 || queued + size <= self.most
    }
}

/// A topic to produce to: spares a look-up by name for each record. It sends by the producer that made
/// it, so that the handle of one client never reaches another.
pub(crate) struct Topic<'a> {
    producer: &'a Producer,
    native: NativeTopic<'a>,
}

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
        let mut counted = |delivery: Delivery<'_>| {
            let size = delivery.bytes + delivery.header_bytes;
            self.queued.set(self.queued.get().saturating_sub(size));
            deliveries(delivery);
        };
        let receiver: &mut dyn FnMut(Delivery<'_>) = &mut counted;
        // SAFETY: only the lifetime is erased: the receiver is taken out again before this function,
        // which owns it, returns or unwinds, and only this thread's callbacks read it.
        let receiver: *mut Receiver = unsafe { std::mem::transmute(ptr::from_mut(receiver)) };
        let _lent = Lent::new(&self.handle.polling().deliveries, receiver);
        // SAFETY: the client is live.
        unsafe { sys::rd_kafka_poll(self.handle.rk, millis(timeout)) };
    }

    fn in_flight(&self) -> usize {
        // SAFETY: the client is live.
        usize::try_from(unsafe { sys::rd_kafka_outq_len(self.handle.rk) }).unwrap_or(0)
    }
}

impl TopicClient for Topic<'_> {
    fn send(&self, record: &Outgoing<'_>) -> Result<(), Code> {
        use sys::rd_kafka_vtype_t as vtype;
        let producer = self.producer;
        let (key, key_len) = raw(record.key);
        let (value, value_len) = raw(record.value);
        let size = key_len + value_len + size_of_headers(record.headers);
        if !producer.has_room(producer.queued.get(), size) {
            return Err(Code::QueueFull);
        }
        let vu = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        let mem = |ptr, size| sys::rd_kafka_vu_s__bindgen_ty_1 {
            mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size },
        };
        let headers = native_headers(record.headers)?;
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
            if outcome.is_ok() {
                producer.queued.set(producer.queued.get() + size);
            } else if !headers.is_null() {
                sys::rd_kafka_headers_destroy(headers);
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
        let mut queued = producer.queued.get();
        let fitting = values.take_while(|(value, _)| {
            let fits = producer.has_room(queued, value.len());
            queued += value.len();
            fits
        });
        let mut scratch = producer.scratch.take();
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
        let dealt_with = self.queue_batch(partition, &mut scratch, refused);
        *producer.scratch.borrow_mut() = scratch;
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
        let sizes = messages.iter().filter(|message| code_of(message.err).is_none()).map(|m| m.len);
        let queued = &self.producer.queued;
        queued.set(queued.get() + sizes.sum::<usize>());
        if taken as usize == count {
            return count;
        }
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
            topic: &MessageTopic { rkt: message.rkt, message: PhantomData },
            partition: message.partition,
            offset: message.offset,
            has_key: !message.key.is_null(),
            bytes: message.key_len + message.len,
            header_bytes: size_of_headers(&headers),
        });
    }
}
