//! A private Postfix in a lab: configuration, queue and mailboxes of its own, on an address of the lab.
//!
//! Invariant: the system's own Postfix is neither read nor changed. Needs root, as Postfix does.

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::User;

use crate::{Lab, MX_PORT, Process, run, run_ok, wait_for};

/// A running Postfix.
#[derive(Debug)]
pub struct Postfix {
    /// Its address, on [`MX_PORT`].
    pub address: Ipv4Addr,
    /// The directory with its main.cf, for `postmap -c` and `sendmail -C`.
    pub config: PathBuf,
    mail: PathBuf,
    log: PathBuf,
    process: Process,
}

/// The parts of its queue that belong to its user.
const QUEUES: &str = "active bounce corrupt defer deferred flush hold incoming maildrop private public saved trace";

/// The daemons that a small instance needs.
const SERVICES: &str = "pickup unix n - n 1 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
    tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
    defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nflush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\n\
    smtp unix - - n - - smtp\nshowq unix n - n - - showq\nerror unix - - n - - error\nretry unix - - n - - error\n\
    virtual unix - n n - - virtual\nanvil unix - - n - 1 anvil\npostlog unix-dgram n - n - 1 postlogd\n";

impl Postfix {
    /// Starts one for `domain` at the lab's address `host`, with a Maildir for each of `users`. `main` is added to its main.cf,
    /// `master` to its master.cf.
    pub fn start(lab: &Lab, host: u8, domain: &str, users: &[&str], main: &str, master: &str) -> Self {
        let address = lab.address(host);
        let root = lab.path().join(format!("postfix-{host}"));
        let (config, mail, log) = (root.join("etc"), root.join("mail"), root.join("mail.log"));
        // Its daemons run as another user.
        fs::set_permissions(lab.path(), Permissions::from_mode(0o755)).expect("chmod");
        let owner = User::from_name("postfix").ok().flatten().expect("the user postfix (cargo xtask ci installs it)");
        for directory in [config.clone(), root.join("spool/pid")] {
            fs::create_dir_all(directory).expect("a directory in the lab");
        }
        for directory in QUEUES.split(' ').map(|queue| root.join("spool").join(queue)).chain([root.join("data"), mail.clone()]) {
            fs::create_dir_all(&directory).expect("a directory in the lab");
            chown(&directory, Some(owner.uid.as_raw()), Some(owner.gid.as_raw())).expect("chown (Postfix needs root)");
        }
        let (certificate, key) = net::self_signed(&[format!("mx.{domain}")]).expect("a certificate");
        fs::write(config.join("tls.pem"), key + &certificate).expect("tls.pem");
        let (shown, uid, gid) = (root.display(), owner.uid, owner.gid);
        let boxes: String = users.iter().map(|user| format!("{{{user}@{domain} = {user}/}} ")).collect();
        let boxes = if boxes.is_empty() { boxes } else { format!("inline:{{ {boxes} }}") };
        let text = format!(
            "compatibility_level = 3.6\nqueue_directory = {shown}/spool\ndata_directory = {shown}/data\nmaillog_file = {shown}/mail.log\n\
             maillog_file_prefixes = {shown}\nmyhostname = mx.{domain}\nmydestination =\nmynetworks = 127.0.0.0/8\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nsmtpd_peername_lookup = no\nsmtp_host_lookup = native\n\
             smtp_dns_support_level = disabled\nmessage_size_limit = 20971520\nalias_maps =\nalias_database =\nbiff = no\n\
             virtual_mailbox_domains = {domain}\nvirtual_mailbox_maps = {boxes}\nvirtual_mailbox_base = {shown}/mail\n\
             virtual_mailbox_limit = 0\nvirtual_minimum_uid = 1\nvirtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{gid}\n\
             smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nsmtpd_reject_unlisted_recipient = yes\n\
             smtp_tls_security_level = may\nsmtpd_tls_security_level = may\nsmtpd_tls_chain_files = {shown}/etc/tls.pem\n\
             smtpd_tls_received_header = yes\n{main}\n"
        );
        fs::write(config.join("main.cf"), text).expect("main.cf");
        fs::write(config.join("master.cf"), format!("{address}:{MX_PORT} inet n - n - - smtpd\n{SERVICES}{master}")).expect("master.cf");
        // A process group of its own: at its end the master signals the whole group.
        let daemons = run_ok("postconf", &["-c", &config.display().to_string(), "-h", "daemon_directory"]);
        let mut command = Command::new(Path::new(daemons.trim()).join("master"));
        command.arg("-d").arg("-c").arg(&config).process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start(&mut command);
        let mut postfix = Self { address, config, mail, log, process };
        wait_for("Postfix to listen", || {
            assert!(postfix.process.is_running(), "Postfix ended:\n{}", postfix.log());
            TcpStream::connect((address, MX_PORT)).ok()
        });
        postfix
    }

    /// Its log.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Submits with its sendmail command.
    pub fn sendmail(&self, from: &str, to: &[&str], content: &[u8]) {
        let mut command = Command::new("sendmail");
        command.arg("-C").arg(&self.config).args(["-i", "-f", from]).args(to).stdin(Stdio::piped());
        let mut child = command.spawn().expect("sendmail runs");
        child.stdin.take().expect("its input").write_all(content).expect("sendmail reads");
        assert!(child.wait().expect("sendmail ends").success(), "sendmail failed");
    }

    /// The messages in a user's mailbox, with LF line ends, as Postfix stores them.
    pub fn mailbox(&self, user: &str) -> Vec<Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.mail.join(user).join("new")) else { return Vec::new() };
        entries.flatten().filter_map(|entry| fs::read(entry.path()).ok()).collect()
    }

    /// Waits for a message with this text in a user's mailbox.
    pub fn wait_for(&self, user: &str, text: &str) -> Vec<u8> {
        let holds = |message: &Vec<u8>| String::from_utf8_lossy(message).contains(text);
        wait_for(&format!("{text:?} in the mailbox of {user}"), || self.mailbox(user).into_iter().find(holds))
    }
}

/// The result of `postmap -q` for a key of a virtual(5) table.
pub fn postmap(config: &Path, table: &Path, key: &str) -> Option<String> {
    let table = format!("texthash:{}", table.display());
    let output = run("postmap", &["-c", &config.display().to_string(), "-q", key, &table]);
    let found = String::from_utf8(output.stdout).expect("text");
    assert!(output.stderr.is_empty(), "postmap: {}", String::from_utf8_lossy(&output.stderr));
    output.status.success().then(|| found.trim_end_matches('\n').to_owned())
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // SIGKILL would leave its daemons running. The master also ends by the signal that it sends to them.
        self.process.stop();
    }
}
