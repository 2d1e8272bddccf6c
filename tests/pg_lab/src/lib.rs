//! PostgreSQL servers for tests: Debian's programs, one server for each test.
//!
//! `initdb` runs once for a machine; each server begins with a copy of what it made. Invariant: a server ends with its owner, by its process id, and at the
//! latest with the thread that started it.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test that cannot start its server fails")]

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use tempfile::TempDir;

/// The role of all connections.
const ROLE: &str = "waypost";

/// The database of a new server.
const DATABASE: &str = "waypost";

/// Maximum time for a start.
const START_MAX: Duration = Duration::from_secs(60);

/// What all servers have: little memory, no socket but their own.
const SETTINGS: &str = "
listen_addresses = ''
shared_buffers = 32MB
max_connections = 60
max_wal_size = 256MB
log_min_messages = warning
logging_collector = off
";

/// A server.
#[derive(Debug)]
pub struct PgServer {
    home: TempDir,
    child: Option<Child>,
    /// Settings of this server, as in postgresql.conf.
    settings: String,
}

fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed (cargo xtask machine)");
    let mut found: Vec<PathBuf> =
        versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).filter(|bin| bin.join("postgres").exists()).collect();
    found.sort();
    found.pop().expect("PostgreSQL is installed (cargo xtask machine)")
}

/// The user of the servers, since PostgreSQL refuses to run as root; `None` if this process is not root.
fn user() -> Option<User> {
    if !nix::unistd::Uid::effective().is_root() {
        return None;
    }
    Some(User::from_name("nobody").ok().flatten().expect("there is a user nobody"))
}

/// A program as the user of the servers, which ends with this thread.
fn as_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(user) = user() {
        command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid)).arg("--clear-groups");
    }
    command.arg(program).current_dir("/").env("LC_ALL", "C").env("TZ", "UTC");
    command
}

/// Gives a directory to the user of the servers.
fn give(path: &Path) {
    if let Some(user) = user() {
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
}

/// A data directory as `initdb` makes it; made once.
fn template() -> PathBuf {
    let place = std::env::temp_dir().join(format!("waypost-initdb-{}", programs().parent().unwrap().file_name().unwrap().display()));
    let done = place.join("done");
    if !done.exists() {
        let making = tempfile::Builder::new().prefix("waypost-initdb-").tempdir().unwrap();
        give(making.path());
        fs::set_permissions(making.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let data = making.path().join("data");
        let made = as_user(&programs().join("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .args(["--username", ROLE, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions"])
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        fs::write(making.path().join("done"), "").unwrap();
        // Another process may have been faster; its directory is as good.
        let _ = fs::rename(making.keep(), &place);
    }
    place.join("data")
}

impl Default for PgServer {
    fn default() -> Self {
        Self::start("fsync = off\n")
    }
}

impl PgServer {
    /// Starts a server with settings as in postgresql.conf.
    pub fn start(settings: &str) -> Self {
        let home = tempfile::Builder::new().prefix("waypost-pg-").tempdir().unwrap();
        fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        give(home.path());
        let copied = Command::new("cp").arg("-a").arg(template()).arg(home.path().join("data")).status().unwrap();
        assert!(copied.success());
        let mut server = Self { home, child: None, settings: settings.to_owned() };
        fs::DirBuilder::new().mode(0o777).create(server.home.path().join("socket")).unwrap();
        give(&server.home.path().join("socket"));
        server.resume();
        server.sql_in("postgres", &format!("CREATE DATABASE {DATABASE}"));
        server
    }

    /// A standby of this server, whose commits wait for it from now on.
    #[allow(clippy::disallowed_methods)] // the time of a start is not the time of the mail flow
    pub fn synchronous_standby(&self) -> Self {
        let home = tempfile::Builder::new().prefix("waypost-pg-").tempdir().unwrap();
        fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        give(home.path());
        let socket = self.home.path().join("socket");
        let copied = as_user(&programs().join("pg_basebackup"))
            .arg("-h")
            .arg(&socket)
            .args(["-U", ROLE, "-c", "fast", "-X", "stream", "--no-sync", "-D"])
            .arg(home.path().join("data"))
            .output()
            .unwrap();
        assert!(copied.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&copied.stderr));
        fs::write(home.path().join("data/standby.signal"), "").unwrap();
        give(&home.path().join("data/standby.signal"));
        let from = format!("primary_conninfo = 'host={} user={ROLE} application_name=standby'\n", socket.display());
        let mut standby = Self { home, child: None, settings: format!("{}{from}", self.settings) };
        fs::DirBuilder::new().mode(0o777).create(standby.home.path().join("socket")).unwrap();
        give(&standby.home.path().join("socket"));
        standby.resume();
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("SELECT pg_reload_conf()");
        let end = Instant::now() + START_MAX;
        while self.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "1" {
            assert!(Instant::now() < end, "the standby does not follow: {}", fs::read_to_string(standby.log()).unwrap_or_default());
            thread::sleep(Duration::from_millis(50));
        }
        standby
    }

    /// Makes a standby the server that takes writes.
    pub fn promote(&self) {
        assert_eq!(self.sql_in("postgres", "SELECT pg_promote(true, 60)"), "t");
    }

    /// Starts it again, with the same data.
    #[allow(clippy::disallowed_methods)] // the time of a start is not the time of the mail flow
    pub fn resume(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let socket = format!("unix_socket_directories = '{}'\n", self.home.path().join("socket").display());
        fs::write(self.data().join("postgresql.auto.conf"), format!("{SETTINGS}{socket}{}", self.settings)).unwrap();
        give(&self.data().join("postgresql.auto.conf"));
        let log = fs::File::options().create(true).append(true).open(self.log()).unwrap();
        let child =
            as_user(&programs().join("postgres")).arg("-D").arg(self.data()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.unwrap());
        let end = Instant::now() + START_MAX;
        while !self.answers() {
            assert!(Instant::now() < end, "PostgreSQL does not answer: {}", fs::read_to_string(self.log()).unwrap_or_default());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        self.psql("postgres").args(["-c", "SELECT 1"]).output().is_ok_and(|out| out.status.success())
    }

    /// Sets the settings of the next start.
    pub fn configure(&mut self, settings: &str) {
        settings.clone_into(&mut self.settings);
    }

    /// Moves the log of a stopped server (`pg_wal`) to another directory, which the user of the servers can reach.
    pub fn move_log(&mut self, to: &Path) {
        assert!(self.child.is_none(), "it runs");
        let log = self.data().join("pg_wal");
        let copied = Command::new("cp").arg("-a").arg(&log).arg(to).status().unwrap();
        assert!(copied.success());
        fs::remove_dir_all(&log).unwrap();
        std::os::unix::fs::symlink(to.join("pg_wal"), &log).unwrap();
    }

    /// After a crash of one of its processes: waits until it answers, and starts it again if it has ended.
    #[allow(clippy::disallowed_methods)] // the time of a start is not the time of the mail flow
    pub fn recover(&mut self) {
        let end = Instant::now() + START_MAX;
        while !self.answers() {
            if self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_some())) {
                self.child = None;
                return self.resume();
            }
            assert!(Instant::now() < end, "PostgreSQL does not recover: {}", fs::read_to_string(self.log()).unwrap_or_default());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// The address of its database, for `store.url`.
    pub fn url(&self) -> String {
        self.url_of(ROLE, DATABASE)
    }

    /// The address of its database and that of another server, of which one takes writes.
    pub fn url_with(&self, other: &Self) -> String {
        format!("postgres://{ROLE}@{},{}/{DATABASE}", self.host(), other.host())
    }

    /// Its socket, as a host in an address.
    fn host(&self) -> String {
        escaped(&self.home.path().join("socket"))
    }

    /// The address of its database over a cable.
    pub fn url_over(&self, cable: &Cable) -> String {
        format!("postgres://{ROLE}@{}/{DATABASE}", escaped(cable.home.path()))
    }

    /// The file of its socket.
    pub fn socket(&self) -> PathBuf {
        self.home.path().join("socket/.s.PGSQL.5432")
    }

    /// The address for another role and database.
    pub fn url_of(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@{}/{database}", self.host())
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(programs().join("psql"));
        command.arg("-h").arg(self.home.path().join("socket")).args([
            "-U",
            ROLE,
            "-d",
            database,
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
        ]);
        command
    }

    /// Runs SQL in the database. Returns its answer: a row a line, with a bar between columns.
    pub fn sql(&self, sql: &str) -> String {
        self.sql_in(DATABASE, sql)
    }

    /// Runs SQL in another database.
    pub fn sql_in(&self, database: &str, sql: &str) -> String {
        let out = self.psql(database).args(["-c", sql]).output().unwrap();
        assert!(out.status.success(), "{sql}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut child) = self.child.take() {
            let _ = kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal);
            let _ = child.wait();
        }
    }

    /// Stops it; connections are broken.
    pub fn stop(&mut self) {
        self.end(Signal::SIGINT);
    }

    /// Kills it, as a crash does. Its other processes end by themselves.
    pub fn crash(&mut self) {
        self.end(Signal::SIGKILL);
        // The postmaster's children notice within a moment, and a new start waits for them.
        thread::sleep(Duration::from_millis(300));
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
    }

    /// Lets none of its processes run, as if the network were cut.
    pub fn freeze(&self, is_frozen: bool) {
        let signal = if is_frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        let Some(child) = &self.child else { return };
        let parent = child.id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        let all = children.split_whitespace().filter_map(|id| id.parse().ok()).chain([i32::try_from(parent).unwrap()]);
        for id in all {
            let _ = kill(Pid::from_raw(id), signal);
        }
    }
}

/// A directory as a host in an address.
fn escaped(directory: &Path) -> String {
    directory.display().to_string().replace('/', "%2F")
}

/// A cable between a client and a server, which can be cut: then nothing arrives, and nobody is told.
#[derive(Debug)]
pub struct Cable {
    home: TempDir,
    is_cut: Arc<AtomicBool>,
    /// Whether the server hears, and its answers do not arrive.
    is_deaf: Arc<AtomicBool>,
    /// The open connections.
    ends: Arc<Mutex<Vec<UnixStream>>>,
}

impl Cable {
    /// Lays a cable to a server.
    pub fn to(server: &PgServer) -> Self {
        let home = tempfile::Builder::new().prefix("waypost-cable-").tempdir().unwrap();
        let (is_cut, is_deaf, to) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)), server.socket());
        let ends: Arc<Mutex<Vec<UnixStream>>> = Arc::default();
        let listener = UnixListener::bind(home.path().join(".s.PGSQL.5432")).unwrap();
        let (cut, deaf, open) = (is_cut.clone(), is_deaf.clone(), ends.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, UnixStream::connect(&to)) else { continue };
                open.lock().unwrap().push(client.try_clone().unwrap());
                for (from, into, more) in [(&client, &server, None), (&server, &client, Some(&deaf))] {
                    let (from, into, cut, more) = (from.try_clone().unwrap(), into.try_clone().unwrap(), cut.clone(), more.cloned());
                    let holds = move || cut.load(Ordering::SeqCst) || more.as_ref().is_some_and(|more| more.load(Ordering::SeqCst));
                    thread::spawn(move || carry(&from, &into, &holds));
                }
            }
        });
        Self { home, is_cut, is_deaf, ends }
    }

    /// Lets the server hear and holds its answers, or lets them through.
    pub fn deafen(&self, is_deaf: bool) {
        self.is_deaf.store(is_deaf, Ordering::SeqCst);
    }

    /// Breaks all connections; new ones work.
    pub fn sever(&self) {
        for end in self.ends.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Cuts or mends it.
    pub fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }
}

/// Carries octets one way, while the cable is whole.
fn carry(mut from: &UnixStream, mut into: &UnixStream, holds: &dyn Fn() -> bool) {
    let mut octets = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut octets) {
        while holds() {
            thread::sleep(Duration::from_millis(10));
        }
        if into.write_all(octets.get(..count).unwrap_or_default()).is_err() {
            break;
        }
    }
    let _ = into.shutdown(Shutdown::Both);
}

impl Drop for PgServer {
    fn drop(&mut self) {
        self.freeze(false);
        self.end(Signal::SIGQUIT);
        self.end(Signal::SIGKILL);
    }
}
