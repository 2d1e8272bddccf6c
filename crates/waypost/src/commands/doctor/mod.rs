//! `waypost doctor`: checks everything that receiving, sending and authenticating mail depends on.
//!
//! Where a server runs, it checks itself, and this shows what it finds; without one, the same checks run here. RFC 5321, RFC 7208, RFC 6376. Invariant: a check that cannot run is a finding, never a pass, and does not stop the others.

mod addresses;
mod aliases;
mod blocklists;
mod certificates;
mod dkim;
mod dns;
mod generic_names;
mod lints;
mod machine;
mod outbound;
mod paused;
mod ports;
mod reports;
mod resolver;
mod screen;
mod spam_filter;
mod spf;
mod store;
mod tls;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use control_api::api::{CheckName, CheckQuery, DomainView, HealthFinding as Finding, NodeView, Severity};
use mail::Domain;
use net::Resolver;
use tokio::sync::mpsc::UnboundedSender;

pub use outbound::port_25;

use crate::cli::DoctorArgs;
use crate::config::{self, Config};
use crate::conversation::TRIAL;
use crate::output::{DIM, Output, note, print, styled};
use crate::transport::{Transport, with_query};

/// The time server that the running server compares its clock with.
const TIME_SERVER: &str = "pool.ntp.org";

/// What the checks use.
struct DoctorContext {
    config: Config,
    /// `None` if no server answers and the data directory cannot be opened.
    api: Option<Transport>,
    resolver: Resolver,
    /// The addresses of the host name in DNS, or those given as arguments.
    addresses: Vec<IpAddr>,
    /// The hosted domains.
    domains: Vec<Domain>,
    /// The other servers that share the mail.
    other_hosts: Vec<Domain>,
    /// The time server to compare the clock with.
    time_server: Option<String>,
    /// The EHLO name of its sessions with the server, by which a running server leaves them out of its history.
    hello: String,
    /// Whether DNS answers at all.
    has_dns: bool,
    /// The fix of the SPF record of each name, from the DNS plan.
    spf_fixes: HashMap<String, String>,
}

/// The check needs the API, which is missing; another finding reports that.
#[derive(Debug, thiserror::Error)]
#[error("the data directory is not open")]
struct NoApi;

impl DoctorContext {
    fn api(&mut self) -> Result<&mut Transport> {
        self.api.as_mut().ok_or_else(|| NoApi.into())
    }
}

/// The check needs DNS, which does not answer; another finding reports that.
#[derive(Debug, thiserror::Error)]
#[error("DNS does not answer")]
struct NoDns;

/// The findings so far.
struct DoctorReport {
    findings: Vec<Finding>,
    /// Addresses of the server, instead of those in DNS.
    addresses: Vec<IpAddr>,
    /// The time server; `None` to skip that check.
    time_server: Option<String>,
    /// Where they go as soon as they are found.
    shown: Shown,
    /// The checks that could not run.
    skipped: Vec<SkippedCheck>,
}

/// Where findings go as soon as they are found.
enum Shown {
    /// Nowhere.
    Collected,
    /// To the terminal, if they are at least this serious.
    Printed(Severity),
    /// To whoever asked the server for them.
    Sent(UnboundedSender<Finding>),
}

impl Shown {
    fn show(&self, found: &[Finding]) -> Result<()> {
        match self {
            Self::Collected => Ok(()),
            Self::Printed(least) => {
                for finding in found.iter().filter(|finding| finding.severity >= *least) {
                    print(&screen::line(finding))?;
                }
                Ok(())
            }
            Self::Sent(to) => {
                let is_heard = found.iter().all(|finding| to.send(finding.clone()).is_ok());
                if is_heard { Ok(()) } else { bail!("nobody waits for the checks") }
            }
        }
    }
}

struct SkippedCheck {
    name: &'static str,
    /// What it needs: DNS or the data directory.
    needs: &'static str,
}

impl DoctorReport {
    fn add(&mut self, found: Vec<Finding>) -> Result<()> {
        self.shown.show(&found)?;
        self.findings.extend(found);
        Ok(())
    }

    /// Adds what a check found, or that it could not run.
    fn record(&mut self, check: &'static str, result: Result<Vec<Finding>>) -> Result<()> {
        match result {
            Ok(found) => self.add(found),
            Err(error) if error.is::<NoApi>() || error.is::<NoDns>() => {
                self.skipped.push(SkippedCheck { name: check, needs: if error.is::<NoDns>() { "DNS" } else { "the data directory" } });
                Ok(())
            }
            Err(error) => self.add(vec![failed(check, "this check", &error)]),
        }
    }
}

/// Runs the command.
pub async fn run(path: &Path, args: DoctorArgs, out: Output) -> Result<ExitCode> {
    let least = if args.quiet { Severity::Notice } else { Severity::Good };
    loop {
        let shown = if out.json { Shown::Collected } else { Shown::Printed(least) };
        let findings = check_all(config::load(path), &args, shown).await?;
        let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Good);
        if out.json {
            out.show(&serde_json::json!({ "ok": worst < Severity::Error, "findings": findings }), |_| String::new())?;
        } else {
            print(&screen::summary(&findings))?;
        }
        let Some(every_s) = args.watch.filter(|_| worst >= Severity::Error) else {
            return Ok(if worst < Severity::Error { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        };
        note(&styled(DIM, format!("checking again in {every_s} s; Ctrl-C stops")));
        tokio::time::sleep(Duration::from_secs(every_s)).await;
    }
}

/// Lets the running server check itself; without one, checks here.
async fn check_all(config: Result<Config, config::ConfigErrors>, args: &DoctorArgs, shown: Shown) -> Result<Vec<Finding>> {
    let mut opened = None;
    if let Ok(config) = &config {
        match Transport::open(config).await {
            Ok(mut api) if api.is_server() => {
                let mut findings = Vec::new();
                match ask_server(&mut api, args, &shown, &mut findings).await {
                    // A server of another version, for example: the checks run here.
                    Err(error) if findings.is_empty() => {
                        note(&styled(DIM, format!("the server does not check itself ({error:#}); checking from here")));
                    }
                    asked => return asked.map(|()| findings),
                }
            }
            Ok(api) => opened = Some(api),
            // The checks say so.
            Err(_) => {}
        }
    }
    let time_server = args.time_server.clone().filter(|server| !server.is_empty());
    let mut report = DoctorReport { findings: Vec::new(), addresses: args.addresses.clone(), time_server, shown, skipped: Vec::new() };
    run_checks(config, opened, &mut report).await?;
    Ok(report.findings)
}

/// Shows what the server finds, and adds it to `findings`.
async fn ask_server(api: &mut Transport, args: &DoctorArgs, shown: &Shown, findings: &mut Vec<Finding>) -> Result<()> {
    let addresses = args.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let query = [("addresses", Some(addresses).filter(|text| !text.is_empty())), ("time_server", args.time_server.clone())];
    let each = |line: &str| {
        let finding: Finding = serde_json::from_str(line).context("cannot read the server's answer: it may be of another version")?;
        shown.show(std::slice::from_ref(&finding))?;
        findings.push(finding);
        Ok(())
    };
    api.lines(&with_query("/api/v1/health/findings", &query), each).await
}

/// Returns what all checks find, through this connection to the running server.
pub async fn findings(config: Result<Config, config::ConfigErrors>, api: Transport) -> Result<Vec<Finding>> {
    let time_server = Some(TIME_SERVER.to_owned());
    let shown = Shown::Collected;
    let mut report = DoctorReport { findings: Vec::new(), addresses: Vec::new(), time_server, shown, skipped: Vec::new() };
    run_checks(config, Some(api), &mut report).await?;
    Ok(report.findings)
}

/// Sends what all checks find, through this connection to the running server, until nobody waits for it.
///
/// # Errors
/// Nobody waits, or an address is none.
pub async fn send_findings(
    config: Result<Config, config::ConfigErrors>,
    api: Transport,
    what: &CheckQuery,
    to: UnboundedSender<Finding>,
) -> Result<()> {
    let addresses = what.addresses.iter().flat_map(|list| list.split(',')).filter(|text| !text.is_empty());
    let addresses = addresses.map(|text| text.trim().parse().with_context(|| format!("{text} is no IP address"))).collect::<Result<_>>()?;
    let time_server = Some(what.time_server.clone().unwrap_or_else(|| TIME_SERVER.to_owned())).filter(|server| !server.is_empty());
    let mut report = DoctorReport { findings: Vec::new(), addresses, time_server, shown: Shown::Sent(to), skipped: Vec::new() };
    run_checks(config, Some(api), &mut report).await
}

/// Runs all checks; without `api`, connects to the server first. Errors come from printing only.
async fn run_checks(config: Result<Config, config::ConfigErrors>, api: Option<Transport>, report: &mut DoctorReport) -> Result<()> {
    let config = match config {
        Ok(config) => config,
        Err(errors) => return report.add(errors.0.into_iter().map(of_config).collect()),
    };
    report.add(lints::check(&config))?;
    report.add(store::check(&config))?;
    let mut context = prepare(config, api, report).await?;
    report.record("server", machine::check_server(&mut context).await)?;
    report.add(vec![machine::check_disk(&context)])?;
    report.record("clock", machine::check_clock(&context).await)?;
    report.record("queue", machine::check_queue(&mut context).await)?;
    report.record("paused", paused::check(&mut context).await)?;
    report.record("certificate", certificates::check(&mut context).await)?;
    report.record("aliases", aliases::check(&mut context).await)?;
    report.add(ports::check(&context).await)?;
    if context.has_dns {
        report.add(tls::check(&context).await)?;
        report.record("dns", dns::check(&mut context).await)?;
        report.add(resolver::check(&mut context).await)?;
        report.add(addresses::check(&context).await)?;
        report.record("dkim", dkim::check(&mut context).await)?;
        report.add(outbound::check(&context).await)?;
    } else {
        for check in ["tls", "dns", "ptr", "spf", "blocklist", "dkim", "outbound"] {
            report.record(check, Err(NoDns.into()))?;
        }
    }
    report.add(spam_filter::check(&context).await)?;
    report.record("reports", reports::check(&mut context).await)?;
    for missing in ["the data directory", "DNS"] {
        let skipped: Vec<&str> = report.skipped.iter().filter(|check| check.needs == missing).map(|check| check.name).collect();
        if !skipped.is_empty() {
            let found = format!("skipped without {missing}: {}", skipped.join(", "));
            let fix = format!("fix the problem with {missing} above, then run doctor again");
            report.add(vec![Finding::bad(Severity::Notice, "doctor", "further checks", found, fix)])?;
        }
    }
    Ok(())
}

/// Opens what the checks need; a failure is a finding.
async fn prepare(config: Config, api: Option<Transport>, report: &mut DoctorReport) -> Result<DoctorContext> {
    let resolver = match crate::serve::resolver(&config) {
        Ok(resolver) => resolver,
        Err(error) => {
            report.add(vec![failed("resolver", "[dns]", &error)])?;
            // The default of the C library without a configuration.
            Resolver::of_servers(&[SocketAddr::from(([127, 0, 0, 1], 53))])?
        }
    };
    let data = config.file.data_dir.display().to_string();
    let opened = match api {
        Some(api) => Ok(api),
        None => Transport::open(&config).await,
    };
    let mut api = match opened {
        Ok(api) => Some(api),
        Err(error) => {
            report.add(vec![failed("data", data, &error)])?;
            None
        }
    };
    let domains: Vec<DomainView> = listed(&mut api, ("/api/v1/domains", "the hosted domains"), report).await?;
    let domains = domains.iter().filter(|d| d.enabled).filter_map(|d| Domain::parse(&d.name).ok()).collect();
    let nodes: Vec<NodeView> = listed(&mut api, ("/api/v1/nodes", "the servers that share the mail"), report).await?;
    let other_hosts = crate::dns_facts::other_hosts(&config, &nodes);
    // Without a running server, nothing answers or something else does.
    let hello = match &mut api {
        Some(api) => api.post::<CheckName>("/api/v1/health/names", &()).await.map(|name| name.hello).ok(),
        None => None,
    };
    let hello = hello.unwrap_or_else(|| TRIAL.to_owned());
    let dead = resolver::check_silence(&config, &resolver).await;
    let has_dns = dead.is_none();
    let (addresses, found) = match dead {
        Some(dead) => (report.addresses.clone(), vec![dead]),
        None => addresses::find(&config, &resolver, &report.addresses).await,
    };
    report.add(found)?;
    let time_server = report.time_server.clone();
    Ok(DoctorContext { config, api, resolver, addresses, domains, other_hosts, time_server, hello, has_dns, spf_fixes: HashMap::new() })
}

/// A list of the API; empty without one, or if it fails, which is a finding.
async fn listed<T: serde::de::DeserializeOwned>(
    api: &mut Option<Transport>,
    (path, what): (&str, &str),
    report: &mut DoctorReport,
) -> Result<Vec<T>> {
    let Some(api) = api else { return Ok(Vec::new()) };
    match api.list::<T>(path, &[]).await {
        Ok(all) => Ok(all),
        Err(error) => {
            report.add(vec![failed("data", what, &error)])?;
            Ok(Vec::new())
        }
    }
}

/// Splits an error into its text and its hint.
fn split_hint(error: &anyhow::Error) -> (String, Option<String>) {
    let text = format!("{error:#}");
    match text.split_once("\n  hint: ") {
        Some((what, hint)) => (what.to_owned(), Some(hint.to_owned())),
        None => (text, None),
    }
}

/// A check or a step that failed.
fn failed(check: &'static str, about: impl Into<String>, error: &anyhow::Error) -> Finding {
    let (found, hint) = split_hint(error);
    let fix = hint.unwrap_or_else(|| "read the log (journalctl -u waypost), then run doctor again".into());
    Finding::bad(Severity::Error, check, about, found, fix)
}

/// An error in the configuration file.
fn of_config(error: config::ConfigError) -> Finding {
    let at = error.at.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
    let about = format!("{}{at}", error.path.display());
    let fix = error.hint.unwrap_or_else(|| "correct the file, then run: waypost config check".into());
    Finding::bad(Severity::Error, "configuration", about, error.what, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_of_a_failure_becomes_the_fix() {
        let finding = failed("data", "/var/lib/waypost", &anyhow::anyhow!("it is not there\n  hint: make it"));
        assert_eq!((finding.found.as_str(), finding.fix.as_deref()), ("it is not there", Some("make it")));
        assert_eq!(finding.severity, Severity::Error);
    }
}
