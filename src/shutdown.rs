//! Signals: the first INT, TERM or HUP asks to drain, the second ends at once; before there is
//! anything to drain the first one does.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use crate::exit::{self, Exit};

/// A request to stop, passed down as a value. Clones share one request.
#[derive(Clone, Default)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

/// What is done with the number of the first signal.
type FirstAct = Box<dyn FnOnce(i32) + Send>;

#[derive(Default)]
struct Inner {
    /// The first signal's number, 0 while there was none.
    signal: AtomicI32,
    /// When it came.
    at: OnceLock<Instant>,
    /// Whether the first signal came from the kernel, as Ctrl-C at the terminal does.
    from_kernel: AtomicBool,
    /// Whether there is something to drain.
    begun: AtomicBool,
    notify: tokio::sync::Notify,
    /// What the first signal starts, on a thread of its own.
    first_act: Mutex<Option<FirstAct>>,
    /// Whether the second signal is ending the process.
    ending: AtomicBool,
    /// What the second signal still does before the process ends.
    last_act: Mutex<Option<Box<dyn Fn() + Send>>>,
}

/// Takes an inherited "ignore" back from SIGCHLD: with it the kernel reaps children by itself, and
/// nobody learns how a command ended. A handler instead of the default, which only unsafe code
/// could set; either is the default in what is started.
fn hear_of_children() -> std::io::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Where that can't be told, a handler does no harm.
    if ignored.is_none_or(|mask| mask >> (SIGCHLD - 1) & 1 == 1) {
        signal_hook::flag::register(SIGCHLD, Arc::default())?;
    }
    Ok(())
}

impl Shutdown {
    /// Catches INT, TERM and HUP from here on, on a thread of its own. Until [`Shutdown::begin`] the
    /// first one ends the process.
    ///
    /// A signal that was ignored when kq started (`nohup`, or a background job
    /// of a shell without job control) stays caught all the same: asking kq to stop stops it.
    pub fn install() -> anyhow::Result<Self> {
        let this = Self::default();
        hear_of_children().context("catch SIGCHLD")?;
        let signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM, SIGHUP]);
        let mut signals = signals.context("catch signals")?;
        let inner = Arc::clone(&this.inner);
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for origin in signals.forever() {
                    let signal = origin.signal;
                    inner.at.get_or_init(Instant::now);
                    if inner.signal.load(Ordering::SeqCst) == 0 {
                        inner.from_kernel.store(origin.cause == Cause::Kernel, Ordering::SeqCst);
                    }
                    if inner.signal.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                        if !inner.begun.load(Ordering::SeqCst) {
                            let cause = anyhow!("stopped by signal {signal} before anything was done");
                            exit::end(Err(exit::with(Exit::Signal(signal), cause)));
                        }
                        inner.notify.notify_waiters();
                        if let Some(act) = inner.first_act.lock().ok().and_then(|mut act| act.take()) {
                            std::thread::spawn(move || act(signal));
                        }
                        continue;
                    }
                    inner.ending.store(true, Ordering::SeqCst);
                    if let Some(act) = inner.last_act.lock().ok().and_then(|mut act| act.take()) {
                        act();
                    }
                    exit::at_once(Exit::Signal(signal));
                }
            })
            .context("start the signal thread")?;
        Ok(this)
    }

    /// From here on something is taken that wants to be drained.
    pub fn begin(&self) {
        self.inner.begun.store(true, Ordering::SeqCst);
    }

    /// The signal that asked to stop, if one came.
    pub fn signal(&self) -> Option<i32> {
        match self.inner.signal.load(Ordering::Relaxed) {
            0 => None,
            n => Some(n),
        }
    }

    /// Asks to stop as this signal does.
    #[cfg(test)]
    pub fn request(&self, signal: i32) {
        self.inner.at.get_or_init(Instant::now);
        self.inner.signal.store(signal, Ordering::Relaxed);
    }

    /// When that signal came: what a limit on the ending is counted from.
    pub fn since(&self) -> Option<Instant> {
        self.inner.at.get().copied()
    }

    /// Whether the first signal came from the kernel: Ctrl-C, which reaches all programs in the
    /// terminal's foreground alike.
    pub fn came_from_the_kernel(&self) -> bool {
        self.inner.from_kernel.load(Ordering::SeqCst)
    }

    /// Waits for the first signal and gives its number.
    pub async fn requested(&self) -> i32 {
        loop {
            let notified = self.inner.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Some(signal) = self.signal() {
                return signal;
            }
            notified.await;
        }
    }

    /// Leaves the end to the second signal where there was one: what it did, such as killing the
    /// commands, must not look like an end of the work that returns with a status of its own.
    pub fn leave_the_end_to_a_second_signal(&self) {
        while self.inner.ending.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }

    /// What the first signal starts beside the draining, on a thread of its own.
    pub fn on_first_signal(&self, act: impl FnOnce(i32) + Send + 'static) {
        if let Ok(mut first_act) = self.inner.first_act.lock() {
            *first_act = Some(Box::new(act));
        }
    }

    /// What the second signal does before the process ends: kill the commands that run.
    pub fn on_second_signal(&self, act: impl Fn() + Send + 'static) {
        if let Ok(mut last_act) = self.inner.last_act.lock() {
            *last_act = Some(Box::new(act));
        }
    }
}
