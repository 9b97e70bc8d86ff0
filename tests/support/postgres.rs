//! A `PostgreSQL` server of a test's own: a new cluster in a temporary folder, on a Unix socket only.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::kq::Kq;
use super::running::{INT, Running};
use super::wait::wait_until;

/// How long it may take to make a cluster, to start it, and to stop it.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a server may live: longer than any test.
const LIFE: Duration = Duration::from_mins(10);
/// Root may not run the server: then it is nobody, who has this number on every Linux.
const NOBODY: u32 = 65_534;

/// A server that lives as long as this value.
pub struct Postgres {
    server: Option<Running>,
    home: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it; anybody on this machine may connect who may enter its folder.
    #[track_caller]
    pub fn start() -> Self {
        let home = tempfile::Builder::new().prefix("kq-pg-").tempdir().expect("make a temporary folder");
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755))
            .expect("open the folder");
        if is_root() {
            std::os::unix::fs::chown(home.path(), Some(NOBODY), Some(NOBODY)).expect("give the folder away");
        }
        let data = home.path().join("data");
        let as_postgres =
            ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "-D"];
        unprivileged("initdb").args(as_postgres).arg(&data).limit(PATIENCE).run().success();
        let socket = format!("unix_socket_directories={}", home.path().display());
        let server = unprivileged("postgres")
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", &socket, "-D"])
            .arg(&data)
            .limit(LIFE)
            .spawn();
        let started = Self { server: Some(server), home };
        let ready = || started.psql("select 1").run().code() == 0;
        wait_until("PostgreSQL answers", PATIENCE, ready);
        started
    }

    /// The folder of its socket: `PGHOST`.
    pub fn host(&self) -> &Path {
        self.home.path()
    }

    /// `psql` with this SQL, whose stdout is the rows alone.
    pub fn psql(&self, sql: &str) -> Kq {
        let bare = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-c", sql];
        Kq::program("psql", bare).env("PGHOST", self.host())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // INT ends its connections too. Killed, it would leave shared memory behind.
        let Some(server) = self.server.take() else { return };
        server.signal(INT);
        if std::thread::panicking() {
            std::thread::sleep(Duration::from_secs(1));
        } else {
            server.wait().success();
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program of the server, as a user who is not root, in a folder that this user may enter.
#[track_caller]
fn unprivileged(program: &str) -> Kq {
    let program = server_program(program);
    let run = if is_root() {
        let drop = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()];
        Kq::program("setpriv", drop).arg(program)
    } else {
        Kq::program(program, [] as [OsString; 0])
    };
    run.current_dir("/")
}

/// Debian keeps these out of PATH, in a folder for each version: the latest one's.
#[track_caller]
fn server_program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    let mut folders = std::env::split_paths(&path).chain(versions.into_iter().rev());
    folders
        .find_map(|folder| Some(folder.join(name)).filter(|program| program.is_file()))
        .unwrap_or_else(|| panic!("{name} of a PostgreSQL server is not installed: .ci/run tools"))
}
