//! `waypost sendas`: sets up Gmail's "Send mail as", from the form to the first login.
//!
//! Invariant: prints the values that it tested.

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
use net::TlsProbe;
use serde::Serialize;

use crate::cli::SendAsArgs;
use crate::config::{self, Config};
use crate::output::{BAD, BOLD, DIM, GOOD, Output, print, styled, table};
use crate::transport::{Transport, segment};
use probe::{Port, Probe, Prober};
use wait::{GmailEvents, WaitRequest, wait};

/// The name of Gmail's password.
const PASSWORD_NAME: &str = "gmail";

/// Default wait on a terminal, in seconds.
const WAIT_S: u64 = 900;

/// The values for Gmail's form.
#[derive(Debug, Serialize)]
struct SendAsForm {
    email_address: String,
    treat_as_an_alias: bool,
    smtp_server: String,
    port: u16,
    secured_connection: &'static str,
    user_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

/// The result of the command.
#[derive(Debug, Serialize)]
struct SendAsReport {
    form: SendAsForm,
    probes: Vec<Probe>,
    ok: bool,
    #[serde(flatten)]
    events: GmailEvents,
}

/// Runs the command.
pub async fn run(path: &Path, args: SendAsArgs, out: Output) -> Result<ExitCode> {
    let config = config::load(path)?;
    let mut api = Transport::open(&config).await?;
    let address: Mailbox = args
        .address
        .parse()
        .map_err(|e| anyhow!("`{}` is not an address: {e}\n  hint: use an address such as me@example.com", args.address))?;
    let login = args.login.clone().unwrap_or_else(|| address.to_string());
    let account: AccountDetail = api.get(&format!("/api/v1/accounts/{}", segment(&login))).await.map_err(|error| {
        anyhow!("{error:#}\n  hint: add it with waypost account add {login}, or name the account that may send as {address} with --login")
    })?;
    let login = account.account.login.clone();
    let password = choose_password(&mut api, &login, &args).await?;
    let mut probes = vec![check_sender(&account, &address), check_alias(&mut api, &address).await?];
    probes.extend(test_ports(&config, &login, &args.addresses, password.as_deref()).await?);
    let ok = probes.iter().all(|probe| probe.ok);
    let since_ms = net::Clock::system().now_ms();
    let form = form(&config, &address, &login, password.filter(|_| args.new_password));
    let mut report = SendAsReport { form, probes, ok, events: GmailEvents::default() };
    if !out.json {
        print(&text(&report, &login))?;
    }
    let is_watched = ok && !out.json && std::io::stdout().is_terminal();
    let wait_s = args.wait.unwrap_or(if is_watched { WAIT_S } else { 0 });
    let request = WaitRequest { address: &address, login: &login, since_ms, wait_s };
    report.events = wait(&mut api, request, out).await?;
    if out.json {
        out.show(&report, |_| String::new())?;
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn choose_password(api: &mut Transport, login: &str, args: &SendAsArgs) -> Result<Option<String>> {
    if args.new_password {
        let new = NewPassword { password: None, name: Some(PASSWORD_NAME.into()) };
        let made: Login = api.post(&format!("/api/v1/accounts/{}/passwords", segment(login)), &new).await?;
        return Ok(made.password);
    }
    if !args.password_stdin {
        return Ok(None);
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("standard input cannot be read")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("standard input contains no password\n  hint: write it on the first line, or use --new-password");
    }
    Ok(Some(password.to_owned()))
}

/// Whether the account may send as the address.
fn check_sender(account: &AccountDetail, address: &Mailbox) -> Probe {
    let (login, text) = (&account.account.login, address.to_string());
    let domain = format!("@{}", address.domain);
    let rules = [std::slice::from_ref(login), &account.account.may_send_as, &account.aliases].concat();
    let allows = |rule: &String| rule.eq_ignore_ascii_case(&text) || rule.eq_ignore_ascii_case(&domain) || rule == "*";
    if rules.iter().any(allows) {
        return Probe::good("", "sender", format!("{login} may send as {address}"));
    }
    let fix = format!("waypost account senders {login} --add {address}");
    Probe::bad("", "sender", format!("{login} may not send as {address}: its mail would be refused (550 5.7.1)"), None, fix)
}

/// Whether Gmail's code can arrive.
async fn check_alias(api: &mut Transport, address: &Mailbox) -> Result<Probe> {
    let test: AliasTest = api.query("/api/v1/aliases/test", &[("address", Some(address.to_string()))]).await?;
    if test.targets.is_empty() {
        let why = test.failed.first().map(|failed| failed.reason.clone()).unwrap_or_default();
        let fix = format!("waypost alias add {address} YOU@gmail.com");
        return Ok(Probe::bad("", "alias", format!("mail to {address} goes nowhere, and so does Gmail's code: {why}"), None, fix));
    }
    Ok(Probe::good("", "alias", format!("mail to {address} goes to {}", test.targets.join(", "))))
}

async fn test_ports(config: &Config, login: &str, addresses: &[IpAddr], password: Option<&str>) -> Result<Vec<Probe>> {
    let host = &config.settings.hostname;
    let addresses = if addresses.is_empty() { look_up(config, host).await } else { Ok(addresses.to_vec()) };
    let addresses = match addresses {
        Ok(addresses) => addresses,
        Err(probe) => return Ok(vec![probe]),
    };
    let tls = TlsProbe::new(config.file.tls.extra_authorities.as_deref())?;
    let proxies = config.proxies();
    let prober = Prober { tls: &tls, proxies: &proxies, host, login, password };
    let mut probes = Vec::new();
    for (kind, implicit) in [(ListenerKind::Submission, false), (ListenerKind::Submissions, true)] {
        let Some(port) = port(config, kind) else { continue };
        for address in &addresses {
            probes.extend(prober.test_port(Port { address: SocketAddr::new(*address, port), implicit }).await);
        }
    }
    Ok(probes)
}

fn port(config: &Config, kind: ListenerKind) -> Option<u16> {
    config.listeners().into_iter().find(|listener| listener.kind == kind).map(|listener| listener.address.port())
}

/// The addresses of the server's name.
async fn look_up(config: &Config, host: &Domain) -> Result<Vec<IpAddr>, Probe> {
    let fix = format!("publish an A record for {host} (and AAAA if the server has IPv6), or give the address with --address");
    let bad = |why: String| Probe::bad("", "DNS", why, Some("Couldn't reach server"), fix.clone());
    let resolver = crate::serve::resolver(config).map_err(|error| bad(format!("{error:#}")))?;
    match resolver.addresses(host, true).await {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(bad(format!("{host} has no address"))),
        Err(error) => Err(bad(format!("{host} could not be looked up: {error}"))),
    }
}

fn form(config: &Config, address: &Mailbox, login: &str, password: Option<String>) -> SendAsForm {
    let starttls = port(config, ListenerKind::Submission);
    let (port, secured_connection) = match (starttls, port(config, ListenerKind::Submissions)) {
        (None, Some(port)) => (port, "SSL"),
        (port, _) => (port.unwrap_or(587), "TLS"),
    };
    SendAsForm {
        email_address: address.to_string(),
        treat_as_an_alias: true,
        smtp_server: config.settings.hostname.to_string(),
        port,
        secured_connection,
        user_name: login.to_owned(),
        password,
    }
}

fn text(report: &SendAsReport, login: &str) -> String {
    let SendAsForm { email_address, smtp_server, port, secured_connection, user_name, password, .. } = &report.form;
    let password = password.as_ref().map_or_else(
        || styled(DIM, format!("a password of {login} (waypost account show {login}); to create one for Gmail: --new-password")),
        |password| format!("{}  {}", styled(BOLD, password), styled(DIM, "(shown only once)")),
    );
    let mut lines = vec![
        styled(BOLD, "Gmail > Settings > Accounts and Import > Send mail as > Add another email address"),
        "  Name                the name that recipients see".into(),
        format!("  Email address       {email_address}"),
        format!("  Treat as an alias   {}", styled(DIM, "leave it checked: replies to the address come to you")),
        format!("  SMTP Server         {smtp_server}"),
        format!("  Port                {port}, Secured connection using {secured_connection}"),
        format!("  Username            {user_name}"),
        format!("  Password            {password}"),
        String::new(),
        styled(BOLD, "Tested from here, as Gmail does"),
    ];
    let row = |probe: &Probe| {
        let ok = if probe.ok { styled(GOOD, "ok") } else { styled(BAD, "fail") };
        vec![probe.at.clone(), probe.what.clone(), anstream::adapter::strip_str(&ok).to_string(), probe.found.clone()]
    };
    lines.push(table(&["where", "what", "", "found"], &report.probes.iter().map(row).collect::<Vec<_>>()));
    for probe in report.probes.iter().filter(|probe| !probe.ok) {
        lines.push(format!("\n{} {} {}", styled(BAD, "fail"), probe.at, probe.what));
        lines.extend(probe.gmail_says.map(|says| format!("  Gmail would show: {says}")));
        lines.extend(probe.fix.as_ref().map(|fix| format!("  fix: {fix}")));
    }
    lines.join("\n")
}
