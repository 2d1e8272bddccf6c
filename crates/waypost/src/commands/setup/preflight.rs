//! Checks before the first start: whether the domain exists, where its mail goes today, and whether ports are free and outgoing port 25 is open.
//!
//! RFC 5321 s.5. Invariant: changes and stops nothing; each check prints a line, and all end within [`WITHIN`].

use std::net::TcpListener;
use std::time::Duration;

use mail::Domain;
use net::Resolver;
use policy::RouteFailure;
use serde::Serialize;

use crate::commands::doctor;
use crate::config::Config;

/// Maximum duration of all checks together.
const WITHIN: Duration = Duration::from_secs(15);

/// The result of a check.
#[derive(Debug, Serialize)]
pub struct PreflightCheck {
    /// Whether it passed.
    pub good: bool,
    /// The result in words, with what to do.
    pub text: String,
}

impl PreflightCheck {
    fn good(text: String) -> Self {
        Self { good: true, text }
    }

    fn bad(text: String) -> Self {
        Self { good: false, text }
    }
}

/// Runs the checks. `is_running`: our own server has the ports.
pub async fn run(config: &Config, domain: &Domain, is_running: bool) -> Vec<PreflightCheck> {
    let mut checks = if is_running { Vec::new() } else { check_ports(config) };
    let resolver = match crate::serve::resolver(config) {
        Ok(resolver) => resolver,
        Err(error) => {
            checks.push(PreflightCheck::bad(error.to_string()));
            return checks;
        }
    };
    let outside = async { tokio::join!(check_domain(config, &resolver, domain), doctor::port_25(config, &resolver)) };
    match tokio::time::timeout(WITHIN, outside).await {
        Err(_) => {
            checks.push(PreflightCheck::bad(format!("DNS and outgoing connections could not be checked within {} s", WITHIN.as_secs())))
        }
        Ok((domain, way_out)) => {
            checks.push(domain);
            checks.extend(way_out.map(|result| match result {
                Ok(text) => PreflightCheck::good(text),
                Err(text) => PreflightCheck::bad(text),
            }));
        }
    }
    checks
}

/// Whether the domain exists, and where its mail goes today.
async fn check_domain(config: &Config, resolver: &Resolver, domain: &Domain) -> PreflightCheck {
    let ours = &config.settings.hostname;
    match resolver.mx(domain).await {
        Err(RouteFailure::NoSuchDomain) => {
            PreflightCheck::bad(format!("{domain} does not exist in DNS: check its spelling, and that it is registered"))
        }
        Err(RouteFailure::Temporary(error)) => PreflightCheck::bad(format!("{domain} could not be looked up: {error}")),
        Err(RouteFailure::NoAddress) => PreflightCheck::good(format!("{domain} exists and accepts no mail yet")),
        Ok(records) => {
            let hosts: Vec<String> = records.iter().filter_map(|record| record.host.as_ref()).map(Domain::to_string).collect();
            let others: Vec<&String> = hosts.iter().filter(|host| *host != ours.as_str()).collect();
            match others.first() {
                None if hosts.is_empty() => PreflightCheck::good(format!("{domain} exists and has no MX record yet")),
                None => PreflightCheck::good(format!("mail to {domain} already comes to {ours}")),
                Some(other) => PreflightCheck::bad(format!(
                    "mail to {domain} goes to {other} today; add an alias for every address in use before you change its MX record"
                )),
            }
        }
    }
}

/// Whether the ports are free.
fn check_ports(config: &Config) -> Vec<PreflightCheck> {
    let mut taken: Vec<u16> = Vec::new();
    let mut seen: Vec<u16> = Vec::new();
    for listener in config.listeners() {
        let port = listener.address.port();
        seen.push(port);
        let is_taken = TcpListener::bind(listener.address).is_err_and(|e| e.kind() == std::io::ErrorKind::AddrInUse);
        if is_taken && !taken.contains(&port) {
            taken.push(port);
        }
    }
    seen.dedup();
    let shown = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    match taken.as_slice() {
        [] if seen.is_empty() => Vec::new(),
        [] => vec![PreflightCheck::good(format!("ports {} are free", shown(&seen)))],
        [one] => vec![PreflightCheck::bad(format!(
            "another program has port {one} (ss -ltnp shows it); stop it before you start the server: {STOP}"
        ))],
        several => vec![PreflightCheck::bad(format!(
            "other programs have ports {} (ss -ltnp shows them); stop them before you start the server: {STOP}",
            shown(several)
        ))],
    }
}

const STOP: &str = "systemctl disable --now postfix, for example";
