//! Debian's haproxy in a lab: a load balancer that says whose connections it passes on.
//!
//! Invariant: it listens at addresses of the lab, and connects to the server from these.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Lab, Process, wait_for};

/// A running haproxy.
#[derive(Debug)]
pub struct HaProxy {
    socket: PathBuf,
    log: PathBuf,
    process: Process,
}

/// A port of the server, behind a port of haproxy with the same number.
#[derive(Debug, Clone, Copy)]
pub struct Balanced<'a> {
    /// Its name in haproxy.
    pub name: &'a str,
    /// The address of haproxy, which is also the source of its connections.
    pub address: Ipv4Addr,
    /// The port of both.
    pub port: u16,
    /// How it sends headers and checks the server: `send-proxy-v2 check`.
    pub server: &'a str,
    /// Further lines, such as `option httpchk`.
    pub more: &'a str,
}

impl HaProxy {
    /// Starts one in front of the lab's server.
    pub fn start(lab: &Lab, ports: &[Balanced<'_>]) -> Self {
        let (socket, log) = (lab.path().join("haproxy.sock"), lab.path().join("haproxy.log"));
        let mut config = format!(
            "global\n  stats socket {} mode 600 level admin\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n  \
             timeout check 3s\n",
            socket.display()
        );
        for Balanced { name, address, port, server, more } in ports {
            let waypost = lab.address(1);
            config += &format!(
                "listen {name}\n  bind {address}:{port}\n  {more}\n  server waypost {waypost}:{port} source {address} inter 200ms rise 1 fall 1 {server}\n"
            );
        }
        let config = lab.write("haproxy.cfg", &config);
        let output = std::fs::File::create(&log).expect("a file in the lab");
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&config).stdout(Stdio::null()).stderr(output);
        let mut haproxy = Self { socket, log, process: Process::start(&mut command) };
        wait_for("haproxy to listen", || {
            assert!(haproxy.process.is_running(), "haproxy ended:\n{}", haproxy.log());
            UnixStream::connect(&haproxy.socket).ok()
        });
        haproxy
    }

    /// Its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What its checks say about the server: `UP`, `DOWN`, and the result of the last check, such as `L7OK`.
    pub fn status(&self, name: &str) -> (String, String) {
        let mut socket = UnixStream::connect(&self.socket).expect("haproxy answers");
        socket.write_all(b"show stat\n").expect("haproxy reads");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("text");
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
        let row =
            lines.map(|line| line.split(',').collect::<Vec<_>>()).find(|row| row.first() == Some(&name) && row.get(1) == Some(&"waypost"));
        let row = row.unwrap_or_else(|| panic!("no {name} in {text}"));
        let value = |wanted: &str| names.iter().position(|name| *name == wanted).map_or("", |at| row[at]).to_owned();
        (value("status"), value("check_status"))
    }

    /// Waits until its checks say this.
    pub fn wait_for(&self, name: &str, status: &str, check: &str) {
        let mut last = (String::new(), String::new());
        wait_for(&format!("haproxy to say {status} {check} about {name}"), || {
            let now = self.status(name);
            if now != last {
                println!("{name}: {now:?}");
                last = now;
            }
            (last.0 == status && last.1.ends_with(check)).then_some(())
        });
    }
}
