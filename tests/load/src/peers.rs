//! A server under test: its script in benches/peers, its control group, its folder.
//!
//! A script gets the commands `start`, `stop`, `reset`, `flush`, `list` and `version`, and in its environment where to listen, where to deliver, and which files are
//! its own (docs/benchmarks.md). Invariant: what `stop` leaves running is killed, and nothing outside of the server's group is.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::counters::Group;
use crate::sink::Sink;
use crate::world::{SERVER, SINK, SLOW, World, greets, wait};

/// The port where a server takes mail for its domain.
pub const MX_PORT: u16 = 2525;
/// The port of submission.
pub const SUBMISSION_PORT: u16 = 2587;
/// The port of both sinks.
pub const SINK_PORT: u16 = 2526;
/// The account's login.
pub const LOGIN: &str = "user@example.test";
/// Its password.
pub const PASSWORD: &str = "secret-pass-1";

/// The server that only takes mail: what client and loopback cost.
const NULL: &str = "null";

/// A server under test.
pub struct Peer {
    /// As it is named on the command line: `postfix`, `waypost:cut`.
    pub label: String,
    /// Its control group.
    pub group: Group,
    script: PathBuf,
    variant: String,
    home: PathBuf,
    binary: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// Is running in place of a server's processes.
    null: Vec<Sink>,
}

/// The binaries that scripts get.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The build to measure.
    pub waypost: PathBuf,
    /// An older build, measured as the peer `against`.
    pub against: Option<PathBuf>,
}

impl Peer {
    /// Finds a peer's script. `disk` holds its files.
    pub fn new(label: &str, world: &World, disk: &Path, scripts: &Path, binaries: &Binaries) -> Result<Self> {
        let (name, variant) = label.split_once(':').unwrap_or((label, "default"));
        let (script, binary) = match (name, &binaries.against) {
            ("against", Some(binary)) => ("waypost", binary.clone()),
            ("against", None) => bail!("the peer `against` needs --against BINARY"),
            _ => (name, binaries.waypost.clone()),
        };
        let script = scripts.join(format!("{script}.sh"));
        if name != NULL && !script.is_file() {
            bail!("no peer `{name}`: {} is missing", script.display());
        }
        let environment = vec![
            ("CERT", world.certificate.display().to_string()),
            ("KEY", world.key.display().to_string()),
            ("SINK_IP", SINK.to_string()),
            ("SLOW_IP", SLOW.to_string()),
            ("SINK_PORT", SINK_PORT.to_string()),
            ("IN_PORT", MX_PORT.to_string()),
            ("SUB_PORT", SUBMISSION_PORT.to_string()),
            ("AUTH_USER", LOGIN.to_owned()),
            ("AUTH_PASS", PASSWORD.to_owned()),
        ];
        let home = disk.join(label.replace(':', "-"));
        std::fs::create_dir_all(&home)?;
        let group = Group::new(&label.replace(':', "-"));
        Ok(Self { label: label.to_owned(), group, script, variant: variant.to_owned(), home, binary, environment, null: Vec::new() })
    }

    /// Where it takes mail for its domain.
    pub fn mx(&self) -> SocketAddr {
        SocketAddr::new(SERVER.into(), MX_PORT)
    }

    /// Where it takes submissions.
    pub fn submission(&self) -> SocketAddr {
        SocketAddr::new(SERVER.into(), SUBMISSION_PORT)
    }

    /// Servers that share its work, at so many ports from [`Self::mx`] and [`Self::submission`] on: `waypost:pg4` has four.
    pub fn servers(&self) -> u16 {
        self.variant.strip_prefix("pg").and_then(|number| number.parse().ok()).unwrap_or(1)
    }

    /// Its name and version.
    pub fn version(&self) -> Result<String> {
        if self.label == NULL {
            return Ok("only takes mail".to_owned());
        }
        let output = self.command("version", false).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            bail!("{} cannot be measured: {}", self.label, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
    }

    fn command(&self, what: &str, in_group: bool) -> Command {
        let mut command = Command::new("unshare");
        // What a script mounts is private to what it starts.
        command.args([
            "--mount",
            "sh",
            "-c",
            if in_group { self.group.entering() } else { "exec \"$@\"".to_owned() }.as_str(),
            "sh",
            "bash",
        ]);
        command.arg(&self.script).arg(what).envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
        command.env("VARIANT", &self.variant).env("PEER_HOME", &self.home).env("WAYPOST_BIN", &self.binary);
        command.env("PIDFILE", self.group.processes_file());
        command
    }

    fn call(&self, what: &str, in_group: bool) -> Result<()> {
        let log = self.home.join(format!("{what}.log"));
        let file = File::create(&log)?;
        let mut command = self.command(what, in_group);
        let status = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).status().context("`unshare` cannot be run")?;
        if !status.success() {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("{} {what} ended with {status}: {}", self.script.display(), text.trim());
        }
        Ok(())
    }

    /// Starts it; returns how long it took to greet.
    pub fn start(&mut self, world: &World) -> Result<Duration> {
        let began = Instant::now();
        if self.label == NULL {
            for port in [MX_PORT, SUBMISSION_PORT] {
                self.null.push(Sink::with_tls(SERVER, port, &world.certificate, &world.key)?);
            }
        } else {
            self.call("start", true)?;
        }
        let ports =
            (0..self.servers()).flat_map(|n| [self.mx(), self.submission()].map(|first| (first.ip(), first.port().saturating_add(n))));
        for address in ports.map(SocketAddr::from) {
            wait(&format!("{} to greet at {address}; see {}", self.label, self.home.display()), Duration::from_secs(30), || {
                greets(address)
            })?;
        }
        Ok(began.elapsed())
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.null.clear();
        if self.label != NULL && !self.group.processes().is_empty() {
            let _ = self.call("stop", false);
        }
        let _ = wait("the server to end", Duration::from_secs(10), || self.group.processes().is_empty());
        self.group.end();
    }

    /// Starts it with an empty queue.
    pub fn fresh(&mut self, world: &World) -> Result<()> {
        self.stop();
        if self.label != NULL {
            self.call("reset", false)?;
        }
        self.start(world)?;
        Ok(())
    }

    /// Prints the first page of its queue; returns how long that took, at best of five, or nothing where its script cannot.
    pub fn list(&self) -> Option<Duration> {
        let timed = || {
            let began = Instant::now();
            self.call("list", false).ok().map(|()| began.elapsed())
        };
        (0..5).filter_map(|_| timed()).min()
    }

    /// Makes all queued mail due.
    pub fn flush(&self) -> Result<()> {
        self.call("flush", true)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop();
    }
}
