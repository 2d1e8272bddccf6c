//! `waypost cert`: the server's certificates, and the creation of keys, requests and certificates.
//!
//! Invariant: no file is overwritten; a key is readable by its owner only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use control_api::api::{CertificateView, CertificatesView, OrderView, Renewal, RenewalDone};
use mail::Domain;
use net::{Authority, Clock, Leaf, PairFiles};
use serde_json::json;

use crate::cli::{CertCommand, CsrArgs, SelfSignedArgs};
use crate::commands::setup::write_new;
use crate::config;
use crate::output::{BAD, BOLD, DIM, GOOD, Output, WARN, note, print, span, styled};
use crate::small_runtime;
use crate::transport::Transport;

const DAY_MS: i64 = 86_400_000;

/// A certificate that expires in fewer days should have been renewed.
const SOON_DAYS: i64 = 14;

/// Runs the command.
pub fn cert(config: &Path, command: CertCommand, out: Output) -> Result<ExitCode> {
    match command {
        CertCommand::Status => small_runtime()?.block_on(status(config, out)),
        CertCommand::Renew { name, force } => small_runtime()?.block_on(renew(config, Renewal { name, force }, out)),
        CertCommand::SelfSigned(args) => self_signed(config, &args, out).map(|()| ExitCode::SUCCESS),
        CertCommand::Csr(args) => csr(&args, out).map(|()| ExitCode::SUCCESS),
        CertCommand::Check { certificate, key } => check(PairFiles { certificate, key }, out),
    }
}

async fn status(config: &Path, out: Output) -> Result<ExitCode> {
    let mut api = Transport::open(&config::load(config)?).await?;
    let all: CertificatesView = api.get("/api/v1/certificates").await?;
    let is_well = !all.certificates.is_empty() && all.certificates.iter().all(|c| c.not_after_ms > all.now_ms);
    out.show(&all, shown)?;
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shown(all: &CertificatesView) -> String {
    let order_of = |c: &CertificateView| all.orders.iter().find(|order| c.name.as_ref() == Some(&order.name));
    let mut blocks: Vec<String> = all.certificates.iter().map(|c| block(c, order_of(c), all.now_ms)).collect();
    if blocks.is_empty() {
        blocks.push(styled(BAD, "no certificate; waypost setup DOMAIN creates one"));
    }
    let without = all.orders.iter().filter(|order| !all.certificates.iter().any(|c| c.name.as_ref() == Some(&order.name)));
    blocks.extend(without.map(|order| {
        let lines = order_lines(order, all.now_ms);
        format!("{}  {}\n{}", styled(BOLD, &order.name), styled(DIM, "not issued"), rows(&lines))
    }));
    blocks.join("\n\n")
}

fn rows(lines: &[(&str, String)]) -> String {
    lines.iter().map(|(name, value)| format!("  {name:<12} {value}")).collect::<Vec<_>>().join("\n")
}

fn block(c: &CertificateView, order: Option<&OrderView>, now_ms: i64) -> String {
    let title = c.name.as_deref().or(c.names.first().map(String::as_str)).unwrap_or("(no name)");
    let issuer = if c.is_self_signed { styled(WARN, "self-signed: Gmail's \"Send mail as\" refuses it") } else { c.issuer.clone() };
    let mut lines = vec![
        ("names", c.names.join(", ")),
        ("issuer", issuer),
        ("valid", validity(c.not_after_ms, now_ms)),
        ("used for", used_for(c)),
        ("key", format!("{}, SHA-256 {}", c.key_type, c.spki_sha256)),
        ("file", c.file.clone()),
    ];
    lines.extend(c.next_spki_sha256.iter().map(|digest| ("next key", format!("SHA-256 {digest}"))));
    lines.extend(order.map(|order| order_lines(order, now_ms)).into_iter().flatten());
    format!("{}\n{}", styled(BOLD, title), rows(&lines))
}

fn validity(not_after_ms: i64, now_ms: i64) -> String {
    let (days, date) = ((not_after_ms - now_ms).div_euclid(DAY_MS), mail::rfc5322_date(not_after_ms / 1000));
    match days {
        ..0 => styled(BAD, format!("expired on {date}")),
        0..SOON_DAYS => styled(WARN, format!("for {days} days, until {date}")),
        _ => format!("for {days} days, until {date}"),
    }
}

fn used_for(c: &CertificateView) -> String {
    let mut parts = Vec::new();
    if !c.shown_for.is_empty() {
        parts.push(c.shown_for.join(", "));
    }
    if c.is_fallback {
        parts.push("all other names".into());
    }
    if parts.is_empty() { styled(DIM, "nothing: another certificate covers its names") } else { parts.join("; ") }
}

fn order_lines(order: &OrderView, now_ms: i64) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(at) = order.renew_at_ms {
        let by = order.renew_by.as_deref().unwrap_or("the server");
        let when = if at > now_ms { format!("in {}", span(at - now_ms)) } else { "now".into() };
        lines.push(("renewal", format!("{when} ({by})")));
    }
    lines.extend(order.left_out.iter().map(|left| ("without", format!("{}: {}", left.name, left.why))));
    if let Some(error) = &order.last_error {
        let again = order.next_attempt_ms.map_or(String::new(), |at| format!("; next attempt in {}", span(at - now_ms)));
        let times = if order.failures == 1 { "once".to_owned() } else { format!("{} times", order.failures) };
        lines.push(("failed", styled(BAD, format!("{times}{again}: {error}"))));
    }
    lines
}

async fn renew(config: &Path, renewal: Renewal, out: Output) -> Result<ExitCode> {
    let mut api = Transport::open(&config::load(config)?).await?;
    let done: RenewalDone = api.post("/api/v1/certificates/renew", &renewal).await?;
    out.show(&done, |done| {
        if !done.is_over {
            return "the order is still in progress; to see its state: waypost cert status".into();
        }
        let line = |o: &control_api::api::RenewalOutcome| {
            let word = if o.is_well { styled(GOOD, "ok:") } else { styled(BAD, "failed:") };
            format!("{word} {} {}", o.name, o.text)
        };
        done.outcomes.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(if done.outcomes.iter().all(|o| o.is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn host_names(names: &[String]) -> Result<Vec<String>> {
    let read = |text: &String| -> Result<String> {
        let host = text.strip_prefix("*.").unwrap_or(text);
        let domain: Domain =
            host.parse().map_err(|e| anyhow!("`{text}` is not a host name: {e}\n  hint: use a name such as mx.example.com"))?;
        Ok(if host.len() == text.len() { domain.to_string() } else { format!("*.{domain}") })
    };
    names.iter().map(read).collect()
}

fn self_signed(config: &Path, args: &SelfSignedArgs, out: Output) -> Result<()> {
    let names = match args.name.as_slice() {
        [] => {
            let config =
                config::load(config).context("no --name given, and the configuration cannot be read\n  hint: add --name mx.example.com")?;
            vec![config.settings.hostname.to_string()]
        }
        names => host_names(names)?,
    };
    let first = names.first().cloned().unwrap_or_default();
    let now_s = Clock::system().now_s();
    let place = |name: &str| args.out.join(name);
    let (ca, ca_key, certificate, key) = (place("ca.pem"), place("ca.key.pem"), place("cert.pem"), place("key.pem"));
    refuse_present(&[&certificate, &key])?;
    let is_known = ca.exists() && ca_key.exists();
    let authority = if is_known {
        let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()));
        Authority { certificate: read(&ca)?, key: read(&ca_key)? }
    } else {
        let authority = Authority::new(&format!("{first} authority"), now_s)?;
        write_new(&ca_key, &authority.key, 0o600)?;
        write_new(&ca, &authority.certificate, 0o644)?;
        authority
    };
    let issued = authority.issue(&names, args.days, now_s)?;
    write_new(&key, &issued.key, 0o600)?;
    write_new(&certificate, &issued.chain, 0o644)?;
    let made = json!({ "names": names, "days": args.days, "ca": ca, "ca_key": ca_key, "certificate": certificate, "key": key, "new_ca": !is_known });
    out.show(&made, |_| {
        let lines = [
            ("authority", format!("{} ({})", ca.display(), if is_known { "existing" } else { "new" })),
            ("its key", format!("{} (store it away from the server)", ca_key.display())),
            ("certificate", format!("{}, for {}, valid for {} days", certificate.display(), names.join(", "), args.days)),
            ("key", key.display().to_string()),
        ];
        format!(
            "{}\n\nTo use it, in the configuration:\n  [tls]\n  certificate = {}\n  key = {}\n\nTo trust it, on each client (Debian):\n  cp {} \
             /usr/local/share/ca-certificates/waypost.crt && update-ca-certificates\nOr in a single program, with its option for an authority, such as \
             curl --cacert. Gmail's \"Send mail as\" trusts no authority of your own.",
            rows(&lines),
            quoted(&certificate),
            quoted(&key),
            ca.display()
        )
    })?;
    Ok(())
}

fn quoted(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    toml::Value::String(absolute.display().to_string()).to_string()
}

fn refuse_present(paths: &[&PathBuf]) -> Result<()> {
    match paths.iter().find(|path| path.exists()) {
        Some(path) => bail!("{} exists already and is kept\n  hint: move it away, or name another place with --out", path.display()),
        None => Ok(()),
    }
}

fn csr(args: &CsrArgs, out: Output) -> Result<()> {
    let names = host_names(&args.name)?;
    let (key_path, old) = match &args.key {
        Some(path) => (path.clone(), Some(fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?)),
        None => (PathBuf::from(format!("{}.key.pem", names.first().map_or("", String::as_str).replace('*', "any"))), None),
    };
    if let Some(path) = &args.out {
        refuse_present(&[path])?;
    }
    let (request, key) = net::request(&names, old.as_deref())?;
    if old.is_none() {
        write_new(&key_path, &key, 0o600)?;
        if !out.json {
            note(&format!("{} key {}", styled(GOOD, "ok:"), key_path.display()));
        }
    }
    match &args.out {
        Some(path) => write_new(path, &request, 0o644)?,
        None if !out.json => return Ok(print(&request)?),
        None => {}
    }
    out.show(&json!({ "names": names, "key": key_path, "request": request }), |_| {
        format!("{} request {}", styled(GOOD, "ok:"), args.out.as_deref().unwrap_or(Path::new("-")).display())
    })?;
    Ok(())
}

fn check(files: PairFiles, out: Output) -> Result<ExitCode> {
    let leaf: Leaf = net::check_pair(&files).map_err(|e| anyhow!("this certificate and key are not usable: {e}"))?;
    let now_ms = Clock::system().now_ms();
    let is_valid = leaf.is_valid_at(now_ms / 1000);
    out.show(&leaf, |leaf| {
        let lines = [
            ("names", leaf.names.join(", ")),
            ("issuer", if leaf.is_self_issued { styled(WARN, "self-signed") } else { leaf.issuer.clone() }),
            ("valid", validity(leaf.not_after_s * 1000, now_ms)),
            ("key", format!("{}, SHA-256 {}", leaf.key_type, leaf.spki_sha256)),
        ];
        format!("{} the key belongs to the certificate\n{}", styled(GOOD, "ok:"), rows(&lines))
    })?;
    Ok(if is_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
