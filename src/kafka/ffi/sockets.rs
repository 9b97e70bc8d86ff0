//! The sockets of a client's connections: made at once, and with growing pauses where one fails after the other.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::time::{Duration, Instant};

/// So many sockets in a row are made at once: a broker's name may have several addresses.
const FREE: u32 = 4;
/// The pause before the next one; each further pause is twice as long …
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A connection that lasted so long beyond the pause was one. After it the attempts are counted from the start.
const LASTING: Duration = Duration::from_secs(3);

/// The attempts of one broker to connect, of which each is the end of the one before.
///
/// librdkafka's own `reconnect.backoff.ms` does not grow while anybody wants a connection to any broker: the
/// group's search for its coordinator and each question for metadata have `rd_kafka_connect_any` send an
/// `OP_CONNECT` as soon as a connection fails, which sets `rkb_ts_reconnect` to 0, and so
/// `rd_kafka_broker_update_reconnect_backoff` starts again (`rdkafka_broker.c`). All that is left between two
/// attempts is half of that property. A longer one is no way out: each start would wait for half of it.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    /// How many followed each other, and when the last was made.
    last: Option<(u32, Instant)>,
}

impl Attempts {
    /// How long to pause before the attempt that is wanted now.
    fn pause(&mut self, now: Instant) -> Duration {
        let pause_of = |count: u32| match count.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(doublings) => (FIRST_PAUSE * 2u32.pow(doublings.min(10))).min(LONGEST_PAUSE),
        };
        let count = match self.last {
            Some((count, last)) if now.saturating_duration_since(last) < LASTING => count + 1,
            _ => 0,
        };
        let pause = pause_of(count);
        self.last = Some((count, now + pause));
        pause
    }
}

thread_local! {
    /// Of the broker whose thread this is: librdkafka has one for each, which connects to nothing else.
    static ATTEMPTS: Cell<Attempts> = Cell::default();
}

/// Makes a socket, after a pause where there were many just now. No lock of librdkafka is held here
/// (`rd_kafka_broker_connect`), and the broker's thread has nothing to serve but what waits for this connection.
pub(super) unsafe extern "C" fn open(domain: c_int, kind: c_int, protocol: c_int, _: *mut c_void) -> c_int {
    let mut attempts = ATTEMPTS.get();
    let pause = attempts.pause(Instant::now());
    ATTEMPTS.set(attempts);
    if !pause.is_zero() {
        std::thread::sleep(pause);
    }
    // A command that a worker starts must not have it.
    #[cfg(target_os = "linux")]
    let kind = kind | libc::SOCK_CLOEXEC;
    // SAFETY: takes numbers; the descriptor that it gives is librdkafka's, and so is `errno`.
    let socket = unsafe { libc::socket(domain, kind, protocol) };
    #[cfg(not(target_os = "linux"))]
    if socket >= 0 {
        // SAFETY: the descriptor was just made, and nobody else has it.
        unsafe { libc::fcntl(socket, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    socket
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses before attempts that fail at once, in ms.
    fn pauses(attempts: &mut Attempts, now: &mut Instant, count: usize) -> Vec<u128> {
        let one = |_| {
            let pause = attempts.pause(*now);
            *now += pause + Duration::from_millis(1);
            pause.as_millis()
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn the_first_attempts_are_made_at_once_and_then_the_pause_doubles_up_to_a_second() {
        let (mut attempts, mut now) = (Attempts::default(), Instant::now());
        let all = [0, 0, 0, 0, 20, 40, 80, 160, 320, 640, 1000, 1000];
        assert_eq!(pauses(&mut attempts, &mut now, 12), all);
    }

    #[test]
    fn a_connection_that_lasted_is_made_again_at_once() {
        let (mut attempts, mut now) = (Attempts::default(), Instant::now());
        pauses(&mut attempts, &mut now, 30);
        now += LASTING;
        assert_eq!(pauses(&mut attempts, &mut now, 5), [0, 0, 0, 0, 20]);
    }
}
