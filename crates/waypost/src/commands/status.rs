//! `waypost status`: whether the server runs, and its present load.
//!
//! Invariant: exit code 1 if no server runs; the data directory is not opened.

use std::io::ErrorKind;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use control_api::api::{PauseView, Totals};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::queue::paused;
use crate::config::Config;
use crate::output::{BAD, GOOD, Output, WARN, styled};
use crate::transport::Transport;

pub(super) async fn run(config: &Config, out: Output) -> Result<ExitCode> {
    let socket = config.admin_socket();
    let stream = match UnixStream::connect(&socket).await {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            out.show(&json!({ "running": false }), |_| {
                format!(
                    "{} no server answers on {}\n  to start it: systemctl start waypost, or: waypost serve",
                    styled(BAD, "not running:"),
                    socket.display()
                )
            })?;
            return Ok(ExitCode::FAILURE);
        }
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            bail!("no permission for the server's socket {}\n  hint: run the command with sudo, or as the server's user", socket.display())
        }
        Err(e) => return Err(e).with_context(|| format!("the server's socket {} cannot be used", socket.display())),
    };
    let mut api = Transport::over(stream).await?;
    let mut status: Value = api.get("/api/v1/status").await?;
    let pauses: Vec<PauseView> = api.list("/api/v1/pauses", &[]).await?;
    // The server answers without its database, too.
    let totals: Result<Totals> = api.get("/api/v1/queue/totals").await;
    if let Some(status) = status.as_object_mut() {
        status.insert("paused".into(), serde_json::to_value(&pauses)?);
        if let Ok(totals) = &totals {
            status.insert("queue".into(), serde_json::to_value(totals)?);
        }
    }
    let is_shared = config.file.store.url.is_some();
    out.show(&status, |status| text(status, &pauses, totals.as_ref().ok(), is_shared))?;
    totals.map(|_| ExitCode::SUCCESS).context("the server runs, but cannot read its queue")
}

/// What a drained node does; `is_shared`: over a PostgreSQL, where others deliver.
pub(super) fn drained(is_shared: bool) -> &'static str {
    match is_shared {
        true => "it takes no new mail, and leaves deliveries to the other nodes (waypost node list)",
        false => "it takes no new mail, and goes on delivering",
    }
}

fn text(status: &Value, pauses: &[PauseView], totals: Option<&Totals>, is_shared: bool) -> String {
    let number = |name: &str| status.get(name).and_then(Value::as_u64).unwrap_or(0);
    let version = status.get("version").and_then(Value::as_str).unwrap_or("unknown");
    let queue = totals.map(|totals| {
        let waiting = totals.recipients.saturating_sub(totals.held);
        format!("{waiting} recipients waiting, {} held, {} set aside", totals.held, totals.set_aside)
    });
    let mut lines = vec![format!("{} version {version}", styled(GOOD, "running:"))];
    let mut field = |name: &str, value: String| lines.push(format!("  {name:<12}{value}"));
    field("sessions", format!("{} with clients, {} connections to other servers", number("sessions"), number("connections")));
    field("deliveries", format!("{} in progress, {} workers", number("in_flight"), number("workers")));
    field("queue", queue.unwrap_or_else(|| styled(BAD, "it cannot be read".to_owned())));
    if status.get("drained").and_then(Value::as_bool) == Some(true) {
        field("drained", styled(WARN, format!("{}; to end this: waypost node resume", drained(is_shared))));
    }
    let (bugs, broken) = (number("bugs"), number("signatures_broken"));
    if bugs + broken > 0 {
        let text =
            format!("{bugs} caught, and {broken} messages wait because a signature would have broken: read the log, and report this");
        field("bugs", styled(WARN, text));
    }
    if number("sts_testing_failures") > 0 {
        field("MTA-STS", format!("{} deliveries did not meet a policy in testing mode", number("sts_testing_failures")));
    }
    lines.extend(pauses.iter().map(paused));
    lines.join("\n")
}
