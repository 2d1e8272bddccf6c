//! `/api/v1/accounts/import`: accounts of another mail server, with their passwords or password hashes.
//!
//! Invariant: an invalid account does not affect the others; a dry run reports what the import would; no password is hashed here, so that thousands of
//! accounts take a moment.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use directory::{Account, Password, SenderRule, invisible_in};
use mail::Mailbox;
use store::{AccountChange, DirectoryChange};

use super::{FIRST, PasswordMaker, foreign, lacks_alias, legacy, no_alias, rules};
use crate::actor::Actor;
use crate::api::{AccountImport, AccountImportReport, ImportedAccount};
use crate::changes::DirectoryEditor;
use crate::error::ApiError;
use crate::extract::{Body, unseen};

pub(crate) async fn import(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    State(maker): State<PasswordMaker>,
    Body(import): Body<AccountImport>,
) -> Result<Json<AccountImportReport>, ApiError> {
    let (legacy, senders) = (legacy(&import.legacy_mechanisms)?, rules(&import.may_send_as)?);
    let edit = editor.begin(&actor).await;
    let directory = edit.directory();
    let mut report = AccountImportReport { dry_run: import.dry_run, ..AccountImportReport::default() };
    let (mut changes, mut without_alias) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for new in import.accounts {
        let there = directory.account(&new.login);
        let login = match wanted(&new, there.is_some() && !import.replace, &mut seen) {
            Ok(login) => login,
            Err(why) => {
                report.skipped.push((new.login, why));
                continue;
            }
        };
        let mut account = there.cloned().unwrap_or_else(|| Account::new(login.clone(), net::random_bytes()));
        if new.password.is_some() {
            account.legacy_mechanisms.clone_from(&legacy);
        }
        match credential(&maker, &account, &new) {
            Ok(password) => changes.extend(add(there.is_some(), account, password, &senders, new.suspended.as_ref())),
            Err(why) => {
                report.skipped.push((new.login, why.into()));
                continue;
            }
        }
        if there.is_none() {
            report.warnings.extend(foreign(&directory, &login));
            without_alias.extend(Some(login.clone()).filter(|login| lacks_alias(&directory, login)));
        }
        let suspended = |why| format!("{login} is suspended: {why}; to allow it to log in from anywhere: waypost account resume {login}");
        report.warnings.extend(new.suspended.as_ref().map(suspended));
        report.imported.push(login.to_string());
    }
    report.warnings.sort();
    report.warnings.dedup();
    report.warnings.extend(no_alias(&without_alias));
    if !import.dry_run && !changes.is_empty() {
        report.warnings.extend(edit.commit(format!("imported {} accounts", report.imported.len()), changes).await?.warnings);
    }
    Ok(Json(report))
}

fn wanted(new: &ImportedAccount, is_there: bool, seen: &mut HashSet<String>) -> Result<Mailbox, String> {
    let login: Mailbox = match new.login.parse() {
        Ok(login) => login,
        Err(_) if !new.login.contains('@') => return Err("not an address; name the domain with --domain".into()),
        Err(error) => return Err(format!("not an address: {error}")),
    };
    if let Some(c) = invisible_in(&new.login) {
        return Err(unseen(&new.login, c));
    }
    match seen.insert(login.key()) {
        _ if is_there => Err("already exists".into()),
        true => Ok(login),
        false => Err("listed twice; the first one is used".into()),
    }
}

/// Returns the credential to store; the error says why there is none.
fn credential(maker: &PasswordMaker, account: &Account, new: &ImportedAccount) -> Result<Password, &'static str> {
    match (&new.password, &new.verifier) {
        (Some(password), None) if password.is_empty() => Err("empty password"),
        (Some(password), None) => Ok(maker.seal(account, FIRST, password)),
        (None, Some(verifier)) if sasl::password::is_known(verifier) => {
            let (verifier, made_ms) = (verifier.clone(), maker.clock.now_ms());
            Ok(Password { name: FIRST.into(), verifier, scram_sha256: None, scram_sha1: None, sealed: None, made_ms })
        }
        (None, Some(_)) => Err("unsupported kind of hash"),
        _ => Err("needs either a password or a hash"),
    }
}

fn add(is_there: bool, account: Account, password: Password, senders: &[SenderRule], suspended: Option<&String>) -> Vec<DirectoryChange> {
    let changes = if is_there {
        let login = account.login.clone();
        let mut may_send_as = account.may_send_as;
        let new: Vec<SenderRule> = senders.iter().filter(|rule| !may_send_as.contains(rule)).cloned().collect();
        let is_more = !new.is_empty();
        may_send_as.extend(new);
        let legacy = AccountChange::SetLegacyMechanisms(login.clone(), account.legacy_mechanisms);
        let mut changes = vec![legacy, AccountChange::PutPassword(login.clone(), password)];
        changes.extend(is_more.then(|| AccountChange::SetSenders(login.clone(), may_send_as)));
        changes.extend(suspended.map(|why| AccountChange::Suspend(login, Some(why.clone()))));
        changes
    } else {
        let (may_send_as, suspended) = (senders.to_vec(), suspended.cloned());
        vec![AccountChange::Add(Box::new(Account { passwords: vec![password], may_send_as, suspended, ..account }))]
    };
    changes.into_iter().map(DirectoryChange::Account).collect()
}
