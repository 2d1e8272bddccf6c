//! A PostgreSQL server of a campaign: its cluster's directory, its process, its synchronous standby; and a relay that can fall silent.
//!
//! Invariant: fsync stays on, and nothing here stops a server gently except where it says so.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::world::{run, wait};

/// Where Debian puts the servers of each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The user that PostgreSQL runs as; it refuses to run as root.
const USER: &str = "postgres";

/// The name of the database, its user and its password.
pub const NAME: &str = "waypost";

/// Maximum time of a start and of a promotion.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A server of PostgreSQL.
pub struct Database {
    programs: PathBuf,
    dir: PathBuf,
    /// Where it listens on loopback.
    pub port: u16,
    child: Option<Child>,
}

impl Database {
    /// Makes a cluster with an empty database.
    pub fn new(dir: &Path, port: u16) -> Result<Self> {
        let mut database = Self::at(dir, port)?;
        run(database.tool("initdb").args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions", "-D"]).arg(&database.dir))?;
        database.configure(&["max_connections = 200", "fsync = on", "synchronous_commit = on"])?;
        database.start()?;
        database.sql("postgres", &format!("CREATE ROLE {NAME} LOGIN PASSWORD '{NAME}'"))?;
        database.sql("postgres", &format!("CREATE DATABASE {NAME} OWNER {NAME}"))?;
        Ok(database)
    }

    /// Makes a standby of this server, starts it, and has each commit wait for it.
    pub fn with_standby(&self, dir: &Path, port: u16) -> Result<Self> {
        let mut standby = Self::at(dir, port)?;
        let mut copy = standby.tool("pg_basebackup");
        copy.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER, "--write-recovery-conf", "--checkpoint=fast", "-D"]);
        run(copy.arg(&standby.dir))?;
        standby.configure(&["synchronous_standby_names = ''"])?;
        standby.start()?;
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")?;
        self.sql("postgres", "SELECT pg_reload_conf()")?;
        wait("the standby to be synchronous", START_LIMIT, || {
            self.sql("postgres", "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").is_ok_and(|n| n.trim() == "1")
        })?;
        Ok(standby)
    }

    fn at(dir: &Path, port: u16) -> Result<Self> {
        let mut versions: Vec<PathBuf> = fs::read_dir(VERSIONS)
            .context("PostgreSQL (Debian's package postgresql) is missing")?
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .filter(|bin| bin.join("initdb").is_file())
            .collect();
        versions.sort();
        let programs = versions.pop().context("PostgreSQL's initdb is missing")?;
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        run(Command::new("chown").arg(USER).arg(dir))?;
        Ok(Self { programs, dir: dir.to_owned(), port, child: None })
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"]).arg(self.programs.join(name));
        command.current_dir("/");
        command
    }

    fn configure(&self, settings: &[&str]) -> Result<()> {
        let path = self.dir.join("postgresql.auto.conf");
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        for setting in settings {
            text.push_str(setting);
            text.push('\n');
        }
        Ok(fs::write(path, text)?)
    }

    /// Starts it, and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.join("log"))?;
        let mut command = self.tool("postgres");
        command.arg("-D").arg(&self.dir).args(["-p", &self.port.to_string(), "-k", "", "-c", "listen_addresses=127.0.0.1"]);
        self.child = Some(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?);
        let answers = || self.sql("postgres", "SELECT 1").is_ok();
        wait("PostgreSQL to answer", START_LIMIT, answers).with_context(|| self.tail())
    }

    /// SIGKILL; its other processes end by themselves.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGKILL, and its directory is gone.
    pub fn destroy(mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.dir);
    }

    /// Makes a standby the primary.
    pub fn promote(&self) -> Result<()> {
        self.sql("postgres", "SELECT pg_promote(true, 30)")?;
        wait("the standby to take writes", START_LIMIT, || {
            self.sql("postgres", "SELECT pg_is_in_recovery()").is_ok_and(|t| t.trim() == "f")
        })
    }

    /// Runs a statement as the superuser; returns its rows as text.
    pub fn sql(&self, database: &str, statement: &str) -> Result<String> {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER, "-d", database, "-XAtqc", statement]);
        let output = command.env("PGCONNECT_TIMEOUT", "5").stdin(Stdio::null()).output().context("psql cannot be run")?;
        if !output.status.success() {
            bail!("`{statement}`: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A way from a node to the database, which can fall silent without closing, as a network does.
pub struct Relay {
    /// Where the node connects.
    pub port: u16,
    is_silent: Arc<AtomicBool>,
}

impl Relay {
    /// A relay to a port on loopback. It ends with the process.
    pub fn start(to: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (port, is_silent) = (listener.local_addr()?.port(), Arc::new(AtomicBool::new(false)));
        let silent = is_silent.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, to))) else { continue };
                let (Ok(up), Ok(down)) = (client.try_clone(), server.try_clone()) else { continue };
                let (a, b) = (silent.clone(), silent.clone());
                thread::spawn(move || pump(up, server, &a));
                thread::spawn(move || pump(down, client, &b));
            }
        });
        Ok(Self { port, is_silent })
    }

    /// Passes nothing on, or passes on again what waits.
    pub fn set_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::SeqCst);
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, is_silent: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        while is_silent.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        let Some(octets) = buffer.get(..count) else { break };
        if to.write_all(octets).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free_port() -> u16 {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn a_promoted_standby_has_what_was_committed() {
        let dir = std::env::temp_dir().join(format!("waypost-load-postgres-{}", std::process::id()));
        let primary = Database::new(&dir.join("primary"), free_port()).unwrap();
        let standby = primary.with_standby(&dir.join("standby"), free_port()).unwrap();
        primary.sql(NAME, "CREATE TABLE t AS SELECT 7 AS n").unwrap();
        assert!(standby.sql(NAME, "INSERT INTO t VALUES (8)").is_err(), "a standby takes no writes");
        primary.destroy();
        standby.promote().unwrap();
        standby.sql(NAME, "INSERT INTO t VALUES (8)").unwrap();
        assert_eq!(standby.sql(NAME, "SELECT n FROM t ORDER BY n").unwrap(), "7\n8\n");
        drop(standby);
        let _ = fs::remove_dir_all(dir);
    }

    #[test]
    fn a_silent_relay_passes_nothing_on_until_it_speaks_again() {
        let end = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Relay::start(end.local_addr().unwrap().port()).unwrap();
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).unwrap();
        let (mut server, _) = end.accept().unwrap();
        server.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut octets = [0; 3];
        client.write_all(b"one").unwrap();
        server.read_exact(&mut octets).unwrap();
        relay.set_silent(true);
        client.write_all(b"two").unwrap();
        assert!(server.read_exact(&mut octets).is_err());
        relay.set_silent(false);
        server.read_exact(&mut octets).unwrap();
        assert_eq!(&octets, b"two");
    }
}
