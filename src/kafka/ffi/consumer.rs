//! A consumer: questions, positions, commits, and how it leaves a group.

use std::cell::OnceCell;
use std::ffi::CString;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;

use super::batch::Batch;
use super::commits::{Answers, Commits, on_commit};
use super::coordinator::Coordinator;
use super::handle::{Handle, Role};
use super::leaving::Membership;
use super::metadata::metadata;
use super::queue::{Positions, Queue};
use super::rebalance::on_rebalance;
use super::{admin, check, check_object, list, millis, text};
use crate::config::Properties;
use crate::kafka::client::{
    Assigned, Commit, Committed, ConsumerClient, Departure, MetadataVerdict, Observer, Rebalance,
    TopicMetadata,
};
use crate::kafka::code::Code;
use crate::kafka::properties::native;
use crate::record::TopicPartition;

/// A consumer, of a group or of partitions that it chose itself.
///
/// Not `Sync`: rebalances are served on the thread that polls.
pub(crate) struct Consumer {
    handle: Handle,
    /// What it was made with, for the clients beside it.
    config: Properties,
    observer: Arc<dyn Observer>,
    queue: Queue,
    membership: Membership,
    commits: Commits,
    /// There once it was asked something.
    coordinator: OnceCell<Coordinator>,
}

impl Consumer {
    /// Starts a consumer; it neither subscribes nor assigns yet. One that commits by itself
    /// (`enable.auto.commit`) counts as a member of a group.
    /// `config` must name a `group.id`, which librdkafka demands even without a group.
    pub(crate) fn new(config: &Properties, observer: Arc<dyn Observer>) -> anyhow::Result<Self> {
        let role = Role::Consumer { on_rebalance, on_commit };
        let handle = Handle::new(&native(config)?, role, Arc::clone(&observer))?;
        let may_resume = config.get("enable.partition.eof") == Some("true")
            && config.get("enable.auto.commit") == Some("true");
        let positions = if may_resume { Positions::Resumed } else { Positions::Once };
        let queue = Queue::new(&handle, positions)?;
        let membership = Membership::of(config);
        let (commits, coordinator) = (Commits::default(), OnceCell::new());
        Ok(Self { handle, config: config.clone(), observer, queue, membership, commits, coordinator })
    }

    /// Notes the start that a partition was given, as librdkafka writes it.
    fn begin(&self, topic: &str, partition: i32, raw: i64) {
        // SAFETY: the client is live.
        unsafe { self.handle.polling().begins.note(self.handle.rk, topic, partition, raw) };
    }

    /// # Safety
    /// `list` is null or a live list; it is copied.
    unsafe fn commit_list(
        &self,
        list: *const sys::rd_kafka_topic_partition_list_t,
        timeout: Duration,
    ) -> Result<(), Code> {
        let answers = Answers::new(&self.handle);
        // SAFETY: as this function demands.
        let asked = unsafe { answers.ask(&self.handle, list) };
        let outcome = asked.and_then(|()| answers.take(timeout).unwrap_or(Err(Code::OperationTimedOut)));
        match outcome {
            // Nothing was stored since the last commit: all is committed.
            Err(Code::NoOffset) => Ok(()),
            other => other,
        }
    }
}

impl ConsumerClient for Consumer {
    type Batch<'a> = Batch<'a>;

    fn metadata(&self, topic: Option<&str>, timeout: Duration) -> Result<Vec<TopicMetadata>, Code> {
        metadata(&self.handle, topic, timeout)
    }

    fn watermarks(&self, topic: &str, partition: i32, timeout: Duration) -> Result<(i64, i64), Code> {
        let topic = CString::new(topic).map_err(|_| Code::InvalidTopic)?;
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

    fn unstable_end(&self, topic: &str, partition: i32, timeout: Duration) -> Result<i64, Code> {
        let mut config = self.config.clone();
        config.set("isolation.level", "read_uncommitted");
        // A client's isolation is for its lifetime, so this takes another one, which joins no group.
        let other = Self::new(&config, Arc::clone(&self.observer)).map_err(|_| Code::Fail)?;
        other.watermarks(topic, partition, timeout).map(|(_, high)| high)
    }

    fn seen_end(&self, topic: &str, partition: i32) -> Option<i64> {
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

    fn offsets_for_times(
        &self,
        times: &[(TopicPartition, i64)],
        timeout: Duration,
    ) -> Result<Vec<Option<i64>>, Code> {
        let list = list::of_offsets(times);
        // SAFETY: client and list are live; the list is ours alone, and librdkafka writes into it
        // only until it returns.
        check(unsafe { sys::rd_kafka_offsets_for_times(self.handle.rk, list.ptr(), millis(timeout)) })?;
        Ok(list::offsets(&list, times.iter().map(|(partition, _)| partition)))
    }

    fn committed(
        &self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<Vec<Option<Committed>>, Code> {
        let list = list::of_partitions(partitions);
        // SAFETY: as in `offsets_for_times`; what is read out of the list is what the call wrote.
        unsafe {
            check(sys::rd_kafka_committed(self.handle.rk, list.ptr(), millis(timeout)))?;
            Ok(list::committed(&list, partitions))
        }
    }

    fn group_members(&self, group: &str, timeout: Duration) -> Result<usize, Code> {
        admin::count_members(&self.handle, group, timeout)
    }

    fn ask_coordinator(&self, topic: &str, timeout: Duration) -> Result<(), Code> {
        if let Some(coordinator) = self.coordinator.get() {
            return coordinator.ask(topic, timeout);
        }
        // Where the system has no threads for it now, the next question tries again.
        let started = Coordinator::new(&self.config).map_err(|_| Code::OperationTimedOut)?;
        self.coordinator.get_or_init(|| started).ask(topic, timeout)
    }

    fn subscribe(&self, topics: &[String]) -> Result<(), Code> {
        let mut list = TopicPartitionList::new();
        for topic in topics {
            list.add_topic_unassigned(topic);
        }
        // SAFETY: client and list are live; the list is copied.
        check(unsafe { sys::rd_kafka_subscribe(self.handle.rk, list.ptr()) })
    }

    fn assign(&self, partitions: &[Assigned]) -> Result<(), Code> {
        let list = list::of_starts(partitions);
        // SAFETY: client and list are live; the list is copied.
        check(unsafe { sys::rd_kafka_assign(self.handle.rk, list.ptr()) })
    }

    fn assign_more(&self, partitions: &[Assigned]) -> Result<(), Code> {
        let list = list::of_starts(partitions);
        // SAFETY: client and list are live; the list is copied; an error object is ours.
        unsafe { check_object(sys::rd_kafka_incremental_assign(self.handle.rk, list.ptr())) }
    }

    fn seek(&self, topic: &str, partition: i32, offset: i64, timeout: Duration) -> Result<(), Code> {
        let list = list::of_one(topic, partition, offset);
        // SAFETY: client and list are live; an error object is ours.
        unsafe { check_object(sys::rd_kafka_seek_partitions(self.handle.rk, list.ptr(), millis(timeout))) }?;
        list.elements()
            .first()
            .map_or(Ok(()), |e| e.error().map_err(|e| e.rdkafka_error_code().unwrap_or(Code::Unknown)))?;
        self.begin(topic, partition, offset);
        Ok(())
    }

    fn restart(&self, topic: &str, partition: i32, offset: i64) -> Result<(), Code> {
        // A seek does not work here: `rd_kafka_toppar_seek` needs a fetcher that runs, and
        // `rd_kafka_offset_reset` has stopped it. So it is assigned again.
        let list = list::of_one(topic, partition, offset);
        // SAFETY: client and list are live, and lists are copied; error objects are
        // ours; the assignment is ours, and is freed after its last use.
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
                let elements: &mut [_] = match (*all).cnt {
                    0 => &mut [],
                    count => std::slice::from_raw_parts_mut((*all).elems, count as usize),
                };
                if !self.handle.polling().begins.restart(elements, topic, partition, offset) {
                    return Err(Code::InvalidArgument);
                }
                check(sys::rd_kafka_assign(rk, all))
            });
            sys::rd_kafka_topic_partition_list_destroy(all);
            outcome
        }
    }

    fn pause(&self, partitions: &[TopicPartition]) -> Result<(), Code> {
        let list = list::of_partitions(partitions);
        // SAFETY: client and list are live.
        check(unsafe { sys::rd_kafka_pause_partitions(self.handle.rk, list.ptr()) })
    }

    fn resume(&self, partitions: &[TopicPartition]) -> Result<(), Code> {
        let list = list::of_partitions(partitions);
        // SAFETY: client and list are live.
        check(unsafe { sys::rd_kafka_resume_partitions(self.handle.rk, list.ptr()) })
    }

    fn store(&self, offsets: &[Commit]) -> Result<(), Code> {
        let list = list::of_commits(offsets);
        // SAFETY: client and list are live; the list is ours alone, and librdkafka writes each
        // entry's error into it until it returns.
        check(unsafe { sys::rd_kafka_offsets_store(self.handle.rk, list.ptr()) })
    }

    fn commit_stored(&self, timeout: Duration) -> Result<(), Code> {
        // SAFETY: a null list means: what is stored.
        unsafe { self.commit_list(ptr::null(), timeout) }
    }

    fn commit(&self, offsets: &[Commit], timeout: Duration) -> Result<(), Code> {
        let list = list::of_commits(offsets);
        // SAFETY: the list is live.
        unsafe { self.commit_list(list.ptr(), timeout) }
    }

    fn begin_commit(&self, offsets: &[Commit]) -> Result<(), Code> {
        let list = list::of_commits(offsets);
        // SAFETY: the list is live.
        unsafe { self.commits.begin(&self.handle, list.ptr()) }
    }

    fn commit_answer(&self) -> Option<Result<(), Code>> {
        self.commits.answer()
    }

    fn metadata_verdict(&self) -> MetadataVerdict {
        self.handle.polling().metadata.take()
    }

    fn poll(&self, timeout: Duration, most: usize, handler: &mut dyn Rebalance) -> Batch<'_> {
        self.handle.serving(handler, || self.queue.take(&self.handle, timeout, most))
    }

    fn close(&self, timeout: Duration, handler: &mut dyn Rebalance) -> Departure {
        self.membership.leave(&self.handle, &self.queue, Instant::now() + timeout, handler)
    }
}
