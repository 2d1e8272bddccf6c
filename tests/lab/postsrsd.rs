//! postsrsd, which makes and reverses SRS addresses for Postfix.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};

use crate::{Lab, Process, wait_for};

/// A running postsrsd.
#[derive(Debug)]
pub struct Postsrsd {
    _process: Process,
    address: Ipv4Addr,
}

const FORWARD: u16 = 10001;
const REVERSE: u16 = 10002;

impl Postsrsd {
    /// Starts one with a secret, for a domain, at the lab's address `host`.
    pub fn start(lab: &Lab, host: u8, secret: &str, domain: &str) -> Self {
        let address = lab.address(host);
        let secret = lab.write("postsrsd.secret", &format!("{secret}\n"));
        let mut command = Command::new("postsrsd");
        command.arg("-4").arg(format!("-s{}", secret.display())).arg(format!("-d{domain}")).arg(format!("-l{address}"));
        command.arg(format!("-f{FORWARD}")).arg(format!("-r{REVERSE}")).stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut process = Process::start(&mut command);
        wait_for("postsrsd to listen", || {
            assert!(process.is_running(), "postsrsd ended");
            TcpStream::connect((address, REVERSE)).ok()
        });
        Self { _process: process, address }
    }

    fn ask(&self, port: u16, address: &str) -> Option<String> {
        let mut stream = TcpStream::connect((self.address, port)).expect("postsrsd listens");
        let escaped = address.replace('%', "%25").replace(' ', "%20");
        stream.write_all(format!("get {escaped}\n").as_bytes()).expect("postsrsd reads");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("postsrsd answers");
        line.trim_end().strip_prefix("200 ").map(|found| found.replace("%20", " ").replace("%25", "%"))
    }

    /// The return address for a sender.
    pub fn forward(&self, sender: &str) -> Option<String> {
        self.ask(FORWARD, sender)
    }

    /// Reverses a return address to its sender.
    pub fn reverse(&self, address: &str) -> Option<String> {
        self.ask(REVERSE, address)
    }
}
