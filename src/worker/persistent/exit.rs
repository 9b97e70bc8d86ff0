//! Waits for the end of a process, and leaves it to be reaped: until then no other process gets its number.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::Pid;
use tokio::io::unix::AsyncFd;

use crate::descriptors;
use crate::process::launcher;

/// How often it is looked whether the process has ended, where nothing tells.
const LOOK: Duration = Duration::from_millis(20);

/// Tells that a child has ended.
pub(super) struct Exit {
    of: launcher::Exit,
    /// Readable from then on, where the system has that.
    fd: Option<AsyncFd<OwnedFd>>,
}

impl Exit {
    /// Of a child that is not reaped yet.
    pub(super) fn of(pid: Pid) -> Self {
        let mut of = launcher::Exit::of(pid);
        let fd = of.fd.take().and_then(|fd| descriptors::await_readable(fd).ok());
        Self { of, fd }
    }

    /// Waits until it has ended. May be dropped and called again.
    pub(super) async fn come(&self) {
        if let Some(fd) = &self.fd
            && fd.readable().await.is_ok()
        {
            return;
        }
        while !self.of.has_come() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::process::Command;

    #[test]
    fn a_child_that_has_ended_keeps_its_number_until_it_is_reaped() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for has_descriptor in [true, false] {
                let mut command = Command::new("sh");
                command.args(["-c", "read line; exit 3"]).stdin(std::process::Stdio::piped());
                let mut child = command.spawn().unwrap();
                let mut exit = Exit::of(Pid::from_raw(child.id().unwrap() as i32).unwrap());
                if !has_descriptor {
                    exit.fd = None;
                }
                let early = tokio::time::timeout(LOOK, exit.come()).await;
                assert!(early.is_err(), "it waits for its input");
                drop(child.stdin.take());
                for _ in 0..2 {
                    exit.come().await;
                }
                // No error: there is still such a child.
                let look = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
                let pid = rustix::process::WaitId::Pid(Pid::from_raw(child.id().unwrap() as i32).unwrap());
                assert!(rustix::process::waitid(pid, look).unwrap().is_some());
                assert_eq!(child.wait().await.unwrap().code(), Some(3));
            }
        });
    }
}
