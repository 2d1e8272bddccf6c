//! `waypost doctor`: every check of what must hold for mail to come in, to leave and to be believed.
//!
//! RFC 5321, RFC 7208, RFC 6376. Invariant: a check that could not be made is a finding of its own, never a pass and never the end of the others.

mod aliases;
mod blocklists;
mod certificates;
mod dns;
mod finding;
mod generic;
mod lints;
mod machine;
mod names;
mod outbound;
mod paused;
mod ports;
mod reported;
mod screen;
mod shown;
mod signatures;
mod spam_filter;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use admin::api::DomainView;
use anyhow::Result;
use mail::Domain;
use net::Resolver;

pub use outbound::port_25;

use crate::cli::Doctor;
use crate::config::{self, Config};
use crate::output::{DIM, Output, note, print, styled};
use crate::transport::Transport;
use finding::{Finding, Severity};

/// What the checks know.
struct Patient {
    config: Config,
    /// `None` where neither a server answers nor the data directory can be opened.
    api: Option<Transport>,
    resolver: Resolver,
    /// The addresses of the host name in DNS, or those that were named.
    addresses: Vec<IpAddr>,
    /// The hosted domains.
    domains: Vec<Domain>,
    /// Who knows the time, where somebody is to be asked.
    time_server: Option<String>,
    /// Whether anything at all is answered by DNS.
    has_dns: bool,
    /// What to do about SPF at a name, as the plan has it.
    spf_fixes: HashMap<String, String>,
}

/// The check needs the API, and there is none: that is a finding already.
#[derive(Debug, thiserror::Error)]
#[error("the data directory is not open")]
struct NoApi;

impl Patient {
    fn api(&mut self) -> Result<&mut Transport> {
        self.api.as_mut().ok_or_else(|| NoApi.into())
    }
}

/// The check needs DNS, which does not answer: that is a finding already.
#[derive(Debug, thiserror::Error)]
#[error("DNS does not answer")]
struct NoDns;

/// The findings so far. Each is shown as it is made.
struct Chart<'a> {
    findings: Vec<Finding>,
    args: &'a Doctor,
    out: Output,
    /// Checks that were not made, and what they lack.
    left_out: Vec<(&'static str, &'static str)>,
}

impl Chart<'_> {
    fn add(&mut self, found: Vec<Finding>) -> Result<()> {
        let is_shown = |finding: &&Finding| !self.out.json && (!self.args.quiet || finding.severity > Severity::Good);
        for finding in found.iter().filter(is_shown) {
            print(&screen::line(finding))?;
        }
        self.findings.extend(found);
        Ok(())
    }

    /// What a check found, or that it could not be made.
    fn made(&mut self, check: &'static str, result: Result<Vec<Finding>>) -> Result<()> {
        match result {
            Ok(found) => self.add(found),
            Err(error) if error.is::<NoApi>() || error.is::<NoDns>() => {
                self.left_out.push((check, if error.is::<NoDns>() { "DNS" } else { "the data directory" }));
                Ok(())
            }
            Err(error) => self.add(vec![Finding::failed(check, "this check", &error)]),
        }
    }
}

/// Runs the command.
pub async fn run(path: &Path, args: Doctor, out: Output) -> Result<ExitCode> {
    loop {
        let mut chart = Chart { findings: Vec::new(), args: &args, out, left_out: Vec::new() };
        examine(path, &mut chart).await?;
        let findings = chart.findings;
        let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Good);
        if out.json {
            out.show(&serde_json::json!({ "ok": worst < Severity::Error, "findings": findings }), |_| String::new())?;
        } else {
            print(&screen::summary(&findings))?;
        }
        let Some(every_s) = args.watch.filter(|_| worst >= Severity::Error) else {
            return Ok(if worst < Severity::Error { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        };
        note(&styled(DIM, format!("looking again in {every_s} s; Ctrl-C ends")));
        tokio::time::sleep(Duration::from_secs(every_s)).await;
    }
}

/// Makes all checks. An error is one of printing.
async fn examine(path: &Path, chart: &mut Chart<'_>) -> Result<()> {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(errors) => return chart.add(errors.0.into_iter().map(Finding::of_config).collect()),
    };
    chart.add(lints::check(&config))?;
    let mut patient = admit(config, chart).await?;
    chart.made("server", machine::server(&mut patient).await)?;
    chart.add(vec![machine::disk(&patient)])?;
    chart.made("clock", machine::clock(&patient).await)?;
    chart.made("queue", machine::queue(&mut patient).await)?;
    chart.made("paused", paused::check(&mut patient).await)?;
    chart.made("certificate", certificates::check(&mut patient).await)?;
    chart.made("aliases", aliases::check(&mut patient).await)?;
    chart.add(ports::check(&patient).await)?;
    if patient.has_dns {
        chart.add(shown::check(&patient).await)?;
        chart.made("dns", dns::check(&mut patient).await)?;
        chart.add(names::check(&mut patient).await)?;
        chart.made("dkim", signatures::check(&mut patient).await)?;
        chart.add(outbound::check(&patient).await)?;
    } else {
        for check in ["tls", "dns", "ptr", "spf", "blocklist", "dkim", "outbound"] {
            chart.made(check, Err(NoDns.into()))?;
        }
    }
    chart.add(spam_filter::check(&patient).await)?;
    chart.made("reports", reported::check(&mut patient).await)?;
    for lacking in ["the data directory", "DNS"] {
        let left_out: Vec<&str> = chart.left_out.iter().filter(|(_, what)| *what == lacking).map(|(check, _)| *check).collect();
        if !left_out.is_empty() {
            let found = format!("not made without {lacking}: {}", left_out.join(", "));
            let fix = format!("mend what is said of {lacking} above, and run doctor again");
            chart.add(vec![Finding::bad(Severity::Notice, "doctor", "further checks", found, fix)])?;
        }
    }
    Ok(())
}

/// Opens what the checks need; what cannot be opened is a finding.
async fn admit(config: Config, chart: &mut Chart<'_>) -> Result<Patient> {
    let resolver = match crate::serve::resolver(&config) {
        Ok(resolver) => resolver,
        Err(error) => {
            chart.add(vec![Finding::failed("resolver", "[dns]", &error)])?;
            // What the C library does without a configuration.
            Resolver::of_servers(&[SocketAddr::from(([127, 0, 0, 1], 53))])?
        }
    };
    let data = config.file.data_dir.display().to_string();
    let mut api = match Transport::open(&config).await {
        Ok(api) => Some(api),
        Err(error) => {
            chart.add(vec![Finding::failed("data", data, &error)])?;
            None
        }
    };
    let domains = match &mut api {
        None => Vec::new(),
        Some(api) => match api.get::<Vec<DomainView>>("/v1/domains").await {
            Ok(domains) => domains.iter().filter(|d| d.enabled).filter_map(|d| Domain::parse(&d.name).ok()).collect(),
            Err(error) => {
                chart.add(vec![Finding::failed("data", "the hosted domains", &error)])?;
                Vec::new()
            }
        },
    };
    let dead = names::silence(&config, &resolver).await;
    let has_dns = dead.is_none();
    let (addresses, unknown) = match dead {
        Some(dead) => (chart.args.addresses.clone(), vec![dead]),
        None => names::addresses(&config, &resolver, &chart.args.addresses).await,
    };
    chart.add(unknown)?;
    let time_server = chart.args.time_server.clone().filter(|server| !server.is_empty());
    Ok(Patient { config, api, resolver, addresses, domains, time_server, has_dns, spf_fixes: HashMap::new() })
}

/// An error of the API's text without what the finding says by itself.
fn without_hint(error: &anyhow::Error) -> (String, Option<String>) {
    let text = format!("{error:#}");
    match text.split_once("\n  hint: ") {
        Some((what, hint)) => (what.to_owned(), Some(hint.to_owned())),
        None => (text, None),
    }
}

impl Finding {
    /// Something that could not be done.
    fn failed(check: &'static str, about: impl Into<String>, error: &anyhow::Error) -> Self {
        let (found, hint) = without_hint(error);
        let fix = hint.unwrap_or_else(|| "see what the log says (journalctl -u waypost), and run doctor again".into());
        Self::bad(Severity::Error, check, about, found, fix)
    }

    /// Something that is wrong with the configuration file.
    fn of_config(error: config::ConfigError) -> Self {
        let at = error.at.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
        let about = format!("{}{at}", error.path.display());
        let fix = error.hint.unwrap_or_else(|| "correct the file; waypost config check looks at it again".into());
        Self::bad(Severity::Error, "configuration", about, error.what, fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_finding_with_its_hint_as_what_to_do() {
        let finding = Finding::failed("data", "/var/lib/waypost", &anyhow::anyhow!("it is not there\n  hint: make it"));
        assert_eq!((finding.found.as_str(), finding.fix.as_deref()), ("it is not there", Some("make it")));
        assert_eq!(finding.severity, Severity::Error);
    }
}
