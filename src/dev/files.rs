//! The limit of open files: each connection and each log file is one.

use rustix::process::{Resource, Rlimit};

/// File descriptors that are kept for log files.
const FILES: usize = 256;

/// The limit of open files, as it was found and as it is while the broker runs.
pub(crate) struct Files {
    found: Rlimit,
    /// As high as the system allows.
    raised: Rlimit,
}

impl Files {
    /// Raises the limit. If that fails, it stays as it was found.
    pub(crate) fn raise() -> Self {
        let found = rustix::process::getrlimit(Resource::Nofile);
        let most = found.maximum.map_or(65_536, |most| most.min(65_536));
        let current = found.current.map(|now| now.max(most));
        let raised = Rlimit { current, maximum: found.maximum };
        let is_raised = rustix::process::setrlimit(Resource::Nofile, raised).is_ok();
        Self { raised: if is_raised { raised } else { found }, found }
    }

    /// The number of connections that there are file descriptors for.
    pub(crate) fn connections(&self) -> usize {
        let most = self.raised.current.and_then(|now| usize::try_from(now).ok()).unwrap_or(65_536);
        most.min(65_536).saturating_sub(FILES).max(64)
    }

    /// Calls `act` under the limit as it was found: a child process inherits the limit, and programs
    /// that use `select` can't have more than 1024 files.
    pub(crate) fn as_found<T>(&self, act: impl FnOnce() -> T) -> T {
        let set = |limit: &Rlimit| {
            // The limit only changes between these two values: neither can be refused.
            let _ = rustix::process::setrlimit(Resource::Nofile, *limit);
        };
        set(&self.found);
        let done = act();
        set(&self.raised);
        done
    }
}
