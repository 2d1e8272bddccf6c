//! `waypost account profile`: an account's settings as a signed file for Apple Mail.
//!
//! RFC 5652. Invariant: the file contains no password; no file is overwritten.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use control_api::api::{AccountDetail, AliasView};
use directory::{Target, imap_host_behind};
use mail::Mailbox;
use net::acme::Challenges;
use net::{Clock, ServerTls};
use public_http::Servers;
use public_http::profile::Profile;
use serde_json::json;

use crate::cli::AccountProfileArgs;
use crate::commands::warn;
use crate::config::Config;
use crate::output::{GOOD, Output, styled};
use crate::transport::{Transport, segment};

pub(super) async fn run(config: &Config, api: &mut Transport, args: AccountProfileArgs, out: Output) -> Result<ExitCode> {
    let account: AccountDetail = api.get(&format!("/api/v1/accounts/{}", segment(&args.login))).await?;
    let aliases: Vec<AliasView> = api.list("/api/v1/aliases", &[]).await?;
    let address: Mailbox = account.account.login.parse().map_err(|e| anyhow!("{}: {e}", account.account.login))?;
    let targets = targets(&aliases, &address);
    let behind = imap_host_behind(&targets);
    let imap_host = args.imap_host.map(|host| host.to_string()).or(account.imap_host).or(behind.map(ToOwned::to_owned));
    let Some(imap_host) = imap_host else {
        bail!(
            "the IMAP host of {address} is unknown\n  hint: add --imap-host imap.example.net, or set it for good: waypost account imap {address} HOST"
        );
    };
    let user = args.imap_user.or_else(|| user(&targets).filter(|_| behind == Some(imap_host.as_str())));
    let ports = config.submission_ports();
    let hostname = config.settings.hostname.as_str();
    let servers = Servers::new(hostname, (ports.submissions, ports.submission), Some(imap_host.clone()));
    let mut profile = Profile::of(&address, servers)
        .ok_or_else(|| anyhow!("no submission port is configured\n  hint: set submissions or submission under [listen]"))?;
    profile.imap_user = user.clone();
    profile.name = args.name;
    let text = profile.text().context("the profile cannot be created")?;
    let tls = ServerTls::new(&config.certificate_sources(), Challenges::default(), Clock::system())
        .context("the profile is signed with the server's certificate; run this with sudo or as the server's user")?;
    let path = args.out.unwrap_or_else(|| PathBuf::from(format!("{address}.mobileconfig").replace('/', "_")));
    write(&path, &tls.signed(hostname, &text)?)?;
    let shown = json!({ "file": path, "imap_host": imap_host, "imap_user": user });
    out.show(&shown, |_| {
        let reads = user.as_ref().map_or_else(|| imap_host.clone(), |user| format!("{imap_host} as {user}"));
        format!("{} wrote {}; it reads mail from {reads}. The device asks for the passwords.", styled(GOOD, "ok:"), path.display())
    })?;
    let is_trusted = tls.in_use().iter().any(|pair| pair.is_fallback && !pair.leaf.is_self_issued);
    if !out.json && !is_trusted {
        warn(&["the certificate is self-signed: the device will mark the profile as not verified".into()]);
    }
    Ok(ExitCode::SUCCESS)
}

/// The targets of the address's alias.
fn targets(aliases: &[AliasView], address: &Mailbox) -> Vec<Target> {
    let alias = aliases.iter().find(|alias| alias.source.eq_ignore_ascii_case(&address.to_string()));
    alias.into_iter().flat_map(|alias| &alias.targets).filter_map(|target| target.parse().ok()).collect()
}

/// The user name at the IMAP host, if there is a single target.
fn user(targets: &[Target]) -> Option<String> {
    match targets {
        [Target::Address(mailbox)] => Some(mailbox.to_string()),
        _ => None,
    }
}

/// Writes the file readable by its owner only, because it contains the alias's target.
fn write(path: &std::path::Path, bytes: &[u8]) -> Result<()> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.with_context(|| format!("{} cannot be created; name another file with --out", path.display()))?;
    file.write_all(bytes).with_context(|| format!("{} cannot be written", path.display()))
}
