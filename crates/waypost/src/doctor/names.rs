//! The server's addresses and their names: A and AAAA, PTR both ways, SPF for each route, blocklists, and the resolver that all of it depends on.
//!
//! RFC 8601 s.3, RFC 7208, RFC 5782 (blocklists), RFC 4035. Invariant: an answer that means "I do not answer you" is never taken for a listing.

use std::net::{IpAddr, Ipv4Addr};

use mail::Domain;
use mail::evidence::{IprevResult, SpfResult};
use msgauth::Input;
use net::Resolver;

use super::Patient;
use super::finding::{Finding, Severity};
use crate::config::Config;

/// Blocklists that receivers use.
const LISTS: [&str; 3] = ["zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org"];

/// Resolvers for everybody, whom blocklists refuse.
const PUBLIC_RESOLVERS: [&str; 8] =
    ["8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "149.112.112.112", "208.67.222.222", "208.67.220.220"];

/// A name whose signatures are wrong on purpose: who resolves it does not validate.
const BOGUS: &str = "dnssec-failed.org";

/// The addresses of the host name, or those that were named.
pub(super) async fn addresses(config: &Config, resolver: &Resolver, named: &[IpAddr]) -> (Vec<IpAddr>, Vec<Finding>) {
    if !named.is_empty() {
        return (named.to_vec(), Vec::new());
    }
    let host = &config.settings.hostname;
    let fix = format!("publish an A record of {host} (AAAA too, where the server has IPv6 with a PTR record)");
    match resolver.addresses(host, true).await {
        Ok(found) if !found.is_empty() => {
            let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
            let finding = Finding::good("address", host.as_str(), shown.join(", "));
            (found, vec![finding])
        }
        Ok(_) => (Vec::new(), vec![Finding::bad(Severity::Error, "address", host.as_str(), "has no address", fix)]),
        Err(error) => {
            (Vec::new(), vec![Finding::bad(Severity::Error, "address", host.as_str(), format!("has no address: {error:?}"), fix)])
        }
    }
}

pub(super) async fn check(patient: &Patient) -> Vec<Finding> {
    let mut findings = resolver(patient).await;
    for address in &patient.addresses {
        findings.push(ptr(patient, *address).await);
        findings.extend(spf(patient, *address).await);
        if let IpAddr::V4(v4) = address
            && !v4.is_loopback()
            && !v4.is_private()
        {
            for list in LISTS {
                findings.extend(listed(patient, *v4, list).await);
            }
        }
    }
    findings
}

async fn resolver(patient: &Patient) -> Vec<Finding> {
    let servers: Vec<String> = patient.config.file.dns.servers.iter().map(|server| server.0.ip().to_string()).collect();
    let servers = if servers.is_empty() { system_servers() } else { servers };
    let about = servers.join(", ");
    let mut findings = Vec::new();
    if let Some(public) = servers.iter().find(|server| PUBLIC_RESOLVERS.contains(&server.as_str())) {
        let fix = "install unbound, and name it: servers = [\"127.0.0.1:53\"] under [dns]";
        findings.push(
            Finding::bad(Severity::Warning, "resolver", about.clone(), format!("{public} is a resolver for everybody"), fix)
                .because("blocklists refuse to answer it, and a filter that asks them finds nothing"),
        );
    }
    let Ok(bogus) = Domain::parse(BOGUS) else { return findings };
    let is_loopback = servers.iter().any(|server| server.starts_with("127.") || server == "::1");
    findings.push(match patient.resolver.addresses(&bogus, false).await {
        Ok(_) => Finding::bad(
            Severity::Notice,
            "resolver",
            about,
            "does not check DNSSEC signatures",
            "install unbound, which does, and name it under [dns]",
        ),
        Err(policy::RouteFailure::Temporary(_)) => {
            Finding::good("resolver", about, "refuses what has wrong signatures, or sees only a part of the world")
        }
        Err(_) if is_loopback => Finding::good("resolver", about, "answers"),
        Err(_) => Finding::good("resolver", about, "answers"),
    });
    findings
}

fn system_servers() -> Vec<String> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("nameserver")).map(|rest| rest.trim().to_owned()).collect()
}

async fn ptr(patient: &Patient, address: IpAddr) -> Finding {
    let host = patient.config.settings.hostname.as_str();
    let about = address.to_string();
    let v6 = if address.is_ipv6() { ", or turn ipv6 off under [delivery] and take the AAAA record away until it is" } else { "" };
    let fix = format!("ask your hoster to set the PTR record of {address} to {host}{v6}");
    let why = "Gmail and others refuse mail from an address without a name that leads back to it (550 5.7.25)";
    let names = match patient.resolver.names_of(address).await {
        Ok(names) => names,
        Err(error) => {
            return Finding::bad(Severity::Warning, "ptr", about, format!("cannot be looked up: {error}"), "try again in a minute");
        }
    };
    let shown = names.iter().map(Domain::to_string).collect::<Vec<_>>().join(", ");
    match patient.resolver.authenticator().confirmed_name(address).await {
        (IprevResult::Pass, Some(name)) if name.eq_ignore_ascii_case(host) => Finding::good("ptr", about, format!("{name}, both ways")),
        (IprevResult::Pass, Some(name)) => {
            Finding::bad(Severity::Warning, "ptr", about, format!("{name} leads there and back, but the server calls itself {host}"), fix)
                .because("a name that differs from the greeting looks like a rented machine")
        }
        _ if names.is_empty() => Finding::bad(Severity::Error, "ptr", about, "has no name", fix).because(why),
        _ => Finding::bad(Severity::Error, "ptr", about, format!("{shown} does not lead back to it"), fix).because(why),
    }
}

/// SPF of each name under which mail leaves this address.
async fn spf(patient: &Patient, address: IpAddr) -> Vec<Finding> {
    let settings = &patient.config.settings;
    let host = settings.hostname.as_str();
    let mut senders: Vec<(String, bool)> = patient.domains.iter().map(|domain| (domain.to_string(), true)).collect();
    senders.push((settings.forward.srs.domain.to_string(), true));
    senders.push((host.to_owned(), false));
    senders.sort();
    senders.dedup_by(|a, b| a.0 == b.0);
    let mut findings = Vec::new();
    for (sender, is_required) in senders {
        let path = format!("postmaster@{sender}");
        let input = Input { client: address, hello: host, reverse_path: Some(&path), message: b"" };
        let (_, check) = patient.resolver.authenticator().check_spf(&input).await;
        let about = format!("{sender} from {address}");
        let version = if address.is_ipv6() { "ip6" } else { "ip4" };
        let fix = format!(
            "publish one TXT record at {sender}: \"v=spf1 {version}:{address} -all\", or add {version}:{address} to the one that is there"
        );
        let severity = if is_required { Severity::Error } else { Severity::Warning };
        findings.push(match check.result {
            SpfResult::Pass => Finding::good("spf", about, "passes"),
            SpfResult::TempError => Finding::bad(Severity::Warning, "spf", about, "could not be looked up", "try again in a minute"),
            SpfResult::None => Finding::bad(severity, "spf", about, "there is no SPF record", fix),
            SpfResult::PermError => {
                Finding::bad(severity, "spf", about, "the record cannot be read, there are two of them, or it asks for too much", fix)
            }
            other => Finding::bad(severity, "spf", about, format!("the result is {other:?}").to_lowercase(), fix),
        });
    }
    findings
}

/// What a blocklist says; nothing where it says nothing.
async fn listed(patient: &Patient, address: Ipv4Addr, list: &str) -> Option<Finding> {
    let [a, b, c, d] = address.octets();
    let name = Domain::parse(&format!("{d}.{c}.{b}.{a}.{list}")).ok()?;
    let about = format!("{address} at {list}");
    match patient.resolver.addresses(&name, false).await {
        Ok(codes) => {
            let codes: Vec<Ipv4Addr> = codes.iter().filter_map(|code| if let IpAddr::V4(v4) = code { Some(*v4) } else { None }).collect();
            // 127.255.255.x: no answer for this resolver. Anything outside of 127/8 is a resolver that makes answers up.
            let is_refusal = codes.iter().any(|code| code.octets().starts_with(&[127, 255, 255]) || !code.is_loopback());
            if is_refusal {
                let fix = "ask from a resolver of your own: install unbound, and name it under [dns]";
                return Some(Finding::bad(Severity::Notice, "blocklist", about, "the list does not answer this resolver", fix));
            }
            let fix = format!(
                "find out what was sent from there (waypost account list, queue list), stop it, then ask for removal: https://check.{}",
                list.trim_start_matches("zen.")
            );
            let shown: Vec<String> = codes.iter().map(ToString::to_string).collect();
            Some(Finding::bad(Severity::Error, "blocklist", about, format!("listed ({})", shown.join(", ")), fix))
        }
        Err(policy::RouteFailure::NoSuchDomain | policy::RouteFailure::NoAddress) => Some(Finding::good("blocklist", about, "not listed")),
        Err(policy::RouteFailure::Temporary(error)) => {
            Some(Finding::bad(Severity::Notice, "blocklist", about, format!("no answer: {error}"), "try again later"))
        }
    }
}
