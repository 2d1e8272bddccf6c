//! Our server in a lab: the binary, started as in production.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::dns::txt;
use crate::{Config, Lab, MX_PORT, Process, SUBMISSION_PORT, SUBMISSIONS_PORT, Talk, base64, wait_for};

/// Our server: a configuration, a data directory, and sometimes a process.
#[derive(Debug)]
pub struct Waypost {
    /// The configuration file.
    pub config: PathBuf,
    /// The data directory.
    pub data: PathBuf,
    /// The address it listens on.
    pub address: Ipv4Addr,
    log: PathBuf,
    process: Option<Process>,
}

/// The binary of this build, next to the test binary: Cargo passes its path only to tests of its own package.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("WAYPOST_BIN") {
            return path.into();
        }
        let test = std::env::current_exe().expect("the test's own path");
        let target = test.ancestors().nth(2).expect("target/PROFILE");
        let path = target.join("waypost");
        assert!(path.exists(), "{} is missing; build it first: cargo build -p waypost", path.display());
        path
    })
}

impl Waypost {
    /// Writes a configuration, [`Config::new`] of `options`, and a certificate.
    pub fn configured(lab: &Lab, options: &str) -> Self {
        let (certificate, key) = net::self_signed(&["mx.example.test".into()]).expect("a certificate");
        lab.write("cert.pem", &certificate);
        let key = lab.write("key.pem", &key);
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
        let (config, data) = (lab.path().join("waypost.toml"), lab.path().join("data"));
        Config::new(lab, options).write(&config);
        std::fs::create_dir_all(&data).expect("the data directory");
        Self { config, data, address: lab.address(1), log: lab.path().join("waypost.log"), process: None }
    }

    /// Configures one of several servers that share a database: `name` is its node, `host` its address in the lab.
    pub fn node(lab: &Lab, (name, host): (&str, u8), url: &str, options: &str) -> Self {
        let first = Self::configured(lab, options);
        let (config, data) = (lab.path().join(format!("{name}.toml")), lab.path().join(name));
        let address = lab.address(host);
        let at = |port: u16| vec![format!("{address}:{port}")];
        Config::new(lab, options)
            .set("data_dir", name)
            .set("listen.mx", at(MX_PORT))
            .set("listen.submission", at(SUBMISSION_PORT))
            .set("listen.submissions", at(SUBMISSIONS_PORT))
            .set("store.url", url)
            .set("store.node", name)
            .set("store.accept_loss", true)
            .write(&config);
        std::fs::create_dir_all(&data).expect("the data directory");
        Self { config, data, address, log: lab.path().join(format!("{name}.log")), ..first }
    }

    /// Changes the configuration file. A running server reads it at the next reload.
    pub fn configure(&self, change: impl FnOnce(&mut Config) -> &mut Config) {
        let mut config = Config::read(&self.config);
        change(&mut config);
        config.write(&self.config);
    }

    /// Starts a configured server that hosts example.test with the alias `me@` of `target`.
    pub fn started(lab: &Lab, target: &str, options: &str) -> Self {
        let mut waypost = Self::configured(lab, options);
        waypost.start_hosting(target);
        waypost
    }

    /// The same for a server that is configured already.
    pub fn start_hosting(&mut self, target: &str) {
        self.ok(&["domain", "add", "--bare", "example.test"]);
        self.ok(&["alias", "add", "me@example.test", target]);
        self.start();
    }

    /// Starts the server and waits until it listens.
    pub fn start(&mut self) {
        self.start_by(|binary| Command::new(binary));
    }

    /// Starts the server with a command made from the binary's path, for example under strace.
    pub fn start_by(&mut self, command: impl FnOnce(&Path) -> Command) {
        let log = File::options().create(true).append(true).open(&self.log).expect("the log");
        let mut command = command(binary());
        command.arg("--config").arg(&self.config).arg("serve").stdout(Stdio::null()).stderr(log);
        let mut process = Process::start(&mut command);
        wait_for("waypost to listen", || {
            assert!(process.is_running(), "waypost ended:\n{}", self.log());
            TcpStream::connect((self.address, MX_PORT)).ok()?;
            // The socket exists early, and answers once the server listens on every port.
            let mut socket = UnixStream::connect(self.data.join("waypost.sock")).ok()?;
            socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).ok()?;
            socket.write_all(b"GET /api/v1/status HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n").ok()?;
            socket.read_exact(&mut [0; 12]).ok()
        });
        self.process = Some(process);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM; the server must exit with success.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        assert!(process.stop(), "waypost did not end in order:\n{}", self.log());
    }

    /// Waits until the server exits with an error.
    pub fn wait_for_failure(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let status = wait_for("waypost to end", || process.end());
        assert!(!status.success(), "{status}:\n{}", self.log());
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.process.as_ref().expect("it runs").signal(Signal::SIGHUP);
    }

    /// The certificate it shows.
    pub fn certificate(&self) -> PathBuf {
        self.config.with_file_name("cert.pem")
    }

    /// A logged-in session on the submission port, with TLS.
    pub fn logged_in(&self, login: &str, password: &str) -> Talk {
        let mut talk = Talk::greeted(self.address, SUBMISSION_PORT);
        talk.start_tls(&self.certificate());
        talk.expect("EHLO client.foreign.test", "250");
        talk.expect(&format!("AUTH PLAIN {}", base64(&format!("\0{login}\0{password}"))), "235 2.7.0");
        talk
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// Its resident memory, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// What the server has logged so far. It writes its lines a moment after it has done something, so this waits until there are no more.
    pub fn log(&self) -> String {
        let mut log = self.written_log();
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(50));
            let more = self.written_log();
            let is_all = more.len() == log.len();
            log = more;
            if is_all {
                break;
            }
        }
        log
    }

    fn written_log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a text in the log.
    pub fn wait_for_log(&self, text: &str) {
        wait_for(&format!("the log to say {text:?}"), || self.written_log().contains(text).then_some(()));
    }

    /// Waits for a log line with all of these parts; returns it.
    pub fn wait_for_line(&self, parts: &[&str]) -> String {
        let found = || self.written_log().lines().find(|line| parts.iter().all(|part| line.contains(part))).map(ToOwned::to_owned);
        wait_for(&format!("a line of the log with {parts:?}"), found)
    }

    /// Runs a command with this configuration.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.arg("--config").arg(&self.config).args(arguments).stdin(Stdio::null());
        command.output().expect("the binary runs")
    }

    /// Runs a command that must succeed; returns its output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "waypost {}: {}\n{out}{err}", arguments.join(" "), output.status);
        out
    }

    /// Runs a command that must fail; returns its error output.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(!output.status.success(), "waypost {} should fail", arguments.join(" "));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Runs a command with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let out = self.ok(&all);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
    }

    /// Adds an account; returns its generated password.
    pub fn account(&self, login: &str) -> String {
        let added = self.json(&["account", "add", login]);
        added["password"].as_str().unwrap_or_else(|| panic!("no password in {added}")).to_owned()
    }

    /// Creates DKIM keys for a domain; returns the zone lines that publish them.
    pub fn keys(&self, domain: &str) -> String {
        self.ok(&["key", "add", domain]);
        self.records(domain)
    }

    /// The records of a domain's DKIM keys, as zone lines.
    pub fn records(&self, domain: &str) -> String {
        let keys = self.json(&["key", "show", domain]);
        let keys = keys.as_array().unwrap_or_else(|| panic!("no keys in {keys}"));
        keys.iter()
            .map(|key| txt(&format!("{}.", key["record_name"].as_str().expect("a name")), key["record"].as_str().expect("text")))
            .collect()
    }

    /// Number of messages in the queue.
    pub fn queued(&self) -> usize {
        let list = self.json(&["queue", "list"]);
        list["items"].as_array().unwrap_or_else(|| panic!("no items in {list}")).len()
    }

    /// The id of the first message in the queue.
    pub fn first_id(&self) -> String {
        self.json(&["queue", "list"])["items"][0]["id"].as_str().expect("a message").to_owned()
    }

    /// Waits until the queue is empty.
    pub fn wait_for_empty_queue(&self) {
        wait_for("an empty queue", || (self.queued() == 0).then_some(()));
    }

    /// Waits until a directory of its data has no file.
    pub fn wait_for_no_file(&self, directory: &str) {
        let files = || std::fs::read_dir(self.data.join(directory)).expect("the directory").count();
        wait_for(&format!("no file to be left in {directory}"), || (files() == 0).then_some(()));
    }

    /// Waits for a deferred recipient whose reason has this part; returns the whole reason.
    pub fn wait_for_reason(&self, part: &str) -> String {
        wait_for(&format!("a recipient that waits because of {part:?}; the log: {}", self.log()), || {
            let list = self.json(&["queue", "list"]);
            let messages = list["items"].as_array()?;
            let reasons = messages.iter().flat_map(|m| m["recipients"].as_array().into_iter().flatten());
            reasons.filter_map(|r| r["reason"].as_str()).find(|r| r.contains(part)).map(ToOwned::to_owned)
        })
    }

    /// Its maximum resident memory so far, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("VmHWM");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    }

    /// Requires that the server caught no panic.
    pub fn assert_no_bugs(&self) {
        assert_eq!(self.json(&["status"])["bugs"], 0, "{}", self.log());
    }
}
