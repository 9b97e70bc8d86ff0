//! The commands' stdout on kq's own: each piece whole, a record done only after its piece is out.

use std::io::{self, Write as _};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};

use crate::log::Log;

type Reply = oneshot::Sender<bool>;

/// The sending end: cheap to clone.
#[derive(Clone)]
pub struct Printer {
    pieces: mpsc::Sender<(Vec<u8>, Reply)>,
}

impl Printer {
    /// Starts the writing thread. `failed` hears of the first piece that could not be written.
    pub fn start(log: Log, failed: impl Fn(&io::Error) + Send + 'static) -> anyhow::Result<Self> {
        let (pieces, mut inbox) = mpsc::channel::<(Vec<u8>, Reply)>(64);
        let live = log.live().filter(|live| live.holds_stdout());
        std::thread::Builder::new()
            .name("stdout".into())
            .spawn(move || {
                let mut stdout = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
                let mut written: Vec<Reply> = Vec::new();
                let mut intact = true;
                while let Some(first) = inbox.blocking_recv() {
                    let mut next = Some(first);
                    // Written while there is more, flushed when there is not.
                    let mut outcome = Ok(());
                    while let Some((piece, reply)) = next {
                        outcome = outcome.and_then(|()| match live {
                            None => stdout.write_all(&piece),
                            // A terminal: each piece at once, past the live line.
                            Some(live) => live.past(!piece.ends_with(b"\n"), || {
                                stdout.write_all(&piece).and_then(|()| stdout.flush())
                            }),
                        });
                        written.push(reply);
                        next = (written.len() < 1024).then(|| inbox.try_recv().ok()).flatten();
                    }
                    outcome = outcome.and_then(|()| stdout.flush());
                    if let Err(e) = &outcome
                        && intact
                    {
                        intact = false;
                        failed(e);
                    }
                    for reply in written.drain(..) {
                        let _ = reply.send(intact);
                    }
                }
            })
            .context("start the stdout thread")?;
        Ok(Self { pieces })
    }

    /// Writes one piece; true once it is out.
    pub async fn print(&self, piece: Vec<u8>) -> bool {
        let (reply, answer) = oneshot::channel();
        self.pieces.send((piece, reply)).await.is_ok() && answer.await.unwrap_or(false)
    }
}

/// Whether whoever read stdout has gone: what no write would tell while nothing is written.
pub fn stdout_is_closed() -> bool {
    let stdout = io::stdout();
    let mut fds = [rustix::event::PollFd::new(&stdout, rustix::event::PollFlags::empty())];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::event::poll(&mut fds, Some(&now)), Ok(1..))
        && fds[0].revents().contains(rustix::event::PollFlags::ERR)
}

/// What a failed write to stdout means for the worker.
pub fn stop_for(e: &io::Error) -> super::shared::Stop {
    if e.kind() == io::ErrorKind::BrokenPipe {
        return super::shared::Stop::Closed;
    }
    super::shared::Stop::Failed(format!(
        "write to stdout: {e} (the records whose output was not written are not committed)"
    ))
}

/// A printer that reports to this worker.
pub fn for_worker(shared: &Arc<super::shared::Shared>) -> anyhow::Result<Printer> {
    let shared = Arc::clone(shared);
    Printer::start(shared.log, move |e| shared.stop(stop_for(e)))
}
