//! `waypost account`: accounts, their passwords, senders and limits.

mod import;
mod profile;
mod show;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use control_api::api::{
    AccountDetail, AccountLimits, AccountPatch, AccountView, Changed, Login, NewAccount, NewAlias, NewCertificate, NewPassword,
    TriedPassword, Verified,
};

use super::{changed, warn};
use crate::cli::{AccountCertificateCommand, AccountCommand};
use crate::config::Config;
use crate::output::{BAD, BOLD, DIM, GOOD, Output, note, styled};
use crate::transport::{Transport, segment};

pub(super) async fn run(config: &Config, api: &mut Transport, command: AccountCommand, out: Output) -> Result<ExitCode> {
    match command {
        AccountCommand::Add { login, name, sender, forward, owner, password_stdin } => {
            let password = given(password_stdin)?;
            // The alias first: if it is refused, no account is created.
            let mut warnings = Vec::new();
            if !forward.is_empty() {
                let done: Changed =
                    api.post("/api/v1/aliases", &NewAlias { source: login.clone(), targets: forward, replace: false }).await?;
                note(&format!("{} alias {}", styled(GOOD, "ok:"), done.changed));
                warnings = done.warnings;
            }
            let new = NewAccount { login, password, name, may_send_as: sender, owner };
            let mut login: Login = api.post("/api/v1/accounts", &new).await?;
            login.warnings.extend(warnings);
            logged_in(out, &login, "added")?;
        }
        AccountCommand::Passwd { login, name: Some(name), remove: true, .. } => {
            remove(api, &format!("{}/passwords/{}", path(&login), segment(&name)), out).await?
        }
        AccountCommand::Passwd { login, name, password_stdin, .. } => {
            let new = NewPassword { password: given(password_stdin)?, name };
            let login: Login = api.post(&format!("{}/passwords", path(&login)), &new).await?;
            logged_in(out, &login, "has a new password")?;
        }
        AccountCommand::Profile(args) => return profile::run(config, api, args, out).await,
        AccountCommand::Import(command) => import::run(config, api, command, out).await?,
        AccountCommand::Verify { login } => return verify(api, &login, out).await,
        AccountCommand::List => {
            let accounts: Vec<AccountView> = api.list("/api/v1/accounts", &[]).await?;
            out.show(&accounts, |accounts| show::list(accounts))?;
        }
        AccountCommand::Show { login } => {
            let account: AccountDetail = api.get(&path(&login)).await?;
            out.show(&account, show::detail)?;
        }
        AccountCommand::Certificate(AccountCertificateCommand::Add { login, file, name }) => {
            let new = NewCertificate { name, sha256: fingerprint(&file)? };
            let done: Changed = api.post(&format!("{}/certificates", path(&login)), &new).await?;
            changed(out, &done)?;
        }
        AccountCommand::Certificate(AccountCertificateCommand::Remove { login, name }) => {
            remove(api, &format!("{}/certificates/{}", path(&login), segment(&name)), out).await?;
        }
        AccountCommand::Remove { login } => remove(api, &path(&login), out).await?,
        change => patch(api, change, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The commands that change a setting of an account.
async fn patch(api: &mut Transport, command: AccountCommand, out: Output) -> Result<()> {
    let none = AccountPatch::default();
    let (login, patch) = match command {
        AccountCommand::Senders { login, senders, add } => {
            let senders = if add.is_empty() { senders } else { with_present(api, &login, add).await? };
            (login, AccountPatch { may_send_as: Some(senders), ..none })
        }
        AccountCommand::Limits { login, recipients_per_hour, new_recipients_per_day } => {
            (login, AccountPatch { limits: Some(AccountLimits { recipients_per_hour, new_recipients_per_day }), ..none })
        }
        AccountCommand::Legacy { login, mechanisms } => (login, AccountPatch { legacy_mechanisms: Some(mechanisms), ..none }),
        AccountCommand::Imap { login, host } => (login, AccountPatch { imap_host: Some(host.unwrap_or_default()), ..none }),
        AccountCommand::Suspend { login, reason } => (login, AccountPatch { suspended: Some(reason), ..none }),
        AccountCommand::Resume { login } => (login, AccountPatch { suspended: Some(String::new()), ..none }),
        AccountCommand::Owner { login, remove } => (login, AccountPatch { owner: Some(!remove), ..none }),
        AccountCommand::Disable { login } => (login, AccountPatch { enabled: Some(false), ..none }),
        AccountCommand::Enable { login } => (login, AccountPatch { enabled: Some(true), ..none }),
        // Handled by `run`.
        _ => return Ok(()),
    };
    let done: Changed = api.patch(&path(&login), &patch).await?;
    changed(out, &done)
}

async fn remove(api: &mut Transport, path: &str, out: Output) -> Result<()> {
    let done: Changed = api.delete(path).await?;
    changed(out, &done)
}

fn path(login: &str) -> String {
    format!("/api/v1/accounts/{}", segment(login))
}

/// The account's present senders and the new ones.
async fn with_present(api: &mut Transport, login: &str, add: Vec<String>) -> Result<Vec<String>> {
    let accounts: Vec<AccountView> = api.list("/api/v1/accounts", &[]).await?;
    let present = accounts.into_iter().find(|account| account.login.eq_ignore_ascii_case(login));
    // If the account does not exist, the change reports it.
    let mut senders = present.map(|account| account.may_send_as).unwrap_or_default();
    senders.extend(add);
    Ok(senders)
}

/// Reads a password from standard input; on the command line it would show in the shell's history and in the process list.
fn given(from_stdin: bool) -> Result<Option<String>> {
    if !from_stdin {
        return Ok(None);
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("standard input cannot be read")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("standard input contains no password\n  hint: write it on the first line, or leave --password-stdin out to generate one");
    }
    Ok(Some(password.to_owned()))
}

async fn verify(api: &mut Transport, login: &str, out: Output) -> Result<ExitCode> {
    let password = given(true)?.unwrap_or_default();
    let verified: Verified = api.post(&format!("{}/verify", path(login)), &TriedPassword { password }).await?;
    out.show(&verified, |verified| match (&verified.name, &verified.but) {
        (Some(name), None) => format!("{} this is the password of {login} for {name}", styled(GOOD, "right:")),
        (Some(name), Some(but)) => format!("{} this is the password of {login} for {name}, but {but}", styled(BAD, "right, but unusable:")),
        (None, _) => format!("{} this is not a password of {login}", styled(BAD, "wrong:")),
    })?;
    Ok(if verified.right && verified.but.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The SHA-256 of the first certificate in a file.
fn fingerprint(file: &Path) -> Result<String> {
    net::certificate_file_digest(file).map_err(|e| anyhow::anyhow!("{e}\n  hint: give the client's certificate, not its key"))
}

fn logged_in(out: Output, login: &Login, what: &str) -> Result<()> {
    out.show(login, |login| {
        let mut text = format!("{} account {} {what}", styled(GOOD, "ok:"), login.login);
        if let Some(password) = &login.password {
            let once = styled(DIM, format!("(for {}; shown only once)", login.name));
            text.push_str(&format!("\n  username  {}\n  password  {}  {once}", login.login, styled(BOLD, password)));
        }
        text
    })?;
    if !out.json {
        warn(&login.warnings);
    }
    Ok(())
}
