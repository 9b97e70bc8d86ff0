//! What a request sees of its records.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use proptest::prelude::*;

use super::*;

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn wake(change: Option<Change>) {
    if let Some(Change::Complete(Some(waker))) = change {
        waker.wake();
    }
}

fn acknowledged(offset: i64) -> Outcome {
    Outcome::Acknowledged { partition: 0, offset }
}

proptest! {
    #[test]
    fn whatever_the_order_of_the_reports_a_request_is_woken_once_and_has_its_results_in_order(
        order in (1..50usize).prop_flat_map(|records| Just((0..records).collect::<Vec<_>>()).prop_shuffle()),
        queued_after in 0..50usize,
    ) {
        let batch = Arc::new(Batch::new(0, order.len()));
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let mut published = Published(Arc::clone(&batch));
        let queued_after = queued_after.min(order.len());
        for (reports, &index) in order.iter().enumerate() {
            if reports == queued_after {
                wake(Some(batch.queued()));
            }
            prop_assert!(Pin::new(&mut published).poll(&mut context).is_pending());
            wake(batch.settle(index, acknowledged(index as i64)));
            prop_assert!(batch.settle(index, Outcome::not_sent(Code::Unknown)).is_none());
        }
        if queued_after == order.len() {
            prop_assert!(Pin::new(&mut published).poll(&mut context).is_pending());
            wake(Some(batch.queued()));
        }
        prop_assert_eq!(count.0.load(Ordering::Relaxed), 1);
        let expected: Vec<Outcome> = (0..order.len()).map(|index| acknowledged(index as i64)).collect();
        prop_assert_eq!(Pin::new(&mut published).poll(&mut context), Poll::Ready(expected));
    }
}

#[test]
fn what_was_refused_is_known_at_once() {
    let mut published = Published(Arc::new(Batch::refused(0, 2, Code::QueueFull)));
    let mut context = Context::from_waker(Waker::noop());
    let expected = vec![Outcome::not_sent(Code::QueueFull); 2];
    assert_eq!(Pin::new(&mut published).poll(&mut context), Poll::Ready(expected));
}

#[test]
fn records_that_are_given_up_do_not_change_those_that_are_settled() {
    let batch = Arc::new(Batch::new(0, 3));
    assert!(batch.settle(1, acknowledged(7)).is_some());
    assert!(matches!(batch.queued(), Change::Open));
    let (settled, change) = batch.settle_rest(Outcome::not_sent(Code::Fatal));
    assert!(settled == 2 && matches!(change, Change::Complete(None)));
    let mut context = Context::from_waker(Waker::noop());
    let fatal = Outcome::not_sent(Code::Fatal);
    let results = Pin::new(&mut Published(batch)).poll(&mut context);
    assert_eq!(results, Poll::Ready(vec![fatal, acknowledged(7), fatal]));
}
