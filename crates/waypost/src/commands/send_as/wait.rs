//! Waits for what follows the form: Gmail's code, and its first login.

use std::time::Duration;

use anyhow::Result;
use control_api::api::{AccountDetail, ConfirmationView, Page};
use mail::Mailbox;
use serde::Serialize;

use crate::output::{BOLD, DIM, GOOD, Output, WARN, note, print, styled};
use crate::transport::{Transport, segment};

/// Polling interval.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A code that arrived at most this long before the start counts.
const SHORTLY_MS: i64 = 15 * 60_000;

/// What Gmail has done.
#[derive(Debug, Default, Serialize)]
pub struct GmailEvents {
    /// The code and the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation: Option<ConfirmationView>,
    /// The address of the first login.
    #[serde(skip_serializing_if = "Option::is_none")]
    login_from: Option<String>,
}

/// What to wait for.
#[derive(Debug)]
pub struct WaitRequest<'a> {
    pub address: &'a Mailbox,
    pub login: &'a str,
    /// Earlier logins do not count.
    pub since_ms: i64,
    /// Maximum wait; 0 looks once for a code.
    pub wait_s: u64,
}

/// Waits for both events, which come independently of each other.
pub async fn wait(api: &mut Transport, request: WaitRequest<'_>, out: Output) -> Result<GmailEvents> {
    let WaitRequest { address, login, since_ms, wait_s } = request;
    let mut events = GmailEvents::default();
    if wait_s > 0 && !out.json {
        note(&styled(DIM, format!("\nwaiting at most {} for Gmail's code; Ctrl-C stops, and nothing is lost", shown(wait_s))));
    }
    let mut left_s = wait_s;
    loop {
        if events.confirmation.is_none() {
            let found: Page<ConfirmationView> = api.query("/api/v1/confirmations", &[("address", Some(address.to_string()))]).await?;
            events.confirmation = found.items.into_iter().find(|c| wait_s == 0 || c.at_ms > since_ms - SHORTLY_MS);
            if let (Some(confirmation), false) = (&events.confirmation, out.json) {
                print(&text(confirmation))?;
            }
        }
        if events.login_from.is_none() && wait_s > 0 {
            let account: AccountDetail = api.get(&format!("/api/v1/accounts/{}", segment(login))).await?;
            let mut uses = account.credentials.iter().flat_map(|credential| &credential.uses);
            events.login_from = uses.find(|used| used.last_ms > since_ms).map(|used| used.address.clone());
            if let (Some(from), false) = (&events.login_from, out.json) {
                print(&format!("{} {login} logged in from {from}", styled(GOOD, "ok:")))?;
            }
        }
        if left_s == 0 || (events.confirmation.is_some() && events.login_from.is_some()) {
            break;
        }
        left_s -= 1;
        tokio::time::sleep(ASK_EVERY).await;
    }
    if wait_s > 0 && events.confirmation.is_none() && !out.json {
        let what = format!("Gmail has sent no code to {address} yet");
        note(&format!("{} {what}; the server keeps a code for a week: waypost sendas {address} shows it", styled(WARN, "note:")));
    }
    Ok(events)
}

fn shown(s: u64) -> String {
    crate::output::span(i64::try_from(s.saturating_mul(1000)).unwrap_or(i64::MAX))
}

fn text(confirmation: &ConfirmationView) -> String {
    let mut lines = vec![format!("{} Gmail asks to confirm {}", styled(GOOD, "ok:"), confirmation.address)];
    lines.extend(confirmation.code.as_ref().map(|code| format!("  Code  {}", styled(BOLD, code))));
    lines.extend(confirmation.link.as_ref().map(|link| format!("  Link  {link}")));
    lines.join("\n")
}
