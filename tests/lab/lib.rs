//! The laboratory of the integration tests: our server, a name server, mailboxes and clients, all on loopback.
//!
//! Each [`Lab`] has a /24 of its own in 127.0.0.0/8 and a directory of its own, so tests run side by side on fixed ports.
//! Invariant: a dropped lab ends its processes, by process id.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, clippy::disallowed_methods)]

mod clock;
mod config;
mod digital_ocean;
mod dmarc_reporter;
mod dns;
mod dovecot;
mod filters;
mod golden;
mod haproxy;
mod inbound;
mod ipv6;
mod mount;
mod opendkim;
mod outbound;
mod pebble;
mod postfix;
mod postsrsd;
mod process;
mod python;
mod receivers;
mod report_host;
mod rspamd;
mod script;
mod sink;
mod talk;
mod terminal;
mod tls_reporter;
mod tls_sender;
mod unbound;
mod visit;
mod waypost;
mod zones;

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use clock::{fake_clock_library, set_clock, under_clock};
pub use config::Config;
pub use digital_ocean::{DigitalOcean, OCEAN_TOKEN};
pub use dmarc_reporter::{DMARC_REPORT_LIMIT, DmarcReporter, authored, dmarc_record};
pub use dns::{DNS_PORT, Dns, UPDATE_SECRET, txt};
pub use dovecot::{Dovecot, IMAP_PORT, POP3_PORT};
pub use filters::{DkimFilter, MILTER_PORT, Milter, RSPAMD_PORT, SpamFilter, milter_packet};
pub use golden::Golden;
pub use haproxy::{Balanced, HaProxy};
pub use inbound::InboundScene;
pub use ipv6::LabIpv6;
pub use mount::Mount;
pub use opendkim::{OpenDkim, rsa_key};
pub use outbound::{OutboundScene, content};
pub use pebble::Pebble;
pub use postfix::{Postfix, postmap};
pub use postsrsd::Postsrsd;
pub use process::{Process, run, run_ok};
pub use python::{Signature, dkimpy, fed, python, signatures, signers};
pub use receivers::{LabAuthority, PolicyAnswer, PolicyHost, Wire, server_config, tlsa_digest};
pub use report_host::{Posted, ReportHost, Takes};
pub use rspamd::Rspamd;
pub use script::{Script, converse, obedient};
pub use sink::{Delivered, Gate, Sink};
pub use talk::Talk;
pub use terminal::Terminal;
pub use tls_reporter::{TlsReporter, is_tls_report, parse_tls_report, tls_reports, tls_sums, tlsrpt, wait_for_report, wait_for_tls_sums};
pub use tls_sender::TlsSender;
pub use unbound::Unbound;
pub use visit::{OWNER, PageAnswer, Visit, owned};
pub use waypost::{Waypost, binary};
pub use zones::{domain, forwarding_zone, sts_domain, tlsa, zone};

/// The port of every mail host in a lab.
pub const MX_PORT: u16 = 2525;
/// Our submission port (STARTTLS).
pub const SUBMISSION_PORT: u16 = 2587;
/// Our submissions port (implicit TLS).
pub const SUBMISSIONS_PORT: u16 = 2465;

/// Our HTTP port.
pub const HTTP_PORT: u16 = 2480;
/// Our HTTPS port.
pub const HTTPS_PORT: u16 = 2443;

/// The port of the hosts of MTA-STS policies in a lab.
pub const POLICY_PORT: u16 = 2444;

/// The process that holds this port owns the network.
const CLAIM_PORT: u16 = 2524;

/// The second octet of the networks of [`Lab::numbered`].
const NUMBERED: u8 = 250;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A laboratory: a directory and a /24 of loopback addresses.
#[derive(Debug)]
pub struct Lab {
    directory: tempfile::TempDir,
    network: [u8; 2],
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// Opens a laboratory.
    pub fn new() -> Self {
        // Other test processes run at the same time (nextest: one per test). The process id spreads them, and a socket that is open
        // as long as the process keeps a network from being used twice.
        let network = (0..u32::from(u16::MAX)).find_map(|_| {
            let number = std::process::id().wrapping_mul(7).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let [a, b, ..] = number.to_le_bytes();
            (a > 0 && a != NUMBERED && claim([a, b])).then_some([a, b])
        });
        Self { directory: tempfile::tempdir().expect("a temporary directory"), network: network.expect("a free network") }
    }

    /// Opens a laboratory in the same network in every run, for goldens: addresses have the same width, so columns stay aligned. Each test takes a number
    /// of its own.
    pub fn numbered(number: u8) -> Self {
        let network = [NUMBERED, number];
        wait_within(Duration::from_secs(120), "the network of another run of this test", || claim(network).then_some(()));
        Self { directory: tempfile::tempdir().expect("a temporary directory"), network }
    }

    /// An address of the lab: 127.x.y.`host`. 1 is our server, 53 the name server.
    pub fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.network[0], self.network[1], host)
    }

    /// The lab's directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file into the lab's directory.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a directory in the lab");
        }
        std::fs::write(&path, text).expect("a file in the lab");
        path
    }
}

/// Claims a network until the process ends; false if another process has it.
fn claim([a, b]: [u8; 2]) -> bool {
    UdpSocket::bind((Ipv4Addr::new(127, a, b, 254), CLAIM_PORT)).map(std::mem::forget).is_ok()
}

/// Encodes text in base64, as for AUTH.
pub fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Decodes text from base64.
pub fn unbase64(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
    String::from_utf8(bytes).expect("text")
}

/// Waits until `done` returns a value, for at most 20 seconds; then fails, naming `what`.
pub fn wait_for<T>(what: &str, done: impl FnMut() -> Option<T>) -> T {
    wait_within(Duration::from_secs(20), what, done)
}

/// The same with another limit.
pub fn wait_within<T>(limit: Duration, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(15));
    }
}
