//! rspamd as a strict receiver that checks SPF, DKIM, DMARC and ARC of a message, and nothing else.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::dns::DNS_PORT;
use crate::{Delivered, Lab, Process, wait_for};

/// A running rspamd.
#[derive(Debug)]
pub struct Rspamd {
    process: Process,
    address: Ipv4Addr,
    log: PathBuf,
}

const PORT: u16 = 11333;

impl Rspamd {
    /// Starts one at the lab's address `host`.
    pub fn start(lab: &Lab, host: u8) -> Self {
        let address = lab.address(host);
        let root = lab.path().join("rspamd");
        std::fs::create_dir_all(&root).expect("a directory in the lab");
        // It runs as the user nobody. Public suffixes and spam rules would take many seconds.
        for directory in [lab.path(), &root] {
            std::fs::set_permissions(directory, Permissions::from_mode(0o777)).expect("chmod");
        }
        lab.write("rspamd/suffixes", "test\n");
        lab.write("rspamd/rules.lua", "");
        let shown = root.display();
        let config = lab.write(
            "rspamd/rspamd.conf",
            &format!(
                "options {{\n filters = \"dkim\"; tempdir = \"{shown}\"; url_tld = \"{shown}/suffixes\"; hs_cache_dir = \"{shown}\";\n \
                 control_socket = \"{shown}/control mode=0600\"; cache_file = \"{shown}/cache\"; local_addrs = [\"192.0.2.255/32\"];\n \
                 dns {{ nameserver = [\"{}:{DNS_PORT}\"]; timeout = 1s; sockets = 4; retransmits = 2; }}\n check_local = true; check_authed = true;\n}}\n\
                 logging {{ type = \"console\"; level = \"info\"; }}\nworker \"normal\" {{ bind_socket = \"{address}:{PORT}\"; count = 1; }}\n\
                 modules {{ path = \"/usr/share/rspamd/plugins/\"; }}\nlua = \"{shown}/rules.lua\";\n\
                 spf {{ check_local = true; }}\ndkim {{ check_local = true; }}\ndmarc {{ check_local = true; }}\narc {{ check_local = true; }}\n\
                 metric {{ name = \"default\"; actions {{ reject = 1000; }} }}\n",
                lab.address(53)
            ),
        );
        let log = root.join("log");
        let mut command = Command::new("rspamd");
        command.args(["-f", "-i", "-u", "nobody", "-g", "nogroup", "-c"]).arg(config);
        let output = File::create(&log).expect("a log");
        command.stderr(output.try_clone().expect("a log")).stdout(Stdio::from(output));
        let mut process = Process::start(&mut command);
        wait_for("rspamd to listen", || {
            assert!(process.is_running(), "rspamd ended:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
            TcpStream::connect((address, PORT)).ok()
        });
        Self { process, address, log }
    }

    /// The symbols of a message: R_SPF_ALLOW, DMARC_POLICY_ALLOW; with options in brackets: R_DKIM_ALLOW(foreign.test:s=s1).
    pub fn verdict(&self, message: &Delivered) -> Vec<String> {
        let bare = |path: &str| path.trim_matches(['<', '>']).to_owned();
        let to = message.to.first().map(|to| bare(to)).unwrap_or_default();
        let head = format!(
            "POST /checkv2 HTTP/1.0\r\nIP: 127.0.0.1\r\nHelo: mx.example.test\r\nFrom: {}\r\nRcpt: {to}\r\nContent-Length: {}\r\n\r\n",
            bare(&message.from),
            message.content.len()
        );
        let mut stream = TcpStream::connect((self.address, PORT)).expect("rspamd listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.write_all(&[head.as_bytes(), &message.content].concat()).expect("rspamd reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("rspamd answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let answer: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}\n{}", self.log()));
        let symbols = answer["symbols"].as_object().unwrap_or_else(|| panic!("no symbols in {answer}"));
        let options = |symbol: &Value| -> Vec<String> {
            symbol["options"].as_array().into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
        };
        symbols.iter().map(|(name, symbol)| format!("{name}({})", options(symbol).join(","))).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Rspamd {
    fn drop(&mut self) {
        // SIGKILL would leave its workers running.
        self.process.stop();
    }
}
