//! `/api/v1/accounts`: accounts, and the addresses that they may send from.
//!
//! Invariant: only this file changes what an account may do, except for its passwords and certificates.

mod certificates;
mod import;
mod passwords;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use directory::{Account, Alias, AliasSource, Caps, Directory, SenderRule};
use mail::Mailbox;
use mta::LiveDirectory;
use sasl::Mechanism;
use store::{AccountChange, DirectoryChange, LoginUse, Store};

use crate::actor::Actor;
use crate::aliases::refuse_wildcard;
use crate::api::{AccountDetail, AccountPatch, AccountView, Changed, CredentialView, Login, NewAccount, Page, PageQuery, UseView};
use crate::changes::DirectoryEditor;
use crate::error::ApiError;
use crate::extract::{Body, Params, parsed, parsed_name};
use crate::paging::page;

pub(crate) use certificates::{add as add_certificate, remove as remove_certificate};
pub(crate) use import::import;
pub(crate) use passwords::{PasswordMaker, checked_name, remove as remove_password, set as set_password, verify};

/// The name of a password if the request names no client.
const FIRST: &str = "first";

/// Maximum uses shown of each password.
const USES_SHOWN: usize = 10;

fn view(account: &Account, last_login_ms: Option<i64>) -> AccountView {
    let passwords = account.passwords.iter().map(|password| password.name.clone());
    AccountView {
        login: account.login.to_string(),
        may_send_as: account.may_send_as.iter().map(SenderRule::to_string).collect(),
        enabled: account.enabled,
        owner: account.owner,
        suspended: account.suspended.clone(),
        clients: passwords.chain(account.certificates.iter().map(|certificate| certificate.name.clone())).collect(),
        last_login_ms,
    }
}

pub(crate) async fn list(
    State(store): State<Store>,
    State(live): State<Arc<LiveDirectory>>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<AccountView>>, ApiError> {
    let mut last: HashMap<String, i64> = HashMap::new();
    // The newest are first.
    for used in store.logins(None, 0).await? {
        last.entry(used.login).or_insert(used.last_ms);
    }
    let directory = live.current();
    let accounts = directory.contents().accounts.iter().map(|account| view(account, last.get(&account.login.key()).copied())).collect();
    Ok(Json(page(&query, accounts, |account| account.login.to_ascii_lowercase())?))
}

pub(crate) async fn show(
    actor: Actor,
    State(store): State<Store>,
    State(live): State<Arc<LiveDirectory>>,
    Path(login): Path<String>,
) -> Result<Json<AccountDetail>, ApiError> {
    let directory = live.current();
    let account = existing(&actor, &directory, &parsed("an address", &login)?)?;
    let uses = store.logins(Some(account.login.key()), 0).await?;
    let leads_here = |alias: &&Alias| match &alias.source {
        AliasSource::Address(mailbox) => mailbox.key() != account.login.key() && account.leads_here(mailbox, &directory),
        AliasSource::CatchAll(_) => false,
    };
    Ok(Json(AccountDetail {
        account: view(&account, uses.first().map(|used| used.last_ms)),
        aliases: directory.contents().aliases.iter().filter(leads_here).map(|alias| alias.source.to_string()).collect(),
        credentials: credentials(&account, &uses),
        legacy_mechanisms: account.legacy_mechanisms.clone(),
        recipients_per_hour: account.caps.recipients_per_hour,
        new_recipients_per_day: account.caps.new_recipients_per_day,
        imap_host: account.imap_host.clone(),
    }))
}

fn credentials(account: &Account, uses: &[LoginUse]) -> Vec<CredentialView> {
    let uses_of = |name: &str| {
        let of_it = uses.iter().filter(|used| used.password == name).take(USES_SHOWN);
        of_it.map(|u| UseView { address: u.address.clone(), mechanism: u.mechanism.clone(), last_ms: u.last_ms, times: u.times }).collect()
    };
    let made = |name: &str, kind: &str, made_ms: i64| CredentialView { name: name.into(), kind: kind.into(), made_ms, uses: uses_of(name) };
    let kind = |is_ours: bool| if is_ours { "password" } else { "imported password" };
    let passwords = account.passwords.iter().map(|p| made(&p.name, kind(p.scram_sha256.is_some()), p.made_ms));
    passwords.chain(account.certificates.iter().map(|c| made(&c.name, "certificate", c.made_ms))).collect()
}

pub(crate) async fn add(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    State(maker): State<PasswordMaker>,
    Body(new): Body<NewAccount>,
) -> Result<Json<Login>, ApiError> {
    let login: Mailbox = parsed_name("an address", &new.login)?;
    let may_send_as = rules(&new.may_send_as)?;
    let name = passwords::checked_name(new.name.as_deref().unwrap_or(FIRST))?;
    let edit = editor.begin(&actor).await;
    let directory = edit.directory();
    if directory.account(&login.to_string()).is_some() {
        return Err(ApiError::conflict(format!("account {login} already exists"))
            .hint(format!("to set a new password: waypost account passwd {login}")));
    }
    let mut account = Account { may_send_as, owner: new.owner, ..Account::new(login.clone(), net::random_bytes()) };
    let (kept, password) = maker.make(&account, &name, new.password).await?;
    account.passwords.push(kept);
    let mut warnings = foreign(&directory, &login);
    if lacks_alias(&directory, &login) {
        warnings.extend(no_alias(std::slice::from_ref(&login)));
    }
    let change = DirectoryChange::Account(AccountChange::Add(Box::new(account)));
    warnings.extend(edit.commit(format!("added account {login}"), vec![change]).await?.warnings);
    Ok(Json(Login { login: login.to_string(), name, password, warnings }))
}

fn rules(texts: &[String]) -> Result<Vec<SenderRule>, ApiError> {
    texts.iter().try_for_each(|text| refuse_wildcard(text))?;
    texts.iter().map(|text| parsed("an address (me@example.com), a domain (@example.com) or *", text)).collect()
}

/// Warns of a login whose domain is not hosted here, which may be intended.
fn foreign(directory: &Directory, login: &Mailbox) -> Vec<String> {
    let warning = || format!("{} is not hosted here, so replies to {login} do not arrive here", login.domain);
    if directory.hosts(&login.domain) { Vec::new() } else { vec![warning()] }
}

/// Whether a login of a hosted domain has no alias, so that mail to it is refused.
fn lacks_alias(directory: &Directory, login: &Mailbox) -> bool {
    directory.hosts(&login.domain) && directory.targets(login).is_err() && !directory.is_role(login)
}

/// Warns of logins without an alias.
fn no_alias(logins: &[Mailbox]) -> Vec<String> {
    const WHAT: &str = "replies to it are refused, and DSNs about mail that it sends go to the postmaster; to forward its mail";
    let [first, others @ ..] = logins else { return Vec::new() };
    let accounts = match others.len() {
        0 => format!("there is no alias for {first}"),
        n => format!("there is no alias for {first} and {n} other accounts"),
    };
    vec![format!("{accounts}: {WHAT}: waypost alias add {first} you@elsewhere.example")]
}

/// Returns the account of this login, if the actor may know of it.
fn existing(actor: &Actor, directory: &Directory, login: &Mailbox) -> Result<Account, ApiError> {
    let found = directory.account(&login.to_string()).filter(|account| actor.sees_account(&account.login)).cloned();
    found.ok_or_else(|| ApiError::missing(format!("no such account: {login}")).hint("waypost account list shows all accounts"))
}

/// Parses the names of mechanisms that need the password in clear.
fn legacy(names: &[String]) -> Result<Vec<String>, ApiError> {
    let known = |name: &String| {
        let mechanism = Mechanism::from_name(name).filter(|mechanism| mechanism.needs_secret());
        mechanism.map(|mechanism| mechanism.name().to_owned()).ok_or_else(|| {
            ApiError::bad(format!("{name} is not a mechanism that must be allowed"))
                .hint("use CRAM-MD5, DIGEST-MD5 or NTLM; PLAIN, LOGIN and SCRAM are always allowed")
        })
    };
    names.iter().map(known).collect()
}

pub(crate) async fn change(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    Path(login): Path<String>,
    Body(patch): Body<AccountPatch>,
) -> Result<Json<Changed>, ApiError> {
    let login: Mailbox = parsed("an address", &login)?;
    let (changes, texts) = changes(&login, &patch)?;
    if changes.is_empty() {
        return Err(ApiError::bad("the request changes nothing")
            .hint("set at least one of enabled, may_send_as, suspended, legacy_mechanisms, limits, imap_host and owner"));
    }
    let edit = editor.begin(&actor).await;
    let account = existing(&actor, &edit.directory(), &login)?;
    let mut changed = edit.commit(format!("account {login} {}", texts.join(" and ")), changes).await?;
    if patch.legacy_mechanisms.as_ref().is_some_and(|names| !names.is_empty()) {
        changed.warnings.extend(passwords::unsealed(&account));
    }
    if patch.owner == Some(false) && !edit.directory().contents().accounts.iter().any(|account| account.owner) {
        changed.warnings.push("no account is an owner now; to make one: waypost account owner LOGIN".into());
    }
    Ok(Json(changed))
}

fn changes(login: &Mailbox, patch: &AccountPatch) -> Result<(Vec<DirectoryChange>, Vec<String>), ApiError> {
    let (mut changes, mut descriptions) = (Vec::new(), Vec::new());
    let mut add = |change, words: String| {
        changes.push(DirectoryChange::Account(change));
        descriptions.push(words);
    };
    if let Some(texts) = &patch.may_send_as {
        let also = if texts.is_empty() { "no other address".into() } else { texts.join(", ") };
        add(AccountChange::SetSenders(login.clone(), rules(texts)?), format!("may send from its login and {also}"));
    }
    if let Some(enabled) = patch.enabled {
        add(AccountChange::Enable(login.clone(), enabled), if enabled { "is enabled".into() } else { "is disabled".into() });
    }
    if let Some(why) = &patch.suspended {
        let why = Some(why.trim()).filter(|why| !why.is_empty());
        let words = why.map_or("is resumed".into(), |why| format!("is suspended: {why}"));
        add(AccountChange::Suspend(login.clone(), why.map(ToOwned::to_owned)), words);
    }
    if let Some(names) = &patch.legacy_mechanisms {
        let names = legacy(names)?;
        let words = if names.is_empty() { "allows no legacy mechanism".into() } else { format!("allows {}", names.join(", ")) };
        add(AccountChange::SetLegacyMechanisms(login.clone(), names), words);
    }
    if let Some(limits) = patch.limits {
        let caps = Caps { recipients_per_hour: limits.recipients_per_hour, new_recipients_per_day: limits.new_recipients_per_day };
        let number = |n: Option<u32>| n.map_or("the configured number of".into(), |n| n.to_string());
        let words = format!(
            "may send to {} recipients in an hour and {} new ones in a day",
            number(caps.recipients_per_hour),
            number(caps.new_recipients_per_day)
        );
        add(AccountChange::SetCaps(login.clone(), caps), words);
    }
    if let Some(host) = &patch.imap_host {
        let host = Some(host.trim()).filter(|host| !host.is_empty());
        let host = host.map(|host| parsed::<mail::Domain>("a host name", host)).transpose()?.map(|host| host.to_string());
        let words = host.as_ref().map_or("reads mail at the host of its alias".into(), |host| format!("reads mail at {host}"));
        add(AccountChange::SetImapHost(login.clone(), host), words);
    }
    if let Some(owner) = patch.owner {
        let words = if owner { "is an owner: it sees and changes everything on the owner's page" } else { "is no owner any more" };
        add(AccountChange::SetOwner(login.clone(), owner), words.into());
    }
    Ok((changes, descriptions))
}

pub(crate) async fn remove(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    Path(login): Path<String>,
) -> Result<Json<Changed>, ApiError> {
    let login: Mailbox = parsed("an address", &login)?;
    let edit = editor.begin(&actor).await;
    existing(&actor, &edit.directory(), &login)?;
    let change = DirectoryChange::Account(AccountChange::Remove(login.clone()));
    Ok(Json(edit.commit(format!("removed account {login}"), vec![change]).await?))
}
