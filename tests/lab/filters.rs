//! Spam filters of a lab: Debian's rspamd, OpenDKIM, and a scripted milter.
//!
//! Invariant: the system's own rspamd and OpenDKIM are neither read nor changed.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::unistd::User;

use crate::dns::DNS_PORT;
use crate::{Lab, Process, Script, wait_for, wait_within};

/// The port of a lab's rspamd.
pub const RSPAMD_PORT: u16 = 11333;
/// The port of a lab's milters.
pub const MILTER_PORT: u16 = 8891;

/// A directory in the lab that a system user owns.
fn directory_of(lab: &Lab, user: &str, name: &str) -> PathBuf {
    let owner = User::from_name(user).ok().flatten().unwrap_or_else(|| panic!("the user {user} (cargo xtask ci installs it)"));
    fs::set_permissions(lab.path(), Permissions::from_mode(0o755)).expect("chmod");
    let directory = lab.path().join(name);
    fs::create_dir_all(&directory).expect("a directory in the lab");
    chown(&directory, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))
        .expect("chown (rspamd and OpenDKIM need root to change their user)");
    directory
}

/// A running rspamd: a worker for HTTP, one for the milter protocol (on [`MILTER_PORT`]), one rule, no Redis.
#[derive(Debug)]
pub struct SpamFilter {
    process: Process,
    directory: PathBuf,
}

impl SpamFilter {
    /// Starts one at the lab's address `host`. It gives "lab spam" in a subject a score of 8.25, and rejects GTUBE.
    pub fn start(lab: &Lab, host: u8) -> Self {
        let (address, name_server) = (lab.address(host), lab.address(53));
        let directory = directory_of(lab, "_rspamd", &format!("rspamd-{host}"));
        let shown = directory.display();
        let text = format!(
            "options {{ pidfile = \"{shown}/pid\"; tempdir = \"{shown}\"; hs_cache_dir = \"{shown}\"; control_socket = \"{shown}/control mode=0600\";\n  \
             filters = \"regexp\"; disable_hyperscan = true;\n  dns {{ nameserver = [\"{name_server}:{DNS_PORT}\"]; timeout = 1s; retransmits = 1; }} }}\n\
             logging {{ type = \"file\"; filename = \"{shown}/log\"; level = \"info\"; }}\n\
             worker \"normal\" {{ bind_socket = \"{address}:{RSPAMD_PORT}\"; count = 1; }}\n\
             worker \"rspamd_proxy\" {{ bind_socket = \"{address}:{MILTER_PORT}\"; milter = yes; count = 1;\n  \
             upstream \"local\" {{ default = yes; self_scan = yes; }} }}\n\
             actions {{ reject = 15; add_header = 6; greylist = 4; }}\n\
             regexp {{ \"LAB_SPAM\" {{ re = \"Subject=/lab spam/{{header}}\"; score = 8.25; }} }}\n"
        );
        let configuration = directory.join("rspamd.conf");
        fs::write(&configuration, text).expect("rspamd.conf");
        let mut command = Command::new("rspamd");
        command.args(["-f", "-u", "_rspamd", "-g", "_rspamd", "-c"]).arg(configuration).stdout(Stdio::null()).stderr(Stdio::null());
        let mut rspamd = Self { process: Process::start(&mut command), directory };
        wait_within(Duration::from_secs(60), "rspamd to answer", || {
            assert!(rspamd.process.is_running(), "rspamd ended:\n{}", rspamd.log());
            ping(address)
        });
        rspamd
    }

    /// Its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.process.stop();
    }
}

impl Drop for SpamFilter {
    fn drop(&mut self) {
        // SIGKILL would leave its workers running.
        self.process.stop();
    }
}

fn ping(address: Ipv4Addr) -> Option<()> {
    let mut stream = TcpStream::connect((address, RSPAMD_PORT)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET /ping HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    answer.starts_with(b"HTTP/1.1 200").then_some(())
}

/// A running OpenDKIM that verifies, and rejects bad signatures.
#[derive(Debug)]
pub struct DkimFilter {
    process: Process,
}

impl DkimFilter {
    /// Starts one that listens on the returned socket. `keys` are lines such as `s._domainkey.foreign.test v=DKIM1; k=rsa; p=...`, used instead of
    /// DNS.
    pub fn start(lab: &Lab, keys: &str) -> (Self, PathBuf) {
        let directory = directory_of(lab, "opendkim", "opendkim");
        let (socket, configuration) = (directory.join("socket"), directory.join("opendkim.conf"));
        fs::write(directory.join("keys"), keys).expect("keys");
        let shown = directory.display();
        let text = format!(
            "Mode v\nUserID opendkim\nUMask 000\nSocket local:{}\nPidFile {shown}/pid\nTestPublicKeys {shown}/keys\nInternalHosts 192.0.2.1\n\
             On-BadSignature reject\nSyslog no\n",
            socket.display()
        );
        fs::write(&configuration, text).expect("opendkim.conf");
        let log = fs::File::create(directory.join("log")).expect("its log");
        let mut command = Command::new("/usr/sbin/opendkim");
        command.arg("-f").arg("-x").arg(configuration).stdout(Stdio::null()).stderr(log);
        let mut opendkim = Self { process: Process::start(&mut command) };
        wait_for("OpenDKIM to listen", || {
            let log = || fs::read_to_string(directory.join("log")).unwrap_or_default();
            assert!(opendkim.process.is_running(), "OpenDKIM ended: {}", log());
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
        (opendkim, socket)
    }
}

impl Drop for DkimFilter {
    fn drop(&mut self) {
        self.process.stop();
    }
}

/// A packet of the milter protocol.
pub fn milter_packet(letter: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 1).expect("a short packet");
    [&length.to_be_bytes()[..], &[letter], data].concat()
}

/// Commands of the milter protocol, letter and data.
type MilterCommands = Mutex<Vec<(u8, Vec<u8>)>>;

/// A scripted milter.
#[derive(Debug)]
pub struct Milter {
    commands: Arc<MilterCommands>,
    _script: Script,
}

impl Milter {
    /// Starts one. `answer` gets the letter of each command but `O` and those without an answer (`D`, `Q`, `A`), and returns the octets to send;
    /// `None` closes the connection.
    pub fn start(address: Ipv4Addr, answer: impl Fn(u8) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::demanding(address, 0x20, answer)
    }

    /// The same for a milter that requires these actions: spamass-milter needs 0x13.
    pub fn demanding(address: Ipv4Addr, actions: u32, answer: impl Fn(u8) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let commands = Arc::new(MilterCommands::default());
        let kept = commands.clone();
        let script = Script::start(address, MILTER_PORT, move |mut stream| {
            // In some tests the mail server disconnects.
            let _ = converse(&mut stream, &kept, actions, &answer);
        });
        Self { commands, _script: script }
    }

    /// The commands that it received on all connections, in order.
    pub fn commands(&self) -> Vec<(u8, Vec<u8>)> {
        self.commands.lock().expect("the list").clone()
    }
}

fn converse(
    stream: &mut TcpStream,
    commands: &MilterCommands,
    actions: u32,
    answer: &impl Fn(u8) -> Option<Vec<u8>>,
) -> std::io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut packet = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut packet)?;
        let letter = packet.remove(0);
        let offered = packet.get(4..8).map_or(0, |n| u32::from_be_bytes([n[0], n[1], n[2], n[3]]));
        commands.lock().expect("the list").push((letter, packet));
        match letter {
            b'O' if offered & actions != actions => return Ok(()),
            // Version 6, the required actions, an answer to every step.
            b'O' => stream.write_all(&milter_packet(b'O', &[&[0, 0, 0, 6][..], &actions.to_be_bytes(), &[0; 4]].concat()))?,
            b'D' | b'A' => {}
            b'Q' => return Ok(()),
            _ => match answer(letter) {
                Some(octets) => stream.write_all(&octets)?,
                None => return Ok(()),
            },
        }
    }
}
