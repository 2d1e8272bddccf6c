//! Mailboxes and hosts that get nothing for now.

use admin::api::PauseView;
use anyhow::Result;

use super::Patient;
use super::finding::{Finding, Severity};
use crate::output::span;

const CHECK: &str = "paused";

pub(super) async fn check(patient: &mut Patient) -> Result<Vec<Finding>> {
    let pauses: Vec<PauseView> = patient.api()?.get("/v1/pauses").await?;
    let now_ms = net::Clock::system().now_ms();
    Ok(pauses.iter().map(|pause| one(pause, now_ms)).collect())
}

fn one(pause: &PauseView, now_ms: i64) -> Finding {
    let left = span(pause.until_ms - now_ms);
    let (about, found) = match pause.is_mailbox {
        true => (
            pause.about.clone(),
            format!("the mailbox gets nothing for {left} more; who writes to its alias is asked to try again later (450)"),
        ),
        false => (format!("{} at {}", pause.kind, pause.about), format!("gets nothing for {left} more")),
    };
    let fix = format!("once the cause is mended: waypost queue resume {}", pause.resume);
    Finding::bad(Severity::Warning, CHECK, about, found, fix).because(pause.why.clone())
}
