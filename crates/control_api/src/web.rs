//! `/web` and `/accounts/{login}/...`: the owner's page, its one-time links, sessions and second steps.
//!
//! Invariants: a link is in a response only if that request made it; the secret of a second step is in none.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use directory::Account;
use door::{Door, LinkPurpose};
use mail::Mailbox;
use mta::LiveDirectory;

use crate::actor::Actor;
use crate::api::{Changed, LinkView, NewLoginLink, PageSessionView, PageSessions, PageView};
use crate::error::ApiError;
use crate::extract::{Body, parsed};

/// The address of the owner's page; `None` if it is off.
#[derive(Debug, Clone)]
pub(crate) struct PageUrl(pub Option<String>);

impl PageUrl {
    /// Returns the address of a path of the page.
    fn of(&self, path: &str) -> Result<String, ApiError> {
        self.0.as_ref().map(|url| format!("{url}{path}")).ok_or_else(|| {
            ApiError::conflict("the owner's page is off")
                .hint("it needs a certificate, and addresses: remove admin = [] and https = [] under [listen], then restart the server")
        })
    }
}

pub(crate) async fn show(State(url): State<PageUrl>, State(live): State<Arc<LiveDirectory>>) -> Json<PageView> {
    let owners =
        live.current().contents().accounts.iter().filter(|account| account.owner).map(|account| account.login.to_string()).collect();
    Json(PageView { url: url.0, owners })
}

pub(crate) async fn login_link(
    actor: Actor,
    State(door): State<Door>,
    State(url): State<PageUrl>,
    State(live): State<Arc<LiveDirectory>>,
    Body(new): Body<NewLoginLink>,
) -> Result<Json<LinkView>, ApiError> {
    let directory = live.current();
    let login = match &new.login {
        Some(login) => Some(active(directory.account(login), login)?.login.key()),
        None => only_owner(&directory.contents().accounts)?,
    };
    link(&actor, &door, &url, login.as_deref(), LinkPurpose::Login).await
}

/// Returns the login of the only owner; `None` if there are no accounts yet.
fn only_owner(accounts: &[Account]) -> Result<Option<String>, ApiError> {
    let owners: Vec<&Account> = accounts.iter().filter(|account| account.owner).collect();
    match owners.as_slice() {
        [owner] => Ok(Some(active(Some(owner), &owner.login.to_string())?.login.key())),
        [] if accounts.is_empty() => Ok(None),
        [] => Err(ApiError::conflict("no account is an owner").hint("make one an owner: waypost account owner me@example.com")),
        several => {
            let names: Vec<String> = several.iter().map(|account| account.login.to_string()).collect();
            Err(ApiError::conflict(format!("there are several owners: {}", names.join(", ")))
                .hint("name one: waypost web login-link LOGIN"))
        }
    }
}

fn active<'a>(account: Option<&'a Account>, login: &str) -> Result<&'a Account, ApiError> {
    let account =
        account.ok_or_else(|| ApiError::missing(format!("no such account: {login}")).hint("waypost account list shows all accounts"))?;
    match account.is_active() {
        true => Ok(account),
        false => {
            Err(ApiError::conflict(format!("account {login} may not log in")).hint(format!("to see why: waypost account show {login}")))
        }
    }
}

pub(crate) async fn invite(
    actor: Actor,
    State(door): State<Door>,
    State(url): State<PageUrl>,
    State(live): State<Arc<LiveDirectory>>,
    Path(login): Path<String>,
) -> Result<Json<LinkView>, ApiError> {
    let directory = live.current();
    let login = active(directory.account(&login), &login)?.login.key();
    link(&actor, &door, &url, Some(&login), LinkPurpose::Invitation).await
}

async fn link(actor: &Actor, door: &Door, url: &PageUrl, login: Option<&str>, purpose: LinkPurpose) -> Result<Json<LinkView>, ApiError> {
    url.of("")?;
    let made = door.make_link(&actor.name, login.unwrap_or_default(), purpose).await?;
    let login = login.unwrap_or("operator").to_owned();
    Ok(Json(LinkView { link: url.of(&made.path)?, login, expires_ms: made.until_ms }))
}

pub(crate) async fn sessions(State(door): State<Door>) -> Json<PageSessions> {
    let view = |session: door::SessionView| PageSessionView {
        id: session.id,
        login: session.login,
        begun_ms: session.begun_ms,
        used_ms: session.used_ms,
        client: session.client,
        browser: session.browser,
    };
    Json(PageSessions { items: door.sessions(None).into_iter().map(view).collect() })
}

pub(crate) async fn end_sessions(actor: Actor, State(door): State<Door>, Path(login): Path<String>) -> Json<Changed> {
    let ended = door.end(Some(&login), None, None).await;
    let changed = format!("ended {ended} sessions of {login}");
    door.record_change(&actor.name, "login", &changed);
    Json(Changed { changed, warnings: Vec::new() })
}

pub(crate) async fn remove_second_step(
    actor: Actor,
    State(door): State<Door>,
    Path(login): Path<String>,
) -> Result<Json<Changed>, ApiError> {
    let login: Mailbox = parsed("an address", &login)?;
    if !door.remove_second_step(&actor.name, &login).await? {
        return Err(ApiError::missing(format!("{login} has no second step")).hint("its password alone opens the page"));
    }
    Ok(Json(Changed { changed: format!("removed the second step of {login}"), warnings: Vec::new() }))
}
