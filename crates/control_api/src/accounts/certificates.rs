//! `/api/v1/accounts/{login}/certificates`: client certificates that log in without a password.
//!
//! RFC 4422 appendix A. Invariant: a certificate is identified by the digest of its DER; its issuer is not checked.

use axum::Json;
use axum::extract::{Path, State};
use directory::ClientCertificate;
use mail::Mailbox;
use net::Clock;
use store::{AccountChange, DirectoryChange};

use super::existing;
use super::passwords::checked_name;
use crate::actor::Actor;
use crate::api::{Changed, NewCertificate};
use crate::changes::DirectoryEditor;
use crate::error::ApiError;
use crate::extract::{Body, parsed};

pub(crate) async fn add(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    State(clock): State<Clock>,
    Path(login): Path<String>,
    Body(new): Body<NewCertificate>,
) -> Result<Json<Changed>, ApiError> {
    let login: Mailbox = parsed("an address", &login)?;
    let name = checked_name(&new.name)?;
    let sha256 = parse_digest(&new.sha256)?;
    let edit = editor.begin(&actor).await;
    let directory = edit.directory();
    let account = existing(&actor, &directory, &login)?;
    if account.passwords.iter().any(|password| password.name == name) {
        return Err(
            ApiError::conflict(format!("{login} already has a password named {name}")).hint("choose another name for the certificate")
        );
    }
    let holder = directory.contents().accounts.iter().find(|account| account.certificates.iter().any(|known| known.sha256 == sha256));
    if let Some(holder) = holder {
        return Err(ApiError::conflict(format!("this certificate already belongs to account {}", holder.login)));
    }
    let certificate = ClientCertificate { name: name.clone(), sha256, made_ms: clock.now_ms() };
    let change = DirectoryChange::Account(AccountChange::AddCertificate(login.clone(), certificate));
    Ok(Json(edit.commit(format!("added the client certificate {name} to account {login}"), vec![change]).await?))
}

/// Parses 64 hexadecimal digits, with or without colons.
fn parse_digest(text: &str) -> Result<String, ApiError> {
    let digits: String = text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect();
    match digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(digits),
        false => Err(ApiError::bad("invalid SHA-256 of a certificate")
            .hint("use the 64 hexadecimal digits of: openssl x509 -noout -fingerprint -sha256")),
    }
}

pub(crate) async fn remove(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    Path((login, name)): Path<(String, String)>,
) -> Result<Json<Changed>, ApiError> {
    let login: Mailbox = parsed("an address", &login)?;
    let edit = editor.begin(&actor).await;
    existing(&actor, &edit.directory(), &login)?;
    let change = DirectoryChange::Account(AccountChange::RemoveCertificate(login.clone(), name.clone()));
    Ok(Json(edit.commit(format!("removed the client certificate {name} of account {login}"), vec![change]).await?))
}
