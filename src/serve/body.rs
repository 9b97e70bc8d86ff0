//! Reads a request's body, within its bounds of bytes and of time.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::Body;
use tokio::time::timeout;

use super::answer::not_now;
use super::budget::Held;
use super::problem::Problem;
use crate::clock;

/// The bounds of one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The most bytes: `--max-body`.
    pub bytes: usize,
    /// For all of it: `--body-timeout`.
    pub time: Duration,
}

/// Refuses a body that says of itself that it is too long, before any of it is read.
pub(crate) fn check_length(length: Option<u64>, bounds: Bounds) -> Result<(), Problem> {
    match length {
        Some(length) if length > bounds.bytes as u64 => Err(too_large(Some(length), bounds)),
        _ => Ok(()),
    }
}

/// Reads the body. Its bytes are taken from the budget as they arrive; where there are no more, it is refused at
/// once and what it held is free when `held` is dropped.
pub(crate) async fn read<B>(body: B, bounds: Bounds, held: &mut Held) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
{
    match timeout(bounds.time, frames(body, bounds, held)).await {
        Ok(read) => read,
        Err(_) => Err(Problem {
            closes: true,
            ..Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "the body took too long",
                format!("the body did not come within {:?} (--body-timeout)", bounds.time),
            )
        }),
    }
}

async fn frames<B>(body: B, bounds: Bounds, held: &mut Held) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    // One frame is the body of most requests, and is not copied.
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    let mut length = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Problem {
                closes: true,
                ..Problem::bad_request("the body ended early, or is not framed well")
            });
        };
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > bounds.bytes {
            return Err(too_large(None, bounds));
        }
        if !held.take(data.len()) {
            return Err(Problem { closes: true, ..no_room() });
        }
        match (&first, all.is_empty()) {
            (None, true) => first = Some(data),
            (one, is_empty) => {
                if let (Some(one), true) = (one, is_empty) {
                    let left = body.size_hint().upper().and_then(|left| usize::try_from(left).ok());
                    let left = left.filter(|left| length.saturating_add(*left) <= bounds.bytes);
                    all.reserve(length + left.unwrap_or_default());
                    all.extend_from_slice(one);
                }
                all.extend_from_slice(&data);
                first = None;
            }
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

/// 503: the bytes of all requests together are at their bound.
pub(crate) fn no_room() -> Problem {
    let detail = "too many bytes are being read or wait for the cluster (--max-pending)";
    not_now("busy", detail, clock::random())
}

fn too_large(length: Option<u64>, bounds: Bounds) -> Problem {
    let most = bounds.bytes;
    let detail = match length {
        Some(length) => format!("the body has {length} bytes, and {most} are the most (--max-body)"),
        None => format!("the body has more than {most} bytes (--max-body)"),
    };
    Problem {
        closes: true,
        ..Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "body too large", detail)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Frame;
    use proptest::prelude::*;

    use super::*;
    use crate::serve::budget::Budget;

    /// A body of these pieces; it never ends where `hangs`.
    struct Pieces {
        left: Vec<Bytes>,
        hangs: bool,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.left.pop() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None if self.hangs => Poll::Pending,
                None => Poll::Ready(None),
            }
        }
    }

    fn pieces(pieces: &[&[u8]], hangs: bool) -> Pieces {
        Pieces { left: pieces.iter().rev().map(|piece| Bytes::copy_from_slice(piece)).collect(), hangs }
    }

    fn bounds(bytes: usize) -> Bounds {
        Bounds { bytes, time: Duration::from_mins(1) }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn a_body_that_says_that_it_is_too_long_is_refused_unread() {
        assert!(check_length(Some(10), bounds(10)).is_ok() && check_length(None, bounds(10)).is_ok());
        let problem = check_length(Some(11), bounds(10)).unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.closes), (413, true));
        assert!(problem.detail.contains("11 bytes") && problem.detail.contains("10 are the most"));
    }

    #[test]
    fn a_body_of_one_frame_is_not_copied() {
        let frame = Bytes::from_static(b"one");
        let (budget, at) = (Budget::new(9), frame.as_ptr());
        let body = run(read(Pieces { left: vec![frame], hangs: false }, bounds(3), &mut budget.hold()));
        assert_eq!(body.unwrap().as_ptr(), at);
    }

    #[test]
    fn a_body_is_refused_where_the_budget_ends_and_gives_back_what_it_held() {
        let budget = Budget::new(5);
        let mut held = budget.hold();
        let problem = run(read(pieces(&[b"abc", b"def"], false), bounds(100), &mut held)).unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.retry_after.is_some()), (503, true));
        drop(held);
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn a_body_that_does_not_end_is_refused_when_its_time_is_over() {
        let budget = Budget::new(5);
        let soon = Bounds { bytes: 100, time: Duration::from_millis(20) };
        let problem = run(read(pieces(&[b"abc"], true), soon, &mut budget.hold())).unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.closes), (408, true));
    }

    proptest! {
        #[test]
        fn a_body_is_its_pieces_within_the_bound(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9),
            most in 0..60usize,
        ) {
            let all = parts.concat();
            let budget = Budget::new(100);
            let mut held = budget.hold();
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            match run(read(pieces(&parts, false), bounds(most), &mut held)) {
                Ok(body) => {
                    prop_assert_eq!(&body[..], &all[..]);
                    prop_assert_eq!(budget.taken(), all.len());
                }
                Err(problem) => {
                    prop_assert_eq!(problem.status.as_u16(), 413);
                    prop_assert!(all.len() > most);
                }
            }
        }
    }
}
