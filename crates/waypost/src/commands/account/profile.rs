//! `waypost account profile`: an account's settings as a signed file for Apple's Mail.
//!
//! RFC 5652. Invariant: no password is in it; no file is written over.

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

use crate::cli::AccountProfile;
use crate::commands::warn;
use crate::config::Config;
use crate::output::{GOOD, Output, styled};
use crate::transport::{Transport, segment};

pub(super) async fn run(config: &Config, api: &mut Transport, args: AccountProfile, out: Output) -> Result<ExitCode> {
    let account: AccountDetail = api.get(&format!("/v1/accounts/{}", segment(&args.login))).await?;
    let aliases: Vec<AliasView> = api.get("/v1/aliases").await?;
    let address: Mailbox = account.account.login.parse().map_err(|e| anyhow!("{}: {e}", account.account.login))?;
    let targets = targets(&aliases, &address);
    let behind = imap_host_behind(&targets);
    let imap_host = args.imap_host.map(|host| host.to_string()).or(account.imap_host).or(behind.map(ToOwned::to_owned));
    let Some(imap_host) = imap_host else {
        bail!(
            "it is not known where {address} reads mail\n  hint: name it: --imap-host imap.example.net, or once for all: waypost account imap"
        );
    };
    let user = args.imap_user.or_else(|| user(&targets).filter(|_| behind == Some(imap_host.as_str())));
    let ports = config.submission_ports();
    let hostname = config.settings.hostname.as_str();
    let servers = Servers::new(hostname, (ports.submissions, ports.submission), Some(imap_host.clone()));
    let mut profile =
        Profile::of(&address, servers).ok_or_else(|| anyhow!("nothing listens for mail of accounts\n  hint: see [listen]"))?;
    profile.imap_user = user.clone();
    profile.name = args.name;
    let text = profile.text().context("the profile cannot be written down")?;
    let tls = ServerTls::new(&config.certificate_sources(), Challenges::default(), Clock::system())
        .context("the profile is signed with the server's certificate; run this with sudo or as the server's user")?;
    let path = args.out.unwrap_or_else(|| PathBuf::from(format!("{address}.mobileconfig").replace('/', "_")));
    write(&path, &tls.signed(hostname, &text)?)?;
    let shown = json!({ "file": path, "imap_host": imap_host, "imap_user": user });
    out.show(&shown, |_| {
        let reads = user.as_ref().map_or_else(|| imap_host.clone(), |user| format!("{imap_host} as {user}"));
        format!("{} {} is written; it reads mail at {reads}. The device asks for the passwords.", styled(GOOD, "ok:"), path.display())
    })?;
    let vouched = tls.in_use().iter().any(|pair| pair.is_fallback && !pair.leaf.is_self_issued);
    if !out.json && !vouched {
        warn(&["the certificate is self-signed: the device will call the profile not verified".into()]);
    }
    Ok(ExitCode::SUCCESS)
}

/// Where mail to the address goes, in one step.
fn targets(aliases: &[AliasView], address: &Mailbox) -> Vec<Target> {
    let alias = aliases.iter().find(|alias| alias.source.eq_ignore_ascii_case(&address.to_string()));
    alias.into_iter().flat_map(|alias| &alias.targets).filter_map(|target| target.parse().ok()).collect()
}

/// The only target: the user's name where mail is read.
fn user(targets: &[Target]) -> Option<String> {
    match targets {
        [Target::Address(mailbox)] => Some(mailbox.to_string()),
        _ => None,
    }
}

/// The target behind the alias is in it: the file is its maker's to read.
fn write(path: &std::path::Path, bytes: &[u8]) -> Result<()> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.with_context(|| format!("{} cannot be made; name another file with --out", path.display()))?;
    file.write_all(bytes).with_context(|| format!("{} cannot be written", path.display()))
}
