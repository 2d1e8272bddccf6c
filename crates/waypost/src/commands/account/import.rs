//! `waypost account import`: imports the accounts of other mail servers.
//!
//! Invariant: accounts go to the API in batches, so that no file exceeds the time limit of a request; imported batches stay, and the same command
//! continues with the rest. No password is printed.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use control_api::api::{AccountImport as Import, AccountImportReport, AliasView, DomainView, ImportedAccount};

use crate::cli::AccountImportCommand;
use crate::commands::warn;
use crate::config::Config;
use crate::output::{DIM, GOOD, Output, note, styled, table};
use crate::transport::Transport;

/// Maximum accounts per request.
const BATCH: usize = 250;

/// Maximum logins named in a note.
const NAMED_MAX: usize = 3;

/// The contents of a file.
#[derive(Default)]
struct ImportFile {
    accounts: Vec<Candidate>,
    /// Entries that give no account: login and reason.
    left_out: Vec<(String, String)>,
}

/// An account of a file.
struct Candidate {
    /// Its line, if the file has lines.
    line: Option<usize>,
    account: ImportedAccount,
    /// The user name, if the file has it without a domain.
    bare: Option<String>,
}

pub(super) async fn run(config: &Config, api: &mut Transport, command: AccountImportCommand, out: Output) -> Result<()> {
    let has_passwords = matches!(command, AccountImportCommand::Sasldb2 { .. });
    let (found, mut import) = read(command)?;
    if found.accounts.is_empty() && found.left_out.is_empty() {
        bail!("the file contains no accounts");
    }
    let (accounts, twice) = unique(found.accounts);
    let bare: HashMap<String, String> = accounts.iter().filter_map(|c| Some((c.account.login.to_lowercase(), c.bare.clone()?))).collect();
    let all: Vec<ImportedAccount> = accounts.into_iter().map(|candidate| candidate.account).collect();
    let mut report = AccountImportReport { dry_run: import.dry_run, ..AccountImportReport::default() };
    for (n, batch) in all.chunks(BATCH).enumerate() {
        import.accounts = batch.to_vec();
        let done: AccountImportReport = api.post("/api/v1/accounts/import", &import).await.map_err(|error| {
            let before = report.imported.len();
            let hint = "imported accounts stay; run the same command again to continue";
            if before == 0 || import.dry_run { error } else { error.context(format!("after {before} accounts\n  hint: {hint}")) }
        })?;
        report.imported.extend(done.imported);
        report.skipped.extend(done.skipped);
        report.warnings.extend(done.warnings);
        if all.len() > BATCH && !out.json {
            note(&styled(DIM, format!("{} of {}", (n * BATCH + batch.len()).min(all.len()), all.len())));
        }
    }
    report.skipped.extend(twice.into_iter().chain(found.left_out));
    report.warnings.extend(advice(config, api, &report, &bare, !import.may_send_as.is_empty()).await?);
    report.warnings.sort();
    report.warnings.dedup();
    out.show(&report, |report| shown(report, has_passwords))?;
    if !out.json {
        warn(&report.warnings);
    }
    Ok(())
}

fn read(command: AccountImportCommand) -> Result<(ImportFile, Import)> {
    Ok(match command {
        AccountImportCommand::Sasldb2 { file, domain, legacy, sender, replace, dry_run } => {
            let bytes = std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            let entries = sasl::sasldb::read(&bytes).map_err(|e| {
                anyhow!(
                    "{}: {e}\n  hint: use a sasldb2 file written by saslpasswd2 on Debian; sasldblistusers2 lists its users",
                    file.display()
                )
            })?;
            let candidate = |entry: sasl::sasldb::SasldbEntry| {
                let password = Some(entry.password.expose().to_owned());
                candidate(None, &entry.user, domain.as_deref().or(Some(entry.realm.as_str())), password, None, None)
            };
            let found = ImportFile { accounts: entries.into_iter().map(candidate).collect(), left_out: Vec::new() };
            (found, Import { accounts: Vec::new(), legacy_mechanisms: legacy, may_send_as: sender, replace, dry_run })
        }
        AccountImportCommand::Passwd { file, domain, sender, replace, dry_run } => {
            let today = net::Clock::system().now_s() / 86_400;
            let read = sasl::passwd_file::read(&text(&file)?, today);
            let accounts = read
                .entries
                .into_iter()
                .map(|e| candidate(Some(e.line), &e.user, domain.as_deref(), None, Some(e.verifier), e.restriction))
                .collect();
            let left_out = read.faults.into_iter().map(|fault| (fault.user, format!("line {}: {}", fault.line, fault.why))).collect();
            let import = Import { accounts: Vec::new(), legacy_mechanisms: Vec::new(), may_send_as: sender, replace, dry_run };
            (ImportFile { accounts, left_out }, import)
        }
    })
}

/// Reads a file; octets that are not UTF-8 invalidate only their own line.
fn text(file: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("standard input cannot be read")?;
    } else {
        bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn candidate(
    line: Option<usize>,
    user: &str,
    domain: Option<&str>,
    password: Option<String>,
    verifier: Option<String>,
    suspended: Option<String>,
) -> Candidate {
    let (login, bare) = match domain {
        _ if user.contains('@') => (user.to_owned(), None),
        Some(domain) => (format!("{user}@{}", domain.trim_start_matches('@')), Some(user.to_owned())),
        None => (user.to_owned(), Some(user.to_owned())),
    };
    Candidate { line, account: ImportedAccount { login, password, verifier, suspended }, bare }
}

/// Keeps one entry of each login, which is case-insensitive here: the lower-case one, because Dovecot looks names up in lower case; else the first.
fn unique(candidates: Vec<Candidate>) -> (Vec<Candidate>, Vec<(String, String)>) {
    let mut chosen: HashMap<String, usize> = HashMap::new();
    for (n, candidate) in candidates.iter().enumerate() {
        let login = &candidate.account.login;
        let key = login.to_lowercase();
        let is_lower = *login == key;
        let before = chosen.get(&key).and_then(|before| candidates.get(*before));
        if before.is_none_or(|before| is_lower && before.account.login != key) {
            chosen.insert(key, n);
        }
    }
    let counts = |login: &str| chosen.get(&login.to_lowercase()).copied();
    let place = |n: usize| match candidates.get(n) {
        Some(Candidate { line: Some(line), account, .. }) => format!("{} on line {line}", account.login),
        Some(Candidate { account, .. }) => account.login.clone(),
        None => String::new(),
    };
    let why = |n: usize, candidate: &Candidate| {
        let line = candidate.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        Some((
            candidate.account.login.clone(),
            format!(
                "{line}logins are case-insensitive, so {} is used instead",
                place(counts(&candidate.account.login).filter(|c| *c != n)?)
            ),
        ))
    };
    let twice = candidates.iter().enumerate().filter_map(|(n, candidate)| why(n, candidate)).collect();
    let keep: Vec<bool> = candidates.iter().enumerate().map(|(n, candidate)| counts(&candidate.account.login) == Some(n)).collect();
    (candidates.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(candidate, _)| candidate).collect(), twice)
}

/// Advice for clients of the old server: logins without a domain, and senders other than the login.
async fn advice(
    config: &Config,
    api: &mut Transport,
    report: &AccountImportReport,
    bare: &HashMap<String, String>,
    has_senders: bool,
) -> Result<Vec<String>> {
    let mut advice = Vec::new();
    let short: Vec<(&String, &String)> =
        report.imported.iter().filter_map(|login| Some((login, bare.get(&login.to_lowercase())?))).collect();
    let mut domains: BTreeMap<&str, usize> = BTreeMap::new();
    short.iter().filter_map(|(login, _)| login.rsplit_once('@')).for_each(|(_, domain)| *domains.entry(domain).or_default() += 1);
    let most = domains.iter().max_by_key(|(_, count)| **count).map(|(domain, _)| (*domain).to_owned());
    if let (Some((login, user)), Some(domain)) = (short.first(), most)
        && config.settings.login_domain.as_ref().is_none_or(|there| there.as_str() != domain)
    {
        advice.push(format!(
            "`{user}` is {login} here: change the username in the clients, or keep it with login_domain = \"{domain}\" under [submission]"
        ));
    }
    let hosted: Vec<DomainView> = api.list("/api/v1/domains", &[]).await?;
    let strange = domains.keys().find(|domain| !hosted.iter().any(|hosted| hosted.name.eq_ignore_ascii_case(domain)));
    if let (Some(strange), Some(first)) = (strange, hosted.first()) {
        advice.push(format!("{strange} is not hosted here; to import the users into {}: --domain {}", first.name, first.name));
    }
    let aliases: Vec<AliasView> = api.list("/api/v1/aliases", &[]).await?;
    let is_alias = |login: &str| aliases.iter().any(|alias| alias.source.eq_ignore_ascii_case(login));
    let nameless: Vec<&str> = report.imported.iter().map(String::as_str).filter(|login| !is_alias(login)).collect();
    if let Some(first) = nameless.first().filter(|_| !has_senders) {
        let more = nameless.len().saturating_sub(NAMED_MAX);
        let named = nameless.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        advice.push(format!(
            "{named}{more} have no alias, and may send only as themselves: add senders with --sender ADDRESS here, or \
             later: waypost account senders {first} --add ADDRESS"
        ));
    }
    Ok(advice)
}

fn shown(report: &AccountImportReport, has_passwords: bool) -> String {
    let verb = if report.dry_run { "would be imported" } else { "imported" };
    let accounts = if report.imported.len() == 1 { "account" } else { "accounts" };
    let mut text = format!("{} {} {accounts} {verb}", styled(GOOD, "ok:"), report.imported.len());
    for login in &report.imported {
        text.push_str(&format!("\n  {login}"));
    }
    if has_passwords && !report.imported.is_empty() && !report.dry_run {
        let note = "the passwords work at once; the server hashes them in the background, and offers SCRAM again afterwards";
        text.push_str(&format!("\n{}", styled(DIM, note)));
    }
    if !report.skipped.is_empty() {
        let rows: Vec<Vec<String>> = report.skipped.iter().map(|(login, why)| vec![login.clone(), why.clone()]).collect();
        text.push_str(&format!("\n{}\n{}", styled(DIM, "skipped:"), table(&["account", "why"], &rows)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_of_each_login_is_kept() {
        let candidates = ["dup@x.test", "Alice@x.test", "dup@x.test", "alice@x.test", "Bob@x.test"];
        let candidates =
            candidates.iter().enumerate().map(|(n, login)| candidate(Some(n + 1), login, None, None, Some(n.to_string()), None));
        let (kept, twice) = unique(candidates.collect());
        let kept: Vec<_> = kept.iter().map(|c| (c.account.login.as_str(), c.account.verifier.as_deref().unwrap())).collect();
        assert_eq!(kept, [("dup@x.test", "0"), ("alice@x.test", "3"), ("Bob@x.test", "4")]);
        assert_eq!(twice.iter().map(|(login, _)| login.as_str()).collect::<Vec<_>>(), ["Alice@x.test", "dup@x.test"]);
        assert!(twice[0].1.starts_with("line 2: ") && twice[0].1.contains("alice@x.test on line 4"), "{twice:?}");
    }
}
