//! The server of a campaign: its configuration, its process, and what is left in its queue.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::{Security, Target};
use crate::crash::endless::{ACCOUNT, ALIASES, TARGETS};
use crate::peers::{MX_PORT, PASSWORD, SINK_PORT, SUBMISSION_PORT};
use crate::postgres::NAME;
use crate::world::{DNS, SERVER, SINK, World, greets};

/// Implicit TLS.
const SUBMISSIONS_PORT: u16 = 2465;

/// Maximum time of a start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How a server is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Mail is answered by the target's answer where that comes in time.
    pub cut_through: bool,
    /// A library that makes syncs do nothing.
    pub unsynced: bool,
    /// Seconds until a deferred recipient is tried again.
    pub retry_s: u32,
    /// One of several servers over one PostgreSQL; `None`: a server with SQLite.
    pub node: Option<Node>,
}

impl Setup {
    /// Each message is stored before its 250, with syncs, in SQLite.
    pub const fn queued(retry_s: u32) -> Self {
        Self { cut_through: false, unsynced: false, retry_s, node: None }
    }

    /// Where the server listens: each node at an address of its own.
    fn address(&self) -> Ipv4Addr {
        self.node.map_or(SERVER, |node| Ipv4Addr::new(127, 0, 0, 10 + node.number))
    }
}

/// A node of several over one PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// 1, 2, ...: the first makes the aliases.
    pub number: u8,
    /// The ports of the database and of its standby on loopback.
    pub ports: [Option<u16>; 2],
}

impl Node {
    fn options(self) -> String {
        let hosts: Vec<String> = self.ports.iter().flatten().map(|port| format!("127.0.0.1:{port}")).collect();
        let hosts = hosts.join(",");
        format!("[store]\nurl = \"postgres://{NAME}:{NAME}@{hosts}/{NAME}?target_session_attrs=read-write\"\nnode = \"n{}\"\n", self.number)
    }
}

/// A server whose process comes and goes.
pub struct Server {
    binary: PathBuf,
    /// Its folder.
    pub home: PathBuf,
    address: Ipv4Addr,
    configuration: PathBuf,
    unsynced: bool,
    child: Option<Child>,
    /// How long each start took.
    pub starts: Vec<Duration>,
}

impl Server {
    /// Writes the configuration and makes the directory; `data` may be on another file system.
    pub fn new(binary: &Path, home: &Path, data: &Path, world: &World, setup: Setup) -> Result<Self> {
        fs::create_dir_all(home)?;
        fs::create_dir_all(data)?;
        run_in(Command::new("chmod").arg("700").arg(data))?;
        let configuration = home.join("waypost.toml");
        fs::write(&configuration, options(home, data, world, setup))?;
        let server = Self {
            binary: binary.to_owned(),
            home: home.to_owned(),
            address: setup.address(),
            configuration,
            unsynced: setup.unsynced,
            child: None,
            starts: Vec::new(),
        };
        if setup.node.is_some_and(|node| node.number > 1) {
            return Ok(server);
        }
        server.command(&["domain", "add", "example.test"])?;
        for (alias, targets) in ALIASES {
            let targets = targets.iter().filter_map(|index| TARGETS.get(*index)).copied();
            server.command(&["alias", "add", alias].into_iter().chain(targets).collect::<Vec<_>>())?;
        }
        server.command(&["alias", "add", ACCOUNT, "me@sink.test"])?;
        let mut child = server.prepared(&["account", "add", ACCOUNT, "--sender", "*", "--password-stdin"]);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
        if let Some(mut input) = child.stdin.take() {
            use std::io::Write as _;
            writeln!(input, "{PASSWORD}")?;
        }
        if !child.wait()?.success() {
            bail!("the account could not be added");
        }
        // The directory is not what is tried here.
        run_in(&mut Command::new("sync"))?;
        Ok(server)
    }

    fn prepared(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(&self.configuration).args(words);
        command
    }

    /// Runs a command of the server's binary; returns its output.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        let output = self.prepared(words).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            bail!("waypost {} ended with {}: {}", words.join(" "), output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Where clients connect, by security.
    pub fn target(&self, world: &World, security: Security) -> Target {
        let port = match security {
            Security::Plain => MX_PORT,
            Security::StartTls => SUBMISSION_PORT,
            Security::Tls => SUBMISSIONS_PORT,
        };
        let login = (security != Security::Plain).then(|| (ACCOUNT.to_owned(), PASSWORD.to_owned()));
        Target { address: SocketAddr::new(self.address.into(), port), servers: 1, security, tls: world.tls.clone(), login, addresses: 50 }
    }

    /// Starts it.
    pub fn start(&mut self) -> Result<()> {
        self.start_under(&[])
    }

    /// Starts it under another program, such as strace and its options.
    pub fn start_under(&mut self, wrapper: &[&str]) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut words = wrapper.iter().map(Into::into).chain([self.binary.as_os_str().to_owned(), "--config".into()]);
        let program: std::ffi::OsString = words.next().context("no program")?;
        let mut command = Command::new(program);
        command.args(words).arg(&self.configuration).arg("serve").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if self.unsynced {
            command.env("LD_PRELOAD", "libeatmydata.so");
        }
        let began = Instant::now();
        self.child = Some(command.spawn().with_context(|| format!("{} cannot be run", self.binary.display()))?);
        let address = SocketAddr::new(self.address.into(), MX_PORT);
        while began.elapsed() < START_LIMIT {
            if let Some(status) = self.ended()? {
                bail!("the server ended with {status}: {}", self.tail());
            }
            if greets(address) {
                self.starts.push(began.elapsed());
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("no greeting within {} s: {}", START_LIMIT.as_secs(), self.tail())
    }

    /// Its status if it has ended.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.as_mut().map(Child::try_wait).transpose()?.flatten())
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// SIGSTOP: what is in a system call ends it and does not return from it.
    pub fn halt(&self) -> Result<()> {
        run_in(Command::new("kill").args(["-STOP", &self.id().to_string()]))
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Makes everything due until the queue is empty; an error when it is not in time.
    pub fn drain(&self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            // It may be refused while the server recovers.
            let _ = self.command(&["queue", "retry", "--all"]);
            thread::sleep(Duration::from_millis(500));
            let list: serde_json::Value = serde_json::from_str(&self.command(&["--json", "queue", "list"])?)?;
            let items = list.get("items").and_then(serde_json::Value::as_array).context("`queue list` has no items")?;
            if items.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("the queue is not empty after {} s, first {}", limit.as_secs(), items.first().unwrap_or_default());
            }
        }
    }

    /// Number of panics that it has caught since its start.
    pub fn bugs(&self) -> Result<u64> {
        let status: serde_json::Value = serde_json::from_str(&self.command(&["--json", "status"])?)?;
        status.get("bugs").and_then(serde_json::Value::as_u64).context("`status` has no bugs")
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(4)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run_in(command: &mut Command) -> Result<()> {
    crate::world::run(command)
}

fn options(home: &Path, data: &Path, world: &World, setup: Setup) -> String {
    let (home, data, certificate, key) = (home.display(), data.display(), world.certificate.display(), world.key.display());
    let mode = if setup.cut_through { "mode = \"cut-through\"\ncut_through_timeout_s = 1" } else { "mode = \"queue\"" };
    let (retry_s, server) = (setup.retry_s, setup.address());
    let store = setup.node.map(Node::options).unwrap_or_default();
    format!(
        r#"hostname = "mx.example.test"
data_dir = "{data}"
admin_socket = "{home}/admin.sock"
submit_socket = "{home}/submit.sock"
postmaster = "t0@example.test"
[listen]
mx = ["{server}:{MX_PORT}"]
submission = ["{server}:{SUBMISSION_PORT}"]
submissions = ["{server}:{SUBMISSIONS_PORT}"]
http = []
https = []
[tls]
certificate = "{certificate}"
key = "{key}"
[limits]
sessions_per_client = 10000
[submission]
recipients_per_hour = 10000000
new_recipients_per_day = 10000000
[delivery]
host_pause_s = 1
loopback = true
[retry]
waits_s = [{retry_s}]
lifetime = "30d"
[[route]]
host = "[{SINK}]"
port = {SINK_PORT}
tls = "none"
verify = false
[dns]
servers = ["{DNS}:53"]
validate = "off"
[forward]
domain = "fwd.example.test"
unauthenticated = "accept"
{mode}
{store}"#
    )
}
