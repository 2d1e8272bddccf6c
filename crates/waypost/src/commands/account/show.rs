//! Prints accounts as text.
//!
//! Invariant: control characters in text from clients are never printed.

use control_api::api::{AccountDetail, AccountView, CredentialView};

use crate::output::{BAD, BOLD, DIM, span, styled, table};

/// `account list`.
pub(super) fn list(accounts: &[AccountView]) -> String {
    if accounts.is_empty() {
        return styled(DIM, "no accounts; add one: waypost account add me@example.com");
    }
    let row = |a: &AccountView| {
        let senders = if a.may_send_as.is_empty() { "-".to_owned() } else { a.may_send_as.join(", ") };
        let last = a.last_login_ms.map_or_else(|| "never".to_owned(), ago);
        vec![a.login.clone(), senders, a.clients.join(", "), last, state(a)]
    };
    table(&["account", "also sends as", "passwords", "last login", ""], &accounts.iter().map(row).collect::<Vec<_>>())
}

fn state(account: &AccountView) -> String {
    match (account.enabled, &account.suspended) {
        (false, _) => "disabled".into(),
        (true, Some(_)) => "suspended".into(),
        (true, None) if account.owner => "owner".into(),
        (true, None) => String::new(),
    }
}

/// `account show`.
pub(super) fn detail(detail: &AccountDetail) -> String {
    let account = &detail.account;
    let or = |words: &[String], none: &str| if words.is_empty() { none.to_owned() } else { words.join(", ") };
    let number = |n: Option<u32>| n.map_or("as configured".to_owned(), |n| n.to_string());
    let mut rows = vec![
        ("also sends as", or(&account.may_send_as, "-")),
        ("and as its aliases", or(&detail.aliases, "-")),
        ("recipients per hour", number(detail.recipients_per_hour)),
        ("new ones per day", number(detail.new_recipients_per_day)),
        ("IMAP host", detail.imap_host.clone().unwrap_or_else(|| "derived from the alias".into())),
    ];
    if !detail.legacy_mechanisms.is_empty() {
        rows.push(("also allows", detail.legacy_mechanisms.join(", ")));
    }
    let mut text = styled(BOLD, &account.login);
    match (account.enabled, &account.suspended) {
        (false, _) => text.push_str(&format!("  {}", styled(BAD, "disabled"))),
        (true, Some(why)) => {
            text.push_str(&format!("  {} {why}; to resume it: waypost account resume {}", styled(BAD, "suspended:"), account.login))
        }
        (true, None) if account.owner => text.push_str("  owner"),
        (true, None) => {}
    }
    for (name, value) in rows {
        text.push_str(&format!("\n  {name:<20} {value}"));
    }
    let lines: Vec<Vec<String>> = detail.credentials.iter().flat_map(uses).collect();
    text.push_str("\n\n");
    match lines.is_empty() {
        true => text.push_str(&styled(DIM, format!("no password; to set one: waypost account passwd {}", account.login))),
        false => text.push_str(&table(&["name", "kind", "created", "used", "from", "by", "times"], &lines)),
    }
    text
}

fn uses(credential: &CredentialView) -> Vec<Vec<String>> {
    let made = if credential.made_ms == 0 { "-".to_owned() } else { ago(credential.made_ms) };
    let head = vec![credential.name.clone(), credential.kind.clone(), made];
    let mut rows: Vec<Vec<String>> = credential
        .uses
        .iter()
        .map(|used| {
            vec![
                String::new(),
                String::new(),
                String::new(),
                ago(used.last_ms),
                used.address.clone(),
                used.mechanism.clone(),
                used.times.to_string(),
            ]
        })
        .collect();
    if rows.is_empty() {
        rows.push(vec![String::new(), String::new(), String::new(), "never".into(), String::new(), String::new(), String::new()]);
    }
    if let Some(first) = rows.first_mut() {
        first.splice(0..3, head);
    }
    rows
}

fn ago(ms: i64) -> String {
    format!("{} ago", span((net::Clock::system().now_ms() - ms).max(0)))
}
