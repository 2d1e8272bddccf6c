//! `/v1/accounts`: who may log in, and as whom they may send.
//!
//! Invariant: a password leaves this file once, in the answer to the request that made it; it is never logged and never listed.

use axum::Json;
use axum::extract::{Path, State};
use directory::{Account, Directory, SenderRule};
use mail::Mailbox;
use store::DirectoryChange;

use crate::api::{AccountPatch, AccountView, Changed, Login, NewAccount, NewPassword};
use crate::error::ApiError;
use crate::extract::{Body, parsed};
use crate::server::Shared;

/// The shortest password that is taken, in characters.
const PASSWORD_MIN: usize = 8;

pub(crate) async fn list(State(shared): State<Shared>) -> Json<Vec<AccountView>> {
    let directory = shared.handles.live.current();
    let view = |account: &Account| AccountView {
        login: account.login.to_string(),
        may_send_as: account.may_send_as.iter().map(SenderRule::to_string).collect(),
        enabled: account.enabled,
    };
    Json(directory.contents().accounts.iter().map(view).collect())
}

pub(crate) async fn add(State(shared): State<Shared>, Body(new): Body<NewAccount>) -> Result<Json<Login>, ApiError> {
    let login: Mailbox = parsed("an address", &new.login)?;
    let may_send_as = rules(&new.may_send_as)?;
    let _changing = shared.changing.lock().await;
    let directory = shared.handles.live.current();
    if directory.account(&login.to_string()).is_some() {
        return Err(ApiError::conflict(format!("there is already an account {login}"))
            .hint(format!("for a new password: waypost account passwd {login}")));
    }
    let (password_hash, password) = verifier(new.password).await?;
    let mut warnings = foreign(&directory, &login);
    let account = Account { login: login.clone(), password_hash, may_send_as, enabled: true };
    warnings.extend(shared.commit(format!("account {login} is added"), vec![DirectoryChange::AddAccount(account)]).await?.warnings);
    Ok(Json(Login { login: login.to_string(), password, warnings }))
}

fn rules(texts: &[String]) -> Result<Vec<SenderRule>, ApiError> {
    texts.iter().map(|text| parsed("an address (me@example.com), a domain (@example.com) or *", text)).collect()
}

/// Replies to an address that is not hosted here do not come here; that may be meant so.
fn foreign(directory: &Directory, login: &Mailbox) -> Vec<String> {
    let warning = || format!("{} is not a domain of this server, so replies to {login} do not come here", login.domain);
    if directory.hosts(&login.domain) { Vec::new() } else { vec![warning()] }
}

/// The verifier of the given or a new password, and the password where it is new.
async fn verifier(given: Option<String>) -> Result<(String, Option<String>), ApiError> {
    let (password, made) = match given {
        Some(password) => (checked(password)?, None),
        None => {
            let password = sasl::password::generate(net::random_bytes());
            (password.clone(), Some(password))
        }
    };
    let failed = |e: String| ApiError::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, e);
    let hash = tokio::task::spawn_blocking(move || sasl::password::hash(&password, net::random_bytes()))
        .await
        .map_err(|e| failed(e.to_string()))?
        .map_err(|e| failed(e.to_string()))?;
    Ok((hash, made))
}

fn checked(password: String) -> Result<String, ApiError> {
    let length = password.chars().count();
    if length < PASSWORD_MIN {
        return Err(ApiError::bad(format!("the password has {length} characters and needs {PASSWORD_MIN}"))
            .hint("leave it out, and a strong one is made and shown once"));
    }
    match password.chars().any(char::is_control) {
        true => Err(ApiError::bad("the password holds a control character, which no mail program can send")),
        false => Ok(password),
    }
}

fn existing(shared: &Shared, login: &Mailbox) -> Result<(), ApiError> {
    match shared.handles.live.current().account(&login.to_string()) {
        Some(_) => Ok(()),
        None => Err(ApiError::missing(format!("there is no account {login}")).hint("waypost account list shows what there is")),
    }
}

pub(crate) async fn set_password(
    State(shared): State<Shared>,
    Path(login): Path<String>,
    Body(new): Body<NewPassword>,
) -> Result<Json<Login>, ApiError> {
    let login: Mailbox = parsed("an address", &login)?;
    existing(&shared, &login)?;
    let (hash, password) = verifier(new.password).await?;
    let _changing = shared.changing.lock().await;
    let change = DirectoryChange::SetPassword(login.clone(), hash);
    let changed = shared.commit(format!("account {login} has a new password"), vec![change]).await?;
    Ok(Json(Login { login: login.to_string(), password, warnings: changed.warnings }))
}

pub(crate) async fn change(
    State(shared): State<Shared>,
    Path(login): Path<String>,
    Body(patch): Body<AccountPatch>,
) -> Result<Json<Changed>, ApiError> {
    let login: Mailbox = parsed("an address", &login)?;
    let mut changes = Vec::new();
    let mut said = Vec::new();
    if let Some(texts) = &patch.may_send_as {
        let rules = rules(texts)?;
        let also = if texts.is_empty() { "no other address".into() } else { texts.join(", ") };
        said.push(format!("sends as itself and {also}"));
        changes.push(DirectoryChange::SetSenders(login.clone(), rules));
    }
    if let Some(enabled) = patch.enabled {
        said.push(if enabled { "is enabled".into() } else { "is disabled".into() });
        changes.push(DirectoryChange::EnableAccount(login.clone(), enabled));
    }
    if changes.is_empty() {
        return Err(ApiError::bad("nothing was named to change").hint("name enabled or may_send_as"));
    }
    let _changing = shared.changing.lock().await;
    existing(&shared, &login)?;
    Ok(Json(shared.commit(format!("account {login} {}", said.join(" and ")), changes).await?))
}

pub(crate) async fn remove(State(shared): State<Shared>, Path(login): Path<String>) -> Result<Json<Changed>, ApiError> {
    let login: Mailbox = parsed("an address", &login)?;
    let _changing = shared.changing.lock().await;
    existing(&shared, &login)?;
    Ok(Json(shared.commit(format!("account {login} is removed"), vec![DirectoryChange::RemoveAccount(login)]).await?))
}
