//! OpenDKIM, a milter that signs the mail of a Postfix in the lab.

use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::dns::txt;
use crate::{Lab, Process, run_ok, wait_for};

/// A running OpenDKIM.
#[derive(Debug)]
pub struct OpenDkim {
    _process: Process,
    address: Ipv4Addr,
}

const PORT: u16 = 8891;
const SELECTOR: &str = "s1";

/// Makes a key in the lab for a domain; returns the file and the line of the zone that publishes it.
pub fn rsa_key(lab: &Lab, domain: &str, selector: &str) -> (PathBuf, String) {
    let (key, public) = (lab.path().join(format!("{domain}.pem")), lab.path().join(format!("{domain}.pub")));
    let (key_file, public_file) = (key.display().to_string(), public.display().to_string());
    run_ok("openssl", &["genrsa", "-traditional", "-out", &key_file, "2048"]);
    run_ok("openssl", &["rsa", "-in", &key_file, "-pubout", "-out", &public_file]);
    let pem = std::fs::read_to_string(&public).expect("the public key");
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    (key, txt(&format!("{selector}._domainkey.{domain}."), &format!("v=DKIM1; k=rsa; p={base64}")))
}

impl OpenDkim {
    /// Starts one that signs for `domain`, at the lab's address `host`; returns it and the key's line for the zone.
    pub fn signing(lab: &Lab, host: u8, domain: &str) -> (Self, String) {
        let address = lab.address(host);
        let (key, record) = rsa_key(lab, domain, SELECTOR);
        let config = lab.write(
            &format!("opendkim-{host}.conf"),
            &format!(
                "Mode s\nDomain {domain}\nSelector {SELECTOR}\nKeyFile {}\nSocket inet:{PORT}@{address}\nCanonicalization relaxed/simple\n\
                 Background no\nSyslog no\nInternalHosts 127.0.0.0/8\nRequireSafeKeys no\nOversignHeaders From\n",
                key.display()
            ),
        );
        let mut command = Command::new("opendkim");
        command.arg("-f").arg("-x").arg(config).stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut process = Process::start(&mut command);
        wait_for("OpenDKIM to listen", || {
            assert!(process.is_running(), "OpenDKIM ended");
            TcpStream::connect((address, PORT)).ok()
        });
        (Self { _process: process, address }, record)
    }

    /// The lines of main.cf that make a Postfix use it.
    pub fn milter(&self) -> String {
        let milter = format!("inet:{}:{PORT}", self.address);
        format!("smtpd_milters = {milter}\nnon_smtpd_milters = {milter}\nmilter_default_action = tempfail\n")
    }
}
