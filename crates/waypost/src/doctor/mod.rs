//! `waypost doctor`: every check of what must hold for mail to come in, to leave and to be believed.
//!
//! RFC 5321, RFC 7208, RFC 6376. Invariant: a check that could not be made is a finding of its own, never a pass.

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
mod ports;
mod reported;
mod shown;
mod signatures;
mod spam_filter;

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use admin::api::DomainView;
use anyhow::Result;
use mail::Domain;
use net::Resolver;

use crate::cli::Doctor;
use crate::config::{self, Config};
use crate::output::{BAD, BOLD, DIM, GOOD, Output, WARN, note, print, styled};
use crate::transport::Transport;
use finding::{Finding, Severity};

/// What the checks know.
struct Patient {
    config: Config,
    api: Transport,
    resolver: Resolver,
    /// The addresses of the host name in DNS, or those that were named.
    addresses: Vec<IpAddr>,
    /// The hosted domains.
    domains: Vec<Domain>,
    /// Who knows the time, where somebody is to be asked.
    time_server: Option<String>,
}

/// Runs the command.
pub async fn run(path: &Path, args: Doctor, out: Output) -> Result<ExitCode> {
    loop {
        let findings = examine(path, &args, out).await?;
        let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Good);
        if out.json {
            out.show(&serde_json::json!({ "ok": worst < Severity::Error, "findings": findings }), |_| String::new())?;
        } else {
            print(&summary(&findings))?;
        }
        let Some(every_s) = args.watch.filter(|_| worst >= Severity::Error) else {
            return Ok(if worst < Severity::Error { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        };
        note(&styled(DIM, format!("looking again in {every_s} s; Ctrl-C ends")));
        tokio::time::sleep(Duration::from_secs(every_s)).await;
    }
}

/// Makes all checks, and shows each as it is made.
async fn examine(path: &Path, args: &Doctor, out: Output) -> Result<Vec<Finding>> {
    let config = config::load(path)?;
    let mut findings = lints::check(&config);
    show(&findings, args, out)?;
    let resolver = crate::serve::resolver(&config)?;
    let mut api = Transport::open(&config).await?;
    let domains: Vec<DomainView> = api.get("/v1/domains").await?;
    let domains = domains.iter().filter(|domain| domain.enabled).filter_map(|domain| Domain::parse(&domain.name).ok()).collect();
    let (addresses, unknown) = names::addresses(&config, &resolver, &args.addresses).await;
    let time_server = args.time_server.clone().filter(|server| !server.is_empty());
    let mut patient = Patient { config, api, resolver, addresses, domains, time_server };
    let mut add = |found: Vec<Finding>| -> Result<()> {
        show(&found, args, out)?;
        findings.extend(found);
        Ok(())
    };
    add(unknown)?;
    add(machine::check(&mut patient).await?)?;
    add(aliases::check(&mut patient).await?)?;
    add(certificates::check(&mut patient).await?)?;
    add(ports::check(&patient).await)?;
    add(shown::check(&patient).await)?;
    add(dns::check(&mut patient).await?)?;
    add(names::check(&mut patient).await)?;
    add(signatures::check(&mut patient).await?)?;
    add(spam_filter::check(&patient).await)?;
    add(outbound::check(&patient).await)?;
    add(reported::check(&mut patient).await?)?;
    Ok(findings)
}

fn show(findings: &[Finding], args: &Doctor, out: Output) -> Result<()> {
    for finding in findings.iter().filter(|finding| !out.json && (!args.quiet || finding.severity > Severity::Good)) {
        print(&line(finding))?;
    }
    Ok(())
}

fn line(finding: &Finding) -> String {
    let (style, word) = match finding.severity {
        Severity::Good => (GOOD, "ok"),
        Severity::Notice => (DIM, "note"),
        Severity::Warning => (WARN, "warning"),
        Severity::Error => (BAD, "error"),
    };
    let pad = " ".repeat(7usize.saturating_sub(word.len()));
    let found = plain(&finding.found);
    let mut text = format!("{}{pad}  {:<13} {}: {found}", styled(style, word), finding.check, plain(&finding.about));
    let indent = " ".repeat(23);
    if let Some(why) = &finding.why {
        text.push_str(&format!("\n{indent}{}", styled(DIM, plain(why))));
    }
    if let Some(fix) = &finding.fix {
        for (n, line) in fix.lines().enumerate() {
            let head = if n == 0 { "fix: " } else { "     " };
            text.push_str(&format!("\n{indent}{head}{}", plain(line)));
        }
    }
    text
}

/// What others wrote moves no cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn summary(findings: &[Finding]) -> String {
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings, good) = (of(Severity::Error), of(Severity::Warning), of(Severity::Good));
    let verdict = match (errors, warnings) {
        (0, 0) => styled(GOOD, "all is well"),
        (0, _) => styled(WARN, "it works, with warnings"),
        _ => styled(BAD, "not well"),
    };
    format!("\n{} {verdict}: {good} fine, {warnings} warnings, {errors} errors", styled(BOLD, "=>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_shown_with_what_to_do() {
        let finding =
            Finding::bad(Severity::Error, "ptr", "192.0.2.1", "no \u{1b}name", "ask the hoster\nfor a PTR record").because("others refuse");
        let shown = anstream::adapter::strip_str(&line(&finding)).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "error    ptr           192.0.2.1: no  name");
        assert_eq!((lines[1].trim(), lines[2].trim(), lines[3].trim()), ("others refuse", "fix: ask the hoster", "for a PTR record"));
        assert!(summary(&[finding]).contains("1 errors"));
    }
}
