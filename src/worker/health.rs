//! Whether commands can be started: what `/readyz` says where the machine, or the program, does not let them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use crate::lock::{Guard, Lock};

/// Why no command can be started, where none can.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Whether there is a reason: asked at each start and at each end.
    is_lacking: AtomicBool,
    lacks: Lock<Lacks>,
}

/// What is lacking, each kind by itself.
#[derive(Debug, Default)]
struct Lacks {
    /// No process was started: the machine or the file did not let it.
    start: Option<Lack>,
    /// One was started, and its status said that the command can't be run.
    run: Option<Lack>,
}

#[derive(Debug)]
struct Lack {
    why: String,
    /// When it was found last.
    seen: Instant,
}

impl Health {
    /// A command could not be started.
    pub(super) fn cannot_start(&self, why: &str, now: Instant) {
        self.change(|lacks| lacks.start = Some(Lack { why: why.to_owned(), seen: now }));
    }

    /// A command was started, and said by its status that it can't be run.
    pub(super) fn cannot_run(&self, why: &str, now: Instant) {
        self.change(|lacks| lacks.run = Some(Lack { why: why.to_owned(), seen: now }));
    }

    /// A command was started: how it ends is not known yet.
    pub(super) fn started(&self) {
        if self.is_lacking.load(Relaxed) {
            self.change(|lacks| lacks.start = None);
        }
    }

    /// A command that was started at `began` ran, whatever became of its record. One that was started before
    /// something was lacking says nothing.
    pub(super) fn ran(&self, began: Instant) {
        if self.is_lacking.load(Relaxed) {
            self.change(|lacks| {
                for lack in [&mut lacks.start, &mut lacks.run] {
                    lack.take_if(|lack| lack.seen <= began);
                }
            });
        }
    }

    /// Nothing is to be started any more, so nothing would show that nothing is lacking.
    pub(super) fn forget(&self) {
        self.change(|lacks| *lacks = Lacks::default());
    }

    /// Why none can be started.
    pub(super) fn lack(&self) -> Option<String> {
        let Lacks { start, run } = &*self.lacks.lock();
        start.as_ref().or(run.as_ref()).map(|lack| lack.why.clone())
    }

    fn change(&self, change: impl FnOnce(&mut Lacks)) {
        let mut lacks: Guard<'_, Lacks> = self.lacks.lock();
        change(&mut lacks);
        self.is_lacking.store(lacks.start.is_some() || lacks.run.is_some(), Relaxed);
    }
}
