//! Paused mailboxes and hosts.

use anyhow::Result;
use control_api::api::PauseView;

use super::DoctorContext;
use crate::output::span;
use control_api::api::{HealthFinding as Finding, Severity};

const CHECK: &str = "paused";

pub(super) async fn check(context: &mut DoctorContext) -> Result<Vec<Finding>> {
    let pauses: Vec<PauseView> = context.api()?.list("/api/v1/pauses", &[]).await?;
    let now_ms = net::Clock::system().now_ms();
    Ok(pauses.iter().map(|pause| describe_pause(pause, now_ms)).collect())
}

fn describe_pause(pause: &PauseView, now_ms: i64) -> Finding {
    let left = span(pause.until_ms - now_ms);
    let (about, found) = match pause.is_mailbox {
        true => (pause.about.clone(), format!("the mailbox is paused for {left}; senders to its alias are asked to retry later (450)")),
        false => (format!("{} at {}", pause.kind, pause.about), format!("paused for {left}")),
    };
    let fix = format!("once the cause is fixed: waypost queue resume {}", pause.resume);
    Finding::bad(Severity::Warning, CHECK, about, found, fix).because(pause.why.clone())
}
