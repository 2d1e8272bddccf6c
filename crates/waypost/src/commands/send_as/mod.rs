//! `waypost sendas`: Gmail's "Send mail as", from the form to the first login.
//!
//! Invariant: what is printed to be typed in is what was tried.

mod probe;
mod wait;

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use control_api::api::{AccountDetail, AliasTest, Login, NewPassword};
use mail::{Domain, Mailbox};
use mta::settings::ListenerKind;
use net::Trial;
use serde::Serialize;

use crate::cli::SendAs;
use crate::config::{self, Config};
use crate::output::{BAD, BOLD, DIM, GOOD, Output, print, styled, table};
use crate::transport::{Transport, segment};
use probe::{Port, Probe, Prober};
use wait::{Came, waited};

/// The name of the password that Gmail gets.
const PASSWORD_NAME: &str = "gmail";

/// So long the command waits on a terminal.
const WAIT_S: u64 = 900;

/// What is typed into Gmail's form.
#[derive(Debug, Serialize)]
struct Form {
    email_address: String,
    treat_as_an_alias: bool,
    smtp_server: String,
    port: u16,
    secured_connection: &'static str,
    user_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

/// All that the command finds out.
#[derive(Debug, Serialize)]
struct Report {
    form: Form,
    probes: Vec<Probe>,
    ok: bool,
    #[serde(flatten)]
    came: Came,
}

/// Runs the command.
pub async fn run(path: &Path, args: SendAs, out: Output) -> Result<ExitCode> {
    let config = config::load(path)?;
    let mut api = Transport::open(&config).await?;
    let address: Mailbox = args.address.parse().map_err(|e| anyhow!("`{}` is not an address: {e}", args.address))?;
    let login = args.login.clone().unwrap_or_else(|| address.to_string());
    let account: AccountDetail = api.get(&format!("/v1/accounts/{}", segment(&login))).await.map_err(|error| {
        anyhow!("{error:#}\n  hint: add it (waypost account add {login}), or name the account that may send as {address} with --login")
    })?;
    let login = account.account.login.clone();
    let password = password(&mut api, &login, &args).await?;
    let mut probes = vec![sender(&account, &address), arrival(&mut api, &address).await?];
    probes.extend(ports(&config, &login, &args.addresses, password.as_deref()).await?);
    let ok = probes.iter().all(|probe| probe.ok);
    let since_ms = net::Clock::system().now_ms();
    let form = form(&config, &address, &login, password.filter(|_| args.new_password));
    let mut report = Report { form, probes, ok, came: Came::default() };
    if !out.json {
        print(&text(&report, &login))?;
    }
    let is_watched = ok && !out.json && std::io::stdout().is_terminal();
    let wait_s = args.wait.unwrap_or(if is_watched { WAIT_S } else { 0 });
    report.came = waited(&mut api, (&address, &login), since_ms, wait_s, out).await?;
    if out.json {
        out.show(&report, |_| String::new())?;
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn password(api: &mut Transport, login: &str, args: &SendAs) -> Result<Option<String>> {
    if args.new_password {
        let new = NewPassword { password: None, name: Some(PASSWORD_NAME.into()) };
        let made: Login = api.post(&format!("/v1/accounts/{}/passwords", segment(login)), &new).await?;
        return Ok(made.password);
    }
    if !args.password_stdin {
        return Ok(None);
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("standard input cannot be read")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("standard input holds no password\n  hint: write it on the first line, or use --new-password");
    }
    Ok(Some(password.to_owned()))
}

/// Whether the account may send as the address, as far as its rules say so by name.
fn sender(account: &AccountDetail, address: &Mailbox) -> Probe {
    let (login, text) = (&account.account.login, address.to_string());
    let domain = format!("@{}", address.domain);
    let rules = [std::slice::from_ref(login), &account.account.may_send_as, &account.aliases].concat();
    let allows = |rule: &String| rule.eq_ignore_ascii_case(&text) || rule.eq_ignore_ascii_case(&domain) || rule == "*";
    if rules.iter().any(allows) {
        return Probe::good("", "sender", format!("{login} may send as {address}"));
    }
    let fix = format!("waypost account senders {login} --add {address}");
    Probe::bad("", "sender", format!("{login} may not send as {address}: what it sends would be refused (550 5.7.1)"), None, fix)
}

/// Whether Gmail's code reaches anybody.
async fn arrival(api: &mut Transport, address: &Mailbox) -> Result<Probe> {
    let test: AliasTest = api.query("/v1/aliases/test", &[("address", Some(address.to_string()))]).await?;
    if test.targets.is_empty() {
        let why = test.failed.first().map(|failed| failed.reason.clone()).unwrap_or_default();
        let fix = format!("waypost alias add {address} YOU@gmail.com");
        return Ok(Probe::bad("", "alias", format!("mail to {address} leads nowhere, and Gmail's code with it: {why}"), None, fix));
    }
    Ok(Probe::good("", "alias", format!("mail to {address} leads to {}", test.targets.join(", "))))
}

async fn ports(config: &Config, login: &str, addresses: &[IpAddr], password: Option<&str>) -> Result<Vec<Probe>> {
    let host = &config.settings.hostname;
    let addresses = if addresses.is_empty() { in_dns(config, host).await } else { Ok(addresses.to_vec()) };
    let addresses = match addresses {
        Ok(addresses) => addresses,
        Err(probe) => return Ok(vec![probe]),
    };
    let trial = Trial::new(config.file.tls.extra_authorities.as_deref())?;
    let prober = Prober { trial: &trial, host, login, password };
    let mut probes = Vec::new();
    for (kind, implicit) in [(ListenerKind::Submission, false), (ListenerKind::Submissions, true)] {
        let Some(port) = port(config, kind) else { continue };
        for address in &addresses {
            probes.extend(prober.port(Port { address: SocketAddr::new(*address, port), implicit }).await);
        }
    }
    Ok(probes)
}

fn port(config: &Config, kind: ListenerKind) -> Option<u16> {
    config.listeners().into_iter().find(|listener| listener.kind == kind).map(|listener| listener.address.port())
}

/// The addresses of the name that is typed into Gmail.
async fn in_dns(config: &Config, host: &Domain) -> Result<Vec<IpAddr>, Probe> {
    let fix = format!("publish an A record of {host} (and AAAA, where the server has IPv6), or name the address with --address");
    let bad = |why: String| Probe::bad("", "DNS", why, Some("Couldn't reach server"), fix.clone());
    let resolver = crate::serve::resolver(config).map_err(|error| bad(format!("{error:#}")))?;
    match resolver.addresses(host, true).await {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(bad(format!("{host} has no address"))),
        Err(error) => Err(bad(format!("{host} has no address that could be found: {error}"))),
    }
}

fn form(config: &Config, address: &Mailbox, login: &str, password: Option<String>) -> Form {
    let starttls = port(config, ListenerKind::Submission);
    let (port, secured_connection) = match (starttls, port(config, ListenerKind::Submissions)) {
        (None, Some(port)) => (port, "SSL"),
        (port, _) => (port.unwrap_or(587), "TLS"),
    };
    Form {
        email_address: address.to_string(),
        treat_as_an_alias: true,
        smtp_server: config.settings.hostname.to_string(),
        port,
        secured_connection,
        user_name: login.to_owned(),
        password,
    }
}

fn text(report: &Report, login: &str) -> String {
    let Form { email_address, smtp_server, port, secured_connection, user_name, password, .. } = &report.form;
    let password = password.as_ref().map_or_else(
        || styled(DIM, format!("one of {login}'s (waypost account show {login}); for one of its own: --new-password")),
        |password| format!("{}  {}", styled(BOLD, password), styled(DIM, "(shown this once)")),
    );
    let mut lines = vec![
        styled(BOLD, "Gmail > Settings > Accounts and Import > Send mail as > Add another email address"),
        "  Name                as others shall see it".into(),
        format!("  Email address       {email_address}"),
        format!("  Treat as an alias   {}", styled(DIM, "leave it checked: the address is yours, and answers to it are answers to you")),
        format!("  SMTP Server         {smtp_server}"),
        format!("  Port                {port}, Secured connection using {secured_connection}"),
        format!("  Username            {user_name}"),
        format!("  Password            {password}"),
        String::new(),
        styled(BOLD, "Tried from here, as Gmail would try it"),
    ];
    let row = |probe: &Probe| {
        let ok = if probe.ok { styled(GOOD, "ok") } else { styled(BAD, "fail") };
        vec![probe.at.clone(), probe.what.clone(), anstream::adapter::strip_str(&ok).to_string(), probe.found.clone()]
    };
    lines.push(table(&["where", "what", "", "found"], &report.probes.iter().map(row).collect::<Vec<_>>()));
    for probe in report.probes.iter().filter(|probe| !probe.ok) {
        lines.push(format!("\n{} {} {}", styled(BAD, "fail"), probe.at, probe.what));
        lines.extend(probe.gmail_says.map(|says| format!("  Gmail would say: {says}")));
        lines.extend(probe.fix.as_ref().map(|fix| format!("  hint: {fix}")));
    }
    lines.join("\n")
}
