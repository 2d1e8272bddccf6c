//! `/v1/accounts/import`: accounts of another mail server, with their passwords or what those are compared with.
//!
//! Invariant: an import is stored whole or not at all, and a dry run reports what the import would.

use axum::Json;
use axum::extract::State;
use directory::{Account, Password, invisible_in};
use mail::Mailbox;
use store::{AccountChange, DirectoryChange};

use super::passwords::kept;
use super::{FIRST, foreign, lacks_alias, legacy, no_alias};
use crate::api::{AccountImport, AccountImportReport, ImportedAccount};
use crate::error::ApiError;
use crate::extract::{Body, unseen};
use crate::server::Shared;

pub(crate) async fn import(State(shared): State<Shared>, Body(import): Body<AccountImport>) -> Result<Json<AccountImportReport>, ApiError> {
    let legacy = legacy(&import.legacy_mechanisms)?;
    let _changing = shared.changing.lock().await;
    let directory = shared.handles.live.current();
    let mut report = AccountImportReport { dry_run: import.dry_run, ..AccountImportReport::default() };
    let (mut changes, mut without_alias) = (Vec::new(), Vec::new());
    for new in import.accounts {
        let Ok(login) = new.login.parse::<Mailbox>() else {
            report.skipped.push((new.login, "is not an address; name the domain with --domain".into()));
            continue;
        };
        if let Some(c) = invisible_in(&new.login) {
            report.skipped.push((new.login.clone(), unseen(&new.login, c)));
            continue;
        }
        let there = directory.account(&new.login);
        if there.is_some() && !import.replace {
            report.skipped.push((new.login, "is there already".into()));
            continue;
        }
        let mut account = there.cloned().unwrap_or_else(|| Account::new(login.clone(), net::random_bytes()));
        if new.password.is_some() {
            account.legacy_mechanisms.clone_from(&legacy);
        }
        match credential(&shared, &account, &new, import.dry_run).await? {
            Ok(password) => changes.extend(add(there.is_some(), account, password)),
            Err(why) => {
                report.skipped.push((new.login, why));
                continue;
            }
        }
        if there.is_none() {
            report.warnings.extend(foreign(&directory, &login));
            without_alias.extend(Some(login.clone()).filter(|login| lacks_alias(&directory, login)));
        }
        report.imported.push(login.to_string());
    }
    report.warnings.sort();
    report.warnings.dedup();
    report.warnings.extend(no_alias(&without_alias));
    if !import.dry_run && !changes.is_empty() {
        report.warnings.extend(shared.commit(format!("{} accounts were imported", report.imported.len()), changes).await?.warnings);
    }
    Ok(Json(report))
}

/// What is kept of the account's password; the inner error says why there is nothing.
async fn credential(
    shared: &Shared,
    account: &Account,
    new: &ImportedAccount,
    dry_run: bool,
) -> Result<Result<Password, String>, ApiError> {
    let made_ms = shared.handles.clock.now_ms();
    let foreign = |verifier: String| Password { name: FIRST.into(), verifier, scram_sha256: None, scram_sha1: None, sealed: None, made_ms };
    Ok(match (&new.password, &new.verifier) {
        (Some(password), None) if password.is_empty() => Err("has an empty password".into()),
        // Hashing thousands takes minutes; a dry run has no use for it.
        (Some(_), None) if dry_run => Ok(foreign(String::new())),
        (Some(password), None) => Ok(kept(shared, account, FIRST, password.clone()).await?),
        (None, Some(verifier)) if sasl::password::is_known(verifier) => Ok(foreign(verifier.clone())),
        (None, Some(_)) => Err("has a hash of a kind that cannot be checked here".into()),
        _ => Err("needs a password or a hash, and not both".into()),
    })
}

fn add(is_there: bool, account: Account, password: Password) -> Vec<DirectoryChange> {
    let changes = if is_there {
        let legacy = AccountChange::SetLegacyMechanisms(account.login.clone(), account.legacy_mechanisms);
        vec![legacy, AccountChange::PutPassword(account.login, password)]
    } else {
        vec![AccountChange::Add(Box::new(Account { passwords: vec![password], ..account }))]
    };
    changes.into_iter().map(DirectoryChange::Account).collect()
}
