//! librdkafka's handle of a topic.

use std::ffi::CString;
use std::marker::PhantomData;
use std::ptr;

use anyhow::{Context as _, bail};
use rdkafka::bindings as sys;

use super::handle::Handle;
use crate::kafka::code::Code;

/// librdkafka's handle of a topic.
pub(super) struct NativeTopic<'a> {
    pub(super) rkt: *mut sys::rd_kafka_topic_t,
    client: PhantomData<&'a Handle>,
}

impl<'a> NativeTopic<'a> {
    pub(super) fn new(handle: &'a Handle, name: &str) -> anyhow::Result<Self> {
        let c_name = CString::new(name).with_context(|| format!("topic {name:?}"))?;
        // SAFETY: the client is live, the name outlives the call, null means the client's own
        // default topic configuration.
        let rkt = unsafe { sys::rd_kafka_topic_new(handle.rk, c_name.as_ptr(), ptr::null_mut()) };
        if rkt.is_null() {
            // SAFETY: no arguments; reads a thread-local.
            let code: Code = unsafe { sys::rd_kafka_last_error() }.into();
            bail!("topic {name:?}: {code}");
        }
        Ok(Self { rkt, client: PhantomData })
    }
}

impl Drop for NativeTopic<'_> {
    fn drop(&mut self) {
        // SAFETY: returned by rd_kafka_topic_new, destroyed once; the client outlives it by 'a.
        unsafe { sys::rd_kafka_topic_destroy(self.rkt) };
    }
}
