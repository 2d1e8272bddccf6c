//! Waiting for what Gmail does once the form is sent: its code, and its first login.

use std::time::Duration;

use anyhow::Result;
use control_api::api::{AccountDetail, ConfirmationView};
use mail::Mailbox;
use serde::Serialize;

use crate::output::{BOLD, DIM, GOOD, Output, WARN, note, print, styled};
use crate::transport::{Transport, segment};

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A code that came so shortly before is the one that is waited for.
const SHORTLY_MS: i64 = 15 * 60_000;

/// What came.
#[derive(Debug, Default, Serialize)]
pub struct Came {
    /// The code and the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation: Option<ConfirmationView>,
    /// The address of the first login.
    #[serde(skip_serializing_if = "Option::is_none")]
    login_from: Option<String>,
}

/// Waits for both, at most so long; both come independently of each other.
pub async fn waited(api: &mut Transport, (address, login): (&Mailbox, &str), since_ms: i64, wait_s: u64, out: Output) -> Result<Came> {
    let mut came = Came::default();
    if wait_s > 0 && !out.json {
        note(&styled(DIM, format!("\nwaiting up to {} for Gmail's code; end it with Ctrl-C, nothing is lost", shown(wait_s))));
    }
    let mut left_s = wait_s;
    loop {
        if came.confirmation.is_none() {
            let found: Vec<ConfirmationView> = api.query("/v1/confirmations", &[("address", Some(address.to_string()))]).await?;
            came.confirmation = found.into_iter().find(|c| wait_s == 0 || c.at_ms > since_ms - SHORTLY_MS);
            if let (Some(confirmation), false) = (&came.confirmation, out.json) {
                print(&text(confirmation))?;
            }
        }
        if came.login_from.is_none() && wait_s > 0 {
            let account: AccountDetail = api.get(&format!("/v1/accounts/{}", segment(login))).await?;
            let mut uses = account.credentials.iter().flat_map(|credential| &credential.uses);
            came.login_from = uses.find(|used| used.last_ms > since_ms).map(|used| used.address.clone());
            if let (Some(from), false) = (&came.login_from, out.json) {
                print(&format!("{} {login} has logged in from {from}", styled(GOOD, "ok:")))?;
            }
        }
        if left_s == 0 || (came.confirmation.is_some() && came.login_from.is_some()) {
            break;
        }
        left_s -= 1;
        tokio::time::sleep(ASK_EVERY).await;
    }
    if wait_s > 0 && came.confirmation.is_none() && !out.json {
        let what = format!("no mail of Gmail's came for {address}");
        note(&format!("{} {what}; the server remembers it for a week: waypost sendas {address} shows it", styled(WARN, "note:")));
    }
    Ok(came)
}

fn shown(s: u64) -> String {
    crate::output::span(i64::try_from(s.saturating_mul(1000)).unwrap_or(i64::MAX))
}

fn text(confirmation: &ConfirmationView) -> String {
    let mut lines = vec![format!("{} Gmail asks whether {} is yours", styled(GOOD, "ok:"), confirmation.address)];
    lines.extend(confirmation.code.as_ref().map(|code| format!("  Code  {}", styled(BOLD, code))));
    lines.extend(confirmation.link.as_ref().map(|link| format!("  Link  {link}")));
    lines.join("\n")
}
