//! `/api/v1/accounts/{login}/passwords`: one password for each client.
//!
//! Invariant: a password leaves the server only in the response to the request that generated it; it is never logged or listed.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use directory::{Account, Password};
use mail::Mailbox;
use mta::LiveDirectory;
use mta::passwords::{PASSWORDS_MAX, PasswordKey, find_password, make, sealed};
use net::Clock;
use sasl::Secret;
use store::{AccountChange, DirectoryChange};

use super::{FIRST, existing};
use crate::actor::Actor;
use crate::api::{Changed, Login, NewPassword, TriedPassword, Verified};
use crate::changes::DirectoryEditor;
use crate::error::ApiError;
use crate::extract::{Body, parsed};

/// Minimum length of a password, in characters.
const PASSWORD_MIN: usize = 8;

/// Maximum length of a client's name, in characters.
const NAME_MAX: usize = 60;

/// Hashes and seals passwords for the store.
#[derive(Clone)]
pub(crate) struct PasswordMaker {
    pub key: Arc<PasswordKey>,
    pub clock: Clock,
}

impl PasswordMaker {
    /// Hashes the given password, or a new one. Returns what is stored, and the password if it is new.
    pub async fn make(&self, account: &Account, name: &str, given: Option<String>) -> Result<(Password, Option<String>), ApiError> {
        let (password, made) = match given {
            Some(password) => (checked(password)?, None),
            None => {
                let password = sasl::password::generate(net::random_bytes());
                (password.clone(), Some(password))
            }
        };
        Ok((self.hash(account, name, password).await?, made))
    }

    async fn hash(&self, account: &Account, name: &str, password: String) -> Result<Password, ApiError> {
        let (account, name, key, now_ms) = (account.clone(), name.to_owned(), self.key.clone(), self.clock.now_ms());
        let made = net::blocking(move || make(&account, &name, &Secret::new(&password), &key, now_ms)).await;
        made.map_err(|e| ApiError::internal(e.to_string()))
    }

    /// Seals an imported password, which is hashed when it is first used.
    pub fn seal(&self, account: &Account, name: &str, password: &str) -> Password {
        sealed(account, name, &Secret::new(password), &self.key, self.clock.now_ms())
    }
}

/// Checks the name of a client.
pub(crate) fn checked_name(name: &str) -> Result<String, ApiError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(ApiError::bad("the name of a client must have 1 to 60 characters")
            .hint("name the client that will use the password, for example gmail or phone"));
    }
    Ok(name.to_owned())
}

fn checked(password: String) -> Result<String, ApiError> {
    let length = password.chars().count();
    if length < PASSWORD_MIN {
        return Err(ApiError::bad(format!("the password has {length} characters; the minimum is {PASSWORD_MIN}"))
            .hint("without one, the server generates a strong password and shows it once"));
    }
    match password.chars().any(char::is_control) {
        true => Err(ApiError::bad("the password contains a control character, which mail clients cannot send")),
        false => Ok(password),
    }
}

/// Returns the name of the password to replace, or of a further one.
fn named(account: &Account, name: Option<String>) -> Result<String, ApiError> {
    match (name, account.passwords.as_slice()) {
        (Some(name), _) => checked_name(&name),
        (None, []) => Ok(FIRST.into()),
        (None, [only]) => Ok(only.name.clone()),
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|password| password.name.as_str()).collect();
            Err(ApiError::conflict(format!("{} has several passwords: {}", account.login, names.join(", ")))
                .hint(format!("name the one to replace: waypost account passwd {} --name NAME", account.login)))
        }
    }
}

pub(crate) async fn set(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    State(maker): State<PasswordMaker>,
    Path(login): Path<String>,
    Body(new): Body<NewPassword>,
) -> Result<Json<Login>, ApiError> {
    let login: Mailbox = parsed("an address", &login)?;
    let edit = editor.begin(&actor).await;
    let account = existing(&actor, &edit.directory(), &login)?;
    let name = named(&account, new.name)?;
    let is_new = !account.passwords.iter().any(|password| password.name == name);
    if is_new && account.passwords.len() >= PASSWORDS_MAX {
        return Err(ApiError::conflict(format!("{login} has the maximum of {PASSWORDS_MAX} passwords"))
            .hint(format!("remove one: waypost account passwd {login} --name NAME --remove")));
    }
    let (kept, password) = maker.make(&account, &name, new.password).await?;
    let change = DirectoryChange::Account(AccountChange::PutPassword(login.clone(), kept));
    let changed = edit.commit(format!("set the password {name} of account {login}"), vec![change]).await?;
    Ok(Json(Login { login: login.to_string(), name, password, warnings: changed.warnings }))
}

pub(crate) async fn remove(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    Path((login, name)): Path<(String, String)>,
) -> Result<Json<Changed>, ApiError> {
    let login: Mailbox = parsed("an address", &login)?;
    let edit = editor.begin(&actor).await;
    let account = existing(&actor, &edit.directory(), &login)?;
    let change = DirectoryChange::Account(AccountChange::RemovePassword(login.clone(), name.clone()));
    let mut changed = edit.commit(format!("removed the password {name} of account {login}"), vec![change]).await?;
    if account.passwords.len() == 1 && account.certificates.is_empty() {
        changed.warnings.push(format!("account {login} has no password left; to set one: waypost account passwd {login}"));
    }
    Ok(Json(changed))
}

pub(crate) async fn verify(
    actor: Actor,
    State(live): State<Arc<LiveDirectory>>,
    State(maker): State<PasswordMaker>,
    Path(login): Path<String>,
    Body(tried): Body<TriedPassword>,
) -> Result<Json<Verified>, ApiError> {
    let account = existing(&actor, &live.current(), &parsed("an address", &login)?)?;
    let but = match (&account.enabled, &account.suspended) {
        (false, _) => Some("the account is disabled".to_owned()),
        (true, Some(why)) => Some(format!("the account is suspended: {why}")),
        (true, None) => None,
    };
    let names: Vec<String> = account.passwords.iter().map(|password| password.name.clone()).collect();
    let key = maker.key;
    let found = net::blocking(move || find_password(Some(&account), &Secret::new(&tried.password), &key)).await;
    let name = found.and_then(|n| names.get(n).cloned());
    Ok(Json(Verified { right: name.is_some(), name, but }))
}

/// Returns what is necessary before a legacy mechanism works with the existing passwords.
pub(super) fn unsealed(account: &Account) -> Vec<String> {
    let without: Vec<&str> = account.passwords.iter().filter(|kept| kept.sealed.is_none()).map(|kept| kept.name.as_str()).collect();
    let mut warnings = vec![
        "these mechanisms are now offered to all clients; a client of another account that prefers them cannot log in until it is set to PLAIN"
            .to_owned(),
    ];
    if !without.is_empty() {
        warnings.push(format!(
            "these passwords work with them after a login by PLAIN or LOGIN, or after they are set again (waypost account passwd {} --name NAME): {}",
            account.login,
            without.join(", ")
        ));
    }
    warnings
}
