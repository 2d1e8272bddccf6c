//! `waypost account import`: files of other mail servers become accounts.
//!
//! Invariant: a file is read here and checked by the API; no password is printed.

use std::io::Read as _;
use std::path::Path;

use admin::api::{AccountImport as Import, AccountImportReport, ImportedAccount};
use anyhow::{Context, Result, anyhow, bail};

use super::warn;
use crate::cli::AccountImport;
use crate::output::{DIM, GOOD, Output, styled, table};
use crate::transport::Transport;

pub(super) async fn run(api: &mut Transport, command: AccountImport, out: Output) -> Result<()> {
    let import = match command {
        AccountImport::Sasldb2 { file, domain, legacy, replace, dry_run } => {
            let bytes = std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            let entries = sasl::sasldb::read(&bytes).map_err(|e| {
                anyhow!(
                    "{}: {e}\n  hint: a sasldb2 file that saslpasswd2 made on Debian is read; sasldblistusers2 shows what is in it",
                    file.display()
                )
            })?;
            let account = |entry: sasl::sasldb::Entry| ImportedAccount {
                login: with_domain(&entry.user, domain.as_deref().or(Some(entry.realm.as_str()))),
                password: Some(entry.password.expose().to_owned()),
                verifier: None,
            };
            Import { accounts: entries.into_iter().map(account).collect(), legacy_mechanisms: legacy, replace, dry_run }
        }
        AccountImport::Passwd { file, domain, replace, dry_run } => {
            let accounts = lines(&text(&file)?, domain.as_deref()).map_err(|e| anyhow!("{}: {e}", file.display()))?;
            Import { accounts, legacy_mechanisms: Vec::new(), replace, dry_run }
        }
    };
    if import.accounts.is_empty() {
        bail!("there is no account in the file");
    }
    let report: AccountImportReport = api.post("/v1/accounts/import", &import).await?;
    out.show(&report, shown)?;
    if !out.json {
        warn(&report.warnings);
    }
    Ok(())
}

fn text(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

fn with_domain(user: &str, domain: Option<&str>) -> String {
    match domain {
        Some(domain) if !user.contains('@') => format!("{user}@{}", domain.trim_start_matches('@')),
        _ => user.to_owned(),
    }
}

/// `user:hash[:...]`; who has no password that could be right (`*`, `!`) is left out.
fn lines(text: &str, domain: Option<&str>) -> Result<Vec<ImportedAccount>, String> {
    let mut accounts = Vec::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
        let mut parts = line.split(':');
        let (Some(user), Some(hash)) = (parts.next(), parts.next()) else {
            return Err(format!("line {} is not user:hash", n + 1));
        };
        if !user.trim().is_empty() && !hash.is_empty() && !hash.starts_with(['*', '!']) {
            accounts.push(ImportedAccount { login: with_domain(user.trim(), domain), password: None, verifier: Some(hash.to_owned()) });
        }
    }
    Ok(accounts)
}

fn shown(report: &AccountImportReport) -> String {
    let verb = if report.dry_run { "would be imported" } else { "imported" };
    let accounts = if report.imported.len() == 1 { "account" } else { "accounts" };
    let mut text = format!("{} {} {accounts} {verb}", styled(GOOD, "ok:"), report.imported.len());
    for login in &report.imported {
        text.push_str(&format!("\n  {login}"));
    }
    if !report.skipped.is_empty() {
        let rows: Vec<Vec<String>> = report.skipped.iter().map(|(login, why)| vec![login.clone(), why.clone()]).collect();
        text.push_str(&format!("\n{}\n{}", styled(DIM, "left out:"), table(&["account", "why"], &rows)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_several_kinds_of_file() {
        let text = "# users\nann@example.com:{SHA512-CRYPT}$6$salt$hash:1000:1000::/home/ann\nbob:$y$j9T$x$y:19000:0:99999\nroot:*:19000:\nold:!$6$x$y:\n\n";
        let accounts = lines(text, Some("@example.com")).unwrap();
        let found: Vec<_> = accounts.iter().map(|a| (a.login.as_str(), a.verifier.as_deref().unwrap())).collect();
        assert_eq!(found, [("ann@example.com", "{SHA512-CRYPT}$6$salt$hash"), ("bob@example.com", "$y$j9T$x$y")]);
        assert!(lines("ann\n", None).is_err_and(|e| e.contains("line 1")));
        assert_eq!(lines("ann:$6$a$b\n", None).unwrap()[0].login, "ann");
    }
}
