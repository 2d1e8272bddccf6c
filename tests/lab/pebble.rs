//! The lab's certificate authority: pebble, Let's Encrypt's test server, and its own DNS server for TXT records.
//!
//! RFC 8555, RFC 9773.

use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::dns::DNS_PORT;
use crate::{HTTP_PORT, HTTPS_PORT, Lab, Process, run_ok, wait_for};

const ACME_PORT: u16 = 14000;
const MANAGEMENT_PORT: u16 = 15000;
const RENEWAL_PORT: u16 = 14001;
const TXT_DNS_PORT: u16 = 8053;
const TXT_MANAGEMENT_PORT: u16 = 8055;

/// A running authority.
#[derive(Debug)]
pub struct Pebble {
    process: Process,
    _records: Option<Process>,
    renewal_info: Option<Process>,
    address: Ipv4Addr,
    configuration: PathBuf,
    dns: String,
    /// The authority of its own HTTPS certificate.
    pub own_root: PathBuf,
    /// A program for acme.dns_hook that makes TXT records; only with [`Pebble::with_records`].
    pub hook: PathBuf,
}

impl Pebble {
    /// Starts it with the lab's name server as its resolver.
    pub fn start(lab: &Lab) -> Self {
        Self::launch(lab, format!("{}:{DNS_PORT}", lab.address(53)), None)
    }

    /// Starts it with a name server that accepts TXT records, and resolves every other name to our server.
    pub fn with_records(lab: &Lab) -> Self {
        let address = lab.address(9);
        let mut command = Command::new("pebble-challtestsrv");
        command.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-defaultIPv4", &lab.address(1).to_string()]);
        command.args(["-dns01", &format!("{address}:{TXT_DNS_PORT}"), "-management", &format!("{address}:{TXT_MANAGEMENT_PORT}")]);
        let process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        wait_for("pebble's name server", || TcpStream::connect((address, TXT_MANAGEMENT_PORT)).ok());
        Self::launch(lab, format!("{address}:{TXT_DNS_PORT}"), Some(process))
    }

    fn launch(lab: &Lab, dns: String, records: Option<Process>) -> Self {
        let address = lab.address(9);
        let now_s = net::Clock::system().now_s();
        let authority = net::Authority::new("lab", now_s).expect("an authority");
        let issued = authority.issue(&[address.to_string()], 30, now_s).expect("a certificate");
        let own_root = lab.write("pebble/root.pem", &authority.certificate);
        let certificate = lab.write("pebble/cert.pem", &issued.chain);
        let key = lab.write("pebble/key.pem", &issued.key);
        let configuration = serde_json::json!({ "pebble": {
            "listenAddress": format!("{address}:{ACME_PORT}"),
            "managementListenAddress": format!("{address}:{MANAGEMENT_PORT}"),
            "certificate": certificate, "privateKey": key,
            "httpPort": HTTP_PORT, "tlsPort": HTTPS_PORT,
        }});
        let configuration = lab.write("pebble/pebble.json", &configuration.to_string());
        let hook = lab.write(
            "pebble/hook",
            &format!(
                "#!/bin/sh\nset -e\nto=http://{address}:{TXT_MANAGEMENT_PORT}\necho \"$1 $2\" >> \"$0.log\"\ncase $1 in\n\
                 add) curl -sf -d \"{{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}}\" $to/set-txt ;;\n\
                 remove) curl -sf -d \"{{\\\"host\\\":\\\"$2.\\\"}}\" $to/clear-txt ;;\n*) exit 2 ;;\nesac\n"
            ),
        );
        std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).expect("chmod");
        let process = Self::process(address, &configuration, &dns);
        Self { process, _records: records, renewal_info: None, address, configuration, dns, own_root, hook }
    }

    fn process(address: Ipv4Addr, configuration: &PathBuf, dns: &str) -> Process {
        let mut command = Command::new("pebble");
        command.arg("-config").arg(configuration).args(["-dnsserver", dns, "-strict"]).env("PEBBLE_VA_NOSLEEP", "1");
        let process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        wait_for("pebble", || TcpStream::connect((address, ACME_PORT)).ok());
        process
    }

    /// Puts a proxy in front of it that adds renewal information (RFC 9773): always this window, in Unix seconds.
    pub fn with_renewal_info(&mut self, lab: &Lab, window_s: (i64, i64)) {
        let script = lab.write("pebble/renewal.py", include_str!("renewal_info.py"));
        let mut command = Command::new("python3");
        command.arg(script).args([&self.address.to_string(), &RENEWAL_PORT.to_string(), &self.directory()]);
        command.args([&window_s.0.to_string(), &window_s.1.to_string()]).current_dir(lab.path().join("pebble"));
        self.renewal_info = Some(Process::start(command.stdout(Stdio::null()).stderr(Stdio::null())));
        wait_for("the directory with renewal information", || TcpStream::connect((self.address, RENEWAL_PORT)).ok());
    }

    /// Stops it.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts it again, without its state and with a new root.
    pub fn start_again(&mut self) {
        self.process = Self::process(self.address, &self.configuration, &self.dns);
    }

    /// The address of its directory.
    pub fn directory(&self) -> String {
        let port = if self.renewal_info.is_some() { RENEWAL_PORT } else { ACME_PORT };
        format!("https://{}:{port}/dir", self.address)
    }

    /// The `[acme]` section for it.
    pub fn section(&self, challenge: &str) -> String {
        format!(
            "[acme]\nenabled = true\ndirectory = {:?}\nauthority_root = {:?}\nchallenge = {challenge:?}\ndns_hook = {:?}\ncontact = \"me@example.test\"\n",
            self.directory(),
            self.own_root,
            self.hook
        )
    }

    /// Its root certificate, as a file for clients.
    pub fn root(&self, lab: &Lab) -> PathBuf {
        let url = format!("https://{}:{MANAGEMENT_PORT}/roots/0", self.address);
        let pem = run_ok("curl", &["-sf", "--cacert", &self.own_root.display().to_string(), &url]);
        lab.write("pebble/issuing-root.pem", &pem)
    }
}
