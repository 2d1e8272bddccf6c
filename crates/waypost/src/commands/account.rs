//! `waypost account`: who may log in and send.

use admin::api::{AccountPatch, AccountView, Changed, Login, NewAccount, NewPassword};
use anyhow::{Context, Result, bail};

use super::{changed, warn};
use crate::cli::Account;
use crate::output::{BOLD, DIM, GOOD, Output, styled, table};
use crate::transport::{Transport, segment};

pub(super) async fn run(api: &mut Transport, command: Account, out: Output) -> Result<()> {
    match command {
        Account::Add { login, sender, password_stdin } => {
            let new = NewAccount { login, password: given(password_stdin)?, may_send_as: sender };
            let login: Login = api.post("/v1/accounts", &new).await?;
            logged_in(out, &login, "is added")
        }
        Account::Passwd { login, password_stdin } => {
            let path = format!("{}/password", path(&login));
            let login: Login = api.post(&path, &NewPassword { password: given(password_stdin)? }).await?;
            logged_in(out, &login, "has a new password")
        }
        Account::List => {
            let accounts: Vec<AccountView> = api.get("/v1/accounts").await?;
            Ok(out.show(&accounts, |accounts| list(accounts))?)
        }
        Account::Senders { login, senders, add } => {
            let senders = if add.is_empty() { senders } else { with_present(api, &login, add).await? };
            let patch = AccountPatch { may_send_as: Some(senders), ..AccountPatch::default() };
            change(api, &login, &patch, out).await
        }
        Account::Disable { login } => change(api, &login, &AccountPatch { enabled: Some(false), ..AccountPatch::default() }, out).await,
        Account::Enable { login } => change(api, &login, &AccountPatch { enabled: Some(true), ..AccountPatch::default() }, out).await,
        Account::Remove { login } => {
            let done: Changed = api.delete(&path(&login)).await?;
            changed(out, &done)
        }
    }
}

fn path(login: &str) -> String {
    format!("/v1/accounts/{}", segment(login))
}

/// The senders that the account has already, then those that are new.
async fn with_present(api: &mut Transport, login: &str, add: Vec<String>) -> Result<Vec<String>> {
    let accounts: Vec<AccountView> = api.get("/v1/accounts").await?;
    let present = accounts.into_iter().find(|account| account.login.eq_ignore_ascii_case(login));
    // Without such an account the change itself says so.
    let mut senders = present.map(|account| account.may_send_as).unwrap_or_default();
    senders.extend(add);
    Ok(senders)
}

async fn change(api: &mut Transport, login: &str, patch: &AccountPatch, out: Output) -> Result<()> {
    let done: Changed = api.patch(&path(login), patch).await?;
    changed(out, &done)
}

/// A password on the command line would stand in the shell's history and in the list of processes.
fn given(from_stdin: bool) -> Result<Option<String>> {
    if !from_stdin {
        return Ok(None);
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("standard input cannot be read")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("standard input holds no password\n  hint: write it on the first line, or leave --password-stdin out and one is made");
    }
    Ok(Some(password.to_owned()))
}

fn logged_in(out: Output, login: &Login, what: &str) -> Result<()> {
    out.show(login, |login| {
        let mut text = format!("{} account {} {what}", styled(GOOD, "ok:"), login.login);
        if let Some(password) = &login.password {
            let once = styled(DIM, "(shown this once)");
            text.push_str(&format!("\n  user name  {}\n  password   {}  {once}", login.login, styled(BOLD, password)));
        }
        text
    })?;
    if !out.json {
        warn(&login.warnings);
    }
    Ok(())
}

fn list(accounts: &[AccountView]) -> String {
    if accounts.is_empty() {
        return styled(DIM, "no accounts; add one: waypost account add me@example.com");
    }
    let row = |a: &AccountView| {
        let senders = if a.may_send_as.is_empty() { "-".to_owned() } else { a.may_send_as.join(", ") };
        vec![a.login.clone(), senders, if a.enabled { String::new() } else { "disabled".into() }]
    };
    table(&["account", "sends also as", ""], &accounts.iter().map(row).collect::<Vec<_>>())
}
