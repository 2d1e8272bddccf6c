//! A private Dovecot in a lab: LMTP on a Unix socket, IMAP and POP3 on an address of the lab.
//!
//! Invariant: the system's own Dovecot is neither read nor changed. Needs root, as Dovecot does.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Lab, Process, wait_for};

/// IMAP's port in a lab.
pub const IMAP_PORT: u16 = 2143;
/// POP3's port in a lab.
pub const POP3_PORT: u16 = 2110;

/// A running Dovecot with mailboxes of one domain. Every user exists and has the password `letmein`.
#[derive(Debug)]
pub struct Dovecot {
    /// Its LMTP socket.
    pub socket: PathBuf,
    /// Its address for IMAP and POP3.
    pub address: Ipv4Addr,
    process: Process,
}

impl Dovecot {
    /// Starts one at the lab's address `host`.
    pub fn start(lab: &Lab, host: u8) -> Self {
        let address = lab.address(host);
        fs::set_permissions(lab.path(), Permissions::from_mode(0o755)).expect("chmod");
        let root = lab.path().join("dovecot");
        fs::create_dir_all(root.join("mail")).expect("a directory");
        fs::set_permissions(root.join("mail"), Permissions::from_mode(0o777)).expect("chmod");
        let shown = root.display();
        let config = lab.write(
            "dovecot/dovecot.conf",
            &format!(
                "base_dir = {shown}/run\nstate_dir = {shown}/run\nlog_path = {shown}/log\nprotocols = imap pop3 lmtp\nlisten = {address}\nssl = no\n\
                 disable_plaintext_auth = no\nmail_location = maildir:{shown}/mail/%n\nfirst_valid_uid = 1\nmail_uid = nobody\nmail_gid = nogroup\n\
                 default_internal_user = nobody\ndefault_login_user = nobody\ndefault_internal_group = nogroup\n\
                 passdb {{\n driver = static\n args = password=letmein\n}}\nuserdb {{\n driver = static\n args = uid=nobody gid=nogroup home={shown}/mail/%n allow_all_users=yes\n}}\n\
                 service lmtp {{\n unix_listener {shown}/lmtp {{\n mode = 0666\n }}\n}}\n\
                 service imap-login {{\n chroot =\n inet_listener imap {{\n port = {IMAP_PORT}\n }}\n inet_listener imaps {{\n port = 0\n }}\n}}\n\
                 service pop3-login {{\n chroot =\n inet_listener pop3 {{\n port = {POP3_PORT}\n }}\n inet_listener pop3s {{\n port = 0\n }}\n}}\n\
                 service anvil {{\n chroot =\n}}\n"
            ),
        );
        let mut command = Command::new("dovecot");
        command.arg("-F").arg("-c").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Process::start(&mut command);
        let socket = root.join("lmtp");
        wait_for("Dovecot to listen", || {
            assert!(process.is_running(), "Dovecot ended:\n{}", fs::read_to_string(root.join("log")).unwrap_or_default());
            TcpStream::connect((address, POP3_PORT)).ok()?;
            socket.exists().then_some(())
        });
        Self { socket, address, process }
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // It stops its own processes.
        self.process.stop();
    }
}
