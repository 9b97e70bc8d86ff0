//! At the system's limit of threads: an error in words, and never a wait without end or an abort.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::{Cluster, Kq, TERM, topic_with};

/// The most threads that a client of one broker is tried with: more than it needs.
const ENOUGH: u32 = 16;

/// A copy of kq that every user can run.
pub(super) fn copy_for_all() -> (Kq, std::path::PathBuf) {
    let holder = Kq::program("true", [""; 0]);
    let copy = holder.script("kq", std::fs::read(env!("CARGO_BIN_EXE_kq")).expect("read the program"));
    std::fs::set_permissions(holder.dir(), std::fs::Permissions::from_mode(0o755)).expect("open the folder");
    (holder, copy)
}

/// `kq ARGS…` that may have so many threads.
fn limited(cluster: &Cluster, kq: &Path, threads: u32, args: &[&str]) -> Kq {
    let limits = limits(threads);
    let kq = kq.to_str().expect("a path that is text");
    cluster.program(&limits[0], &limits[1..]).arg(kq).args(args)
}

/// The words before a program that may have so many threads and processes. The limit counts all of a user's, and
/// root has none: root takes the number of a user who runs nothing else, anyone else a namespace of their own.
pub(super) fn limits(threads: u32) -> Vec<String> {
    static USERS: AtomicU32 = AtomicU32::new(0);
    let user = 0x4000_0000 + (std::process::id() << 6) + USERS.fetch_add(1, Ordering::Relaxed) % 64;
    let user = format!("--reuid={user}");
    let alone: &[&str] = if rustix::process::geteuid().is_root() {
        &["setpriv", &user, "--clear-groups", "--inh-caps=-all"]
    } else {
        &["unshare", "--user"]
    };
    let limit = format!("--nproc={threads}");
    alone.iter().chain(&["prlimit", &limit]).map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_command_that_lacks_threads_says_so_at_once() {
    let cluster = Cluster::get();
    let (_holder, kq) = copy_for_all();
    let topic = topic_with(&cluster, "threads", 1, "a\n");
    let other = cluster.topic("threads");
    for args in [
        &["topic", "list"][..],
        &["topic", "create", &other],
        &["produce", &topic],
        &["worker", &topic, "--", "true"],
        &["dev"],
    ] {
        let lacking = limited(&cluster, &kq, 2, args).run().status(2);
        lacking.demand("the lack and what to do", |out| {
            out.stderr.contains("no more threads can be started: raise the limit (ulimit -u, pids.max")
                || out.stderr.contains("start the orphan guard: Resource temporarily unavailable")
        });
    }
}

#[test]
fn a_client_has_all_threads_that_it_needs_or_is_not_made() {
    let cluster = Cluster::get();
    let (_holder, kq) = copy_for_all();
    let topic = topic_with(&cluster, "threads", 1, "a\n");
    let enough = (1..=ENOUGH).find(|threads| {
        let out = limited(&cluster, &kq, *threads, &["consume", &topic, "-e"]).run();
        if out.code() != 0 {
            out.status(2).stderr_has("no more threads can be started");
            return false;
        }
        out.stdout("a\n");
        true
    });
    let enough = enough.expect("a number of threads that is enough");
    assert!(enough > 2, "{enough}");
    // A signal takes no thread more than there are. The client has a thread a broker, and a command that ends soon
    // may end before it has met them all.
    let brokers = u32::try_from(cluster.brokers().split(',').count()).expect("a number of brokers");
    let follow =
        limited(&cluster, &kq, enough + brokers - 1, &["consume", &topic, "--until", "@2999-01-01"]).spawn();
    follow.wait_for_stdout("a");
    follow.terminate();
    follow.wait().status(128 + TERM);
}
