//! `/api/v1/server` and `/api/v1/send-as`: the server as it runs, and what to enter in Gmail's form.
//!
//! Invariant: nothing here changes anything; a file is read on a thread for blocking work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use directory::{Account, Directory};
use mail::Mailbox;
use mta::LiveDirectory;
use net::blocking;

use crate::api::{SendAsQuery, SendAsView, ServerView};
use crate::control::Control;
use crate::error::ApiError;
use crate::extract::{Params, parsed};

/// Returns the server and the settings in force.
pub(crate) async fn server(State(control): State<Arc<dyn Control>>) -> Json<ServerView> {
    Json(blocking(move || control.server()).await)
}

/// Returns the values for Gmail's form "Send mail as".
pub(crate) async fn send_as(
    State(control): State<Arc<dyn Control>>,
    State(live): State<Arc<LiveDirectory>>,
    Params(query): Params<SendAsQuery>,
) -> Result<Json<SendAsView>, ApiError> {
    let address: Mailbox = parsed("an address", &query.address)?;
    let directory = live.current();
    let account =
        match &query.login {
            Some(login) => {
                let login: Mailbox = parsed("an address", login)?;
                let found = directory.account(&login.to_string());
                Some(found.ok_or_else(|| {
                    ApiError::missing(format!("no such account: {login}")).hint("waypost account list shows all accounts")
                })?)
            }
            None => sender_of(&directory, &address),
        };
    let facts = control.submission();
    let (port, secured_connection) = match (facts.starttls_port, facts.tls_port) {
        (None, Some(port)) => (Some(port), "SSL"),
        (port, _) => (port, "TLS"),
    };
    let targets: Vec<String> = match directory.explain(&address) {
        Ok(expansion) if directory.hosts(&address.domain) => expansion.targets.iter().map(Mailbox::to_string).collect(),
        _ => Vec::new(),
    };
    let mut problems = Vec::new();
    match account {
        None => problems.push(format!("no account may send as {address}")),
        Some(account) if !account.may_send_as(&address, &directory) => {
            problems.push(format!("{} may not send as {address}: its mail would be refused (550 5.7.1)", account.login));
        }
        Some(account) if account.passwords.is_empty() => problems.push(format!("{} has no password", account.login)),
        Some(_) => {}
    }
    if targets.is_empty() {
        problems.push(format!("mail to {address} goes nowhere, and so does Gmail's code"));
    }
    if port.is_none() {
        problems.push("the server listens on no port for submission ([listen])".into());
    }
    Ok(Json(SendAsView {
        address: address.to_string(),
        smtp_server: facts.host,
        port,
        secured_connection: secured_connection.into(),
        user_name: account.map(|account| account.login.to_string()),
        targets,
        problems,
    }))
}

/// The account of this name, or the first that may send as the address.
fn sender_of<'a>(directory: &'a Directory, address: &Mailbox) -> Option<&'a Account> {
    let all = &directory.contents().accounts;
    directory
        .account(&address.to_string())
        .or_else(|| all.iter().find(|account| account.is_active() && account.may_send_as(address, directory)))
}
