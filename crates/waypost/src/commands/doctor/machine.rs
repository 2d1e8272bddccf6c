//! The machine and the running server: state, disk space, clock, queue.
//!
//! RFC 4330 (SNTP, one question), RFC 5321 s.4.5.4.1. Invariant: writes nothing.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use control_api::api::{Page, QueuedMessage, Totals};
use nix::sys::statvfs::statvfs;
use serde_json::Value;
use tokio::net::UdpSocket;

use super::DoctorContext;
use crate::commands::status::drained;
use crate::output::{size, span};
use control_api::api::{HealthFinding as Finding, Severity};

/// Seconds between 1900 and 1970.
const NTP_TO_UNIX_S: i64 = 2_208_988_800;

/// Maximum error of the clock before signatures and dates suffer, in seconds.
const CLOCK_OFF_S: i64 = 60;

/// Mail that waits longer is worth a warning, in milliseconds.
const OLD_MS: i64 = 4 * 3_600_000;

/// Whether the server runs, and whether it has caught bugs of its own.
pub(super) async fn check_server(context: &mut DoctorContext) -> Result<Vec<Finding>> {
    let is_shared = context.config.file.store.url.is_some();
    let key = context.config.file.password_key();
    let status = context.api()?.get("/api/v1/status").await?;
    Ok([judge_status(&status, is_shared)].into_iter().chain(super::store::judge_key(&status, &key)).collect())
}

fn judge_status(status: &Value, is_shared: bool) -> Finding {
    let number = |name: &str| status.get(name).and_then(Value::as_u64).unwrap_or(0);
    if status.get("running").and_then(Value::as_bool) != Some(true) {
        let fix = "systemctl enable --now waypost, or: waypost serve; if it does not stay up, journalctl -u waypost shows why";
        return Finding::bad(Severity::Error, "server", "waypost", "no server runs on this data directory", fix);
    }
    if status.get("drained").and_then(Value::as_bool) == Some(true) {
        let found = format!("it is drained: {}", drained(is_shared));
        return Finding::bad(Severity::Warning, "server", "waypost", found, "waypost node resume");
    }
    let (bugs, broken) = (number("bugs"), number("signatures_broken"));
    match bugs + broken {
        0 => Finding::good(
            "server",
            "waypost",
            format!("running: {} sessions, {} deliveries in progress", number("sessions"), number("in_flight")),
        ),
        _ => Finding::bad(
            Severity::Warning,
            "server",
            "waypost",
            format!("{bugs} bugs were caught, and {broken} messages wait because a signature would have broken"),
            "report it with the log (SECURITY.md and CONTRIBUTING.md say where); no mail was lost",
        ),
    }
}

/// Whether the disk has room.
pub(super) fn check_disk(context: &DoctorContext) -> Finding {
    let data = &context.config.file.data_dir;
    let about = data.display().to_string();
    let stat = match statvfs(data.as_path()) {
        Ok(stat) => stat,
        Err(error) => {
            return Finding::bad(
                Severity::Error,
                "disk",
                about,
                format!("cannot be read: {error}"),
                "check that it is mounted, and who owns it",
            );
        }
    };
    let (free, all) = (stat.blocks_available() * stat.fragment_size(), (stat.blocks() * stat.fragment_size()).max(1));
    let percent = free.saturating_mul(100) / all;
    let found = format!("{} free of {} ({percent} %)", size(free), size(all));
    let fix = "free some space, or move data_dir to a larger disk; a full disk refuses all mail (452)";
    match () {
        () if free < (200 << 20) => Finding::bad(Severity::Error, "disk", about, found, fix),
        () if free < (2 << 30) => Finding::bad(Severity::Warning, "disk", about, found, fix),
        () => Finding::good("disk", about, found),
    }
}

/// Whether the clock is right.
pub(super) async fn check_clock(context: &DoctorContext) -> Result<Vec<Finding>> {
    let Some(server) = &context.time_server else { return Ok(Vec::new()) };
    if !context.has_dns && host_of(server).parse::<std::net::IpAddr>().is_err() {
        return Err(super::NoDns.into());
    }
    let fix = "turn on time synchronisation: timedatectl set-ntp true";
    let about = format!("compared with {server}");
    Ok(vec![match measure_offset_s(server).await {
        Ok(off_s) if off_s.abs() <= CLOCK_OFF_S => Finding::good("clock", about, format!("accurate within {} s", off_s.abs())),
        Ok(off_s) => {
            Finding::bad(Severity::Error, "clock", about, format!("{} s {}", off_s.abs(), if off_s > 0 { "fast" } else { "slow" }), fix)
                .because("certificates, signatures and return addresses depend on it")
        }
        Err(error) => {
            let fix = "check that the clock is synchronised (timedatectl), or name another time server: waypost doctor --time-server HOST";
            Finding::bad(Severity::Notice, "clock", about, format!("cannot be compared: {error}"), fix)
        }
    }])
}

/// A name or an address, without its port.
fn host_of(server: &str) -> &str {
    server.rsplit_once(':').map_or(server, |(host, _)| host)
}

/// Seconds that our clock is ahead of the server's.
async fn measure_offset_s(server: &str) -> Result<i64, String> {
    let ask = async {
        let target = if server.contains(':') { server.to_owned() } else { format!("{server}:123") };
        let address = tokio::net::lookup_host(target).await?.next().ok_or(std::io::ErrorKind::NotFound)?;
        let any: SocketAddr = if address.is_ipv6() { ([0u16; 8], 0).into() } else { ([0, 0, 0, 0], 0).into() };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        let mut packet = [0; 48];
        packet[0] = 0x23; // version 4, client
        socket.send(&packet).await?;
        socket.recv(&mut packet).await?;
        Ok::<_, std::io::Error>(packet)
    };
    let packet = tokio::time::timeout(Duration::from_secs(5), ask)
        .await
        .map_err(|_| "no answer within 5 s".to_owned())?
        .map_err(|e| e.to_string())?;
    let seconds = packet.get(40..44).and_then(|bytes| bytes.first_chunk().copied()).map_or(0, u32::from_be_bytes);
    if seconds == 0 {
        return Err("the answer contains no time".into());
    }
    Ok(net::Clock::system().now_ms() / 1000 - (i64::from(seconds) - NTP_TO_UNIX_S))
}

/// Whether mail is delivered.
pub(super) async fn check_queue(context: &mut DoctorContext) -> Result<Vec<Finding>> {
    let totals: Totals = context.api()?.get("/api/v1/queue/totals").await?;
    let page: Page<QueuedMessage> = context.api()?.query("/api/v1/queue", &[("limit", Some("1".into()))]).await?;
    let waiting = totals.recipients.saturating_sub(totals.held);
    let oldest = page.items.first().map_or(0, |message| net::Clock::system().now_ms() - message.arrived_ms);
    let found = format!("{waiting} recipients waiting, {} held", totals.held);
    let reason = page.items.first().and_then(|message| message.recipients.first()).and_then(|recipient| recipient.reason.clone());
    let mut findings = vec![match () {
        () if waiting > 0 && oldest > OLD_MS => {
            let found = format!("{found}; the oldest message has waited for {}: {}", span(oldest), reason.unwrap_or_default());
            Finding::bad(
                Severity::Warning,
                "queue",
                "waiting mail",
                found,
                "waypost queue list shows why; waypost queue retry --all retries now",
            )
        }
        () => Finding::good("queue", "waiting mail", found),
    }];
    if totals.set_aside > 0 {
        let found = format!("the records of {} recipients cannot be read", totals.set_aside);
        findings.push(Finding::bad(
            Severity::Error,
            "queue",
            "damage",
            found,
            "check the disk (dmesg, smartctl), and back up the data directory",
        ));
    }
    Ok(findings)
}
