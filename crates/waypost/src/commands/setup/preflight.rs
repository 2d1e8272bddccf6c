//! A look outside before mail is entrusted to this machine: is the domain's name right, where does its mail go today, are the ports to be had?
//!
//! RFC 5321 s.5. Invariant: it changes nothing and stops nothing; each look is a line, and all of them end within [`WITHIN`].

use std::net::TcpListener;
use std::time::Duration;

use mail::Domain;
use net::Resolver;
use policy::RouteFailure;
use serde::Serialize;

use crate::commands::doctor;
use crate::config::Config;

/// All looks together take no longer.
const WITHIN: Duration = Duration::from_secs(15);

/// What was seen.
#[derive(Debug, Serialize)]
pub struct Look {
    /// Whether it is as it should be.
    pub good: bool,
    /// In words, with what to do.
    pub text: String,
}

impl Look {
    fn good(text: String) -> Self {
        Self { good: true, text }
    }

    fn bad(text: String) -> Self {
        Self { good: false, text }
    }
}

/// Looks. `is_running` says that our own server has the ports.
pub async fn run(config: &Config, domain: &Domain, is_running: bool) -> Vec<Look> {
    let mut looks = if is_running { Vec::new() } else { ports(config) };
    let resolver = match crate::serve::resolver(config) {
        Ok(resolver) => resolver,
        Err(error) => {
            looks.push(Look::bad(error.to_string()));
            return looks;
        }
    };
    let outside = async { tokio::join!(mail_today(config, &resolver, domain), doctor::port_25(config, &resolver)) };
    match tokio::time::timeout(WITHIN, outside).await {
        Err(_) => looks.push(Look::bad(format!("the outside could not be looked at within {} s", WITHIN.as_secs()))),
        Ok((domain, way_out)) => {
            looks.push(domain);
            looks.extend(way_out.map(|result| match result {
                Ok(text) => Look::good(text),
                Err(text) => Look::bad(text),
            }));
        }
    }
    looks
}

/// Whether the domain is there, and who gets its mail now.
async fn mail_today(config: &Config, resolver: &Resolver, domain: &Domain) -> Look {
    let ours = &config.settings.hostname;
    match resolver.mx(domain).await {
        Err(RouteFailure::NoSuchDomain) => Look::bad(format!("{domain} does not exist in DNS: is it spelled right, and registered?")),
        Err(RouteFailure::Temporary(error)) => Look::bad(format!("{domain} could not be looked up: {error}")),
        Err(RouteFailure::NoAddress) => Look::good(format!("{domain} exists, and takes no mail yet")),
        Ok(records) => {
            let hosts: Vec<String> = records.iter().filter_map(|record| record.host.as_ref()).map(Domain::to_string).collect();
            let others: Vec<&String> = hosts.iter().filter(|host| *host != ours.as_str()).collect();
            match others.first() {
                None if hosts.is_empty() => Look::good(format!("{domain} exists, and has no MX record yet")),
                None => Look::good(format!("mail to {domain} comes to {ours} already")),
                Some(other) => Look::bad(format!(
                    "mail to {domain} goes to {other} today. Give every address that is in use there an alias here before you change its MX record"
                )),
            }
        }
    }
}

/// Whether the ports are free.
fn ports(config: &Config) -> Vec<Look> {
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
        [] => vec![Look::good(format!("the ports {} are free", shown(&seen)))],
        [one] => vec![Look::bad(format!(
            "another program has port {one} (ss -ltnp names it): stop it before the server is started, as in: {STOP}"
        ))],
        several => vec![Look::bad(format!(
            "other programs have the ports {} (ss -ltnp names them): stop them before the server is started, as in: {STOP}",
            shown(several)
        ))],
    }
}

const STOP: &str = "systemctl disable --now postfix (or exim4)";
