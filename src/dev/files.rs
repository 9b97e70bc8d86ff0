//! The limit of open files, and how connections and logs share it.

use rustix::process::{Resource, Rlimit};

/// Files that are neither of a connection nor of a log, and some to spare.
const OTHER: usize = 32;
/// The most files of logs that are kept open. One that is closed is opened again when it is used.
const LOGS: usize = 1024;

/// The files of logs that may be open at once.
pub(crate) fn of_logs() -> usize {
    (limit() / 4).min(LOGS)
}

fn limit() -> usize {
    let now = rustix::process::getrlimit(Resource::Nofile).current;
    now.and_then(|now| usize::try_from(now).ok()).unwrap_or(65_536).min(65_536)
}

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
    pub(crate) fn connections() -> usize {
        limit().saturating_sub(OTHER + of_logs()).max(16)
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
