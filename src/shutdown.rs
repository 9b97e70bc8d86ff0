//! Signals: the first INT, TERM or HUP asks to drain, the second ends the process at once; before there is
//! anything to drain, the first one does.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use crate::descriptors;
use crate::exit::{self, Exit};
use crate::stderr;
use crate::threads;

/// A request to stop, passed down as a value. Clones share one request.
#[derive(Clone, Default)]
pub(crate) struct Shutdown {
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
    /// The names of signals that are left ignored.
    ignored: Vec<&'static str>,
    /// What the first signal starts, on its own thread.
    first_act: Mutex<Option<FirstAct>>,
    /// Whether the second signal is ending the process.
    ending: AtomicBool,
    /// What the second signal still does before the process ends.
    last_act: Mutex<Option<Box<dyn Fn() + Send>>>,
}

/// Signals that stop kq where they were not ignored when it started. TERM always does.
const UNLESS_IGNORED: [(i32, &str); 2] = [(SIGHUP, "HUP"), (SIGINT, "INT")];

/// Replaces an inherited "ignore" of SIGCHLD: with it the kernel reaps children by itself, and kq can't
/// read the status of a command. It sets a handler and not the default action, which only unsafe code
/// could set. A program that kq starts has the default action in both cases.
fn hear_of_children() -> std::io::Result<()> {
    if descriptors::ignores(SIGCHLD) {
        signal_hook::flag::register(SIGCHLD, Arc::default())?;
    }
    Ok(())
}

impl Shutdown {
    /// Catches INT, TERM and HUP from here on, on a thread of its own. Until [`Shutdown::begin`] the
    /// first one ends the process.
    ///
    /// HUP and INT stay ignored where they were when kq started, and so they are in what it starts: `nohup` promises
    /// that kq outlives its terminal, and a background job of a shell without job control is not meant by Ctrl-C.
    pub(crate) fn install() -> anyhow::Result<Self> {
        hear_of_children().context("catch SIGCHLD")?;
        let (ignored, heard): (Vec<_>, Vec<_>) =
            UNLESS_IGNORED.into_iter().partition(|(signal, _)| descriptors::ignores(*signal));
        let ignored = ignored.into_iter().map(|(_, name)| name).collect();
        let this = Self { inner: Arc::new(Inner { ignored, ..Inner::default() }) };
        let heard = heard.into_iter().map(|(signal, _)| signal);
        let signals = SignalsInfo::<WithOrigin>::new(heard.chain([SIGTERM]));
        let mut signals = signals.context("catch signals")?;
        let inner = Arc::clone(&this.inner);
        threads::start("signals", move || {
            for origin in signals.forever() {
                let signal = origin.signal;
                inner.at.get_or_init(Instant::now);
                if inner.signal.load(Ordering::SeqCst) == 0 {
                    inner.from_kernel.store(origin.cause == Cause::Kernel, Ordering::SeqCst);
                }
                if inner.signal.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    exit::hurry(signal);
                    if !inner.begun.load(Ordering::SeqCst) {
                        let cause = anyhow!("stopped by signal {signal} before anything was done");
                        exit::end(Err(exit::with(Exit::Signal(signal), cause)));
                    }
                    inner.notify.notify_waiters();
                    if let Some(act) = inner.first_act.lock().ok().and_then(|mut act| act.take()) {
                        // At a limit of the system there is none, and the second signal ends the process.
                        let _ = threads::start("signal", move || act(signal));
                    }
                    continue;
                }
                inner.ending.store(true, Ordering::SeqCst);
                exit::leave_to_second_signal();
                if let Some(act) = inner.last_act.lock().ok().and_then(|mut act| act.take()) {
                    act();
                }
                stderr::tell_counts();
                stderr::flush();
                exit::at_once(Exit::Signal(signal));
            }
        })?;
        Ok(this)
    }

    /// Tells which signals stay ignored, where there are any: a line for `-v`.
    pub(crate) fn tell_ignored(&self, tell: impl FnOnce(String)) {
        let are = match self.inner.ignored.len() {
            0 => return,
            1 => "is",
            _ => "are",
        };
        let names = self.inner.ignored.join(" and ");
        tell(format!("{names} {are} ignored, as when kq was started; TERM stops it"));
    }

    /// From now on there is something to drain: the first signal no longer ends the process.
    pub(crate) fn begin(&self) {
        self.inner.begun.store(true, Ordering::SeqCst);
    }

    /// Asks to stop, as the first signal does.
    #[cfg(test)]
    pub(crate) fn request(&self, signal: i32) {
        self.inner.at.get_or_init(Instant::now);
        self.inner.signal.store(signal, Ordering::SeqCst);
        self.inner.notify.notify_waiters();
    }

    /// The signal that asked to stop, if one came.
    pub(crate) fn signal(&self) -> Option<i32> {
        match self.inner.signal.load(Ordering::Relaxed) {
            0 => None,
            n => Some(n),
        }
    }

    /// When that signal came: the limits on the shutdown count from then.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.inner.at.get().copied()
    }

    /// Whether the first signal came from the kernel: Ctrl-C, which all programs in the terminal's
    /// foreground get.
    pub(crate) fn came_from_the_kernel(&self) -> bool {
        self.inner.from_kernel.load(Ordering::SeqCst)
    }

    /// Waits for the first signal and returns its number.
    pub(crate) async fn requested(&self) -> i32 {
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

    /// Blocks where a second signal is ending the process. What that signal did, such as killing the
    /// commands, must not look like a normal end of the work, with another exit status.
    pub(crate) fn leave_the_end_to_a_second_signal(&self) {
        while self.inner.ending.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }

    /// Sets what the first signal starts, on its own thread, while kq drains.
    pub(crate) fn on_first_signal(&self, act: impl FnOnce(i32) + Send + 'static) {
        if let Ok(mut first_act) = self.inner.first_act.lock() {
            *first_act = Some(Box::new(act));
        }
    }

    /// Sets what the second signal does before the process ends: kill the commands that run.
    pub(crate) fn on_second_signal(&self, act: impl Fn() + Send + 'static) {
        if let Ok(mut last_act) = self.inner.last_act.lock() {
            *last_act = Some(Box::new(act));
        }
    }
}
