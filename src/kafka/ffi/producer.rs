//! A producer: records in, and the fate of each out.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::batch::read_headers;
use super::handle::{Handle, Observer, Receiver, TopicMetadata};
use super::topic::Topic;
use super::{check, check_object, code_of, millis, text};
use crate::record::Header;

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
    pub(super) rkt: *const sys::rd_kafka_topic_t,
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

/// Where a record goes and what it carries, for [`Producer::send`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing<'a> {
    /// `None`: the partitioner decides.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: &'a [Header<'a>],
    /// Milliseconds since the epoch; `None`: now.
    pub timestamp: Option<i64>,
    /// Comes back in the [`Delivery`].
    pub tag: u64,
}

/// A producer: queues records, reports the fate of each in [`Producer::poll`].
///
/// Not `Sync`: deliveries are reported to the thread that polls.
pub struct Producer {
    pub(super) handle: Handle,
    /// Bytes of the records that are queued and not reported: keys, values and headers.
    queued: Cell<usize>,
    /// How many of them there may be, unless one record alone has more.
    most: usize,
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
}

/// `RD_KAFKA_MSG_F_COPY`: librdkafka copies key and value before the call returns.
const MSG_F_COPY: c_int = sys::RD_KAFKA_MSG_F_COPY as c_int;

/// `RD_KAFKA_PARTITION_UA`, a macro with a cast that the bindings lack: the partitioner decides.
const PARTITION_UA: i32 = -1;

/// Memory that [`Producer::send_values`] uses again and again.
#[derive(Default)]
pub struct Scratch(Vec<sys::rd_kafka_message_t>);

/// Pointer and length as librdkafka wants them: null is null, empty is not.
fn raw(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |b| (b.as_ptr().cast_mut().cast(), b.len()))
}

fn size_of_headers(headers: &[Header<'_>]) -> usize {
    headers.iter().map(|header| header.name.len() + header.value.map_or(0, <[u8]>::len)).sum()
}

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

pub(super) unsafe extern "C" fn on_delivery(
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
