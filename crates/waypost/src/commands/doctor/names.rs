//! The server's addresses and their names: A and AAAA, PTR both ways, SPF for each route, and the resolver that all of it depends on.
//!
//! RFC 8601 s.3, RFC 7208, RFC 4035. Invariant: no answer is never taken for "there is none".

use std::net::IpAddr;

use mail::Domain;
use mail::evidence::{IprevResult, SpfResult};
use msgauth::Input;
use net::{Resolver, Validator};
use policy::RouteFailure;

use super::Patient;
use super::blocklists;
use super::finding::{Finding, Severity};
use super::generic::is_generic;
use crate::config::Config;

/// Public resolvers, which blocklists refuse to answer.
const PUBLIC_RESOLVERS: [&str; 8] =
    ["8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "149.112.112.112", "208.67.222.222", "208.67.220.220"];

/// A finding where DNS answers nothing at all: neither about our own name nor about one that is always there.
pub(super) async fn silence(config: &Config, resolver: &Resolver) -> Option<Finding> {
    let Err(RouteFailure::Temporary(own)) = resolver.addresses(&config.settings.hostname, true).await else { return None };
    let afar = Domain::parse(super::outbound::AFAR).ok()?;
    let Err(RouteFailure::Temporary(_)) = resolver.mx(&afar).await else { return None };
    let servers = servers(config).join(", ");
    let fix = "see whether it runs and is the right one (systemctl status unbound or systemd-resolved; cat /etc/resolv.conf), or name another: servers under [dns]";
    let found = format!("does not answer: {own}");
    Some(Finding::bad(Severity::Error, "resolver", servers, found, fix).because("without DNS no mail leaves, and none is believed"))
}

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
        Err(RouteFailure::Temporary(error)) => {
            let found = format!("could not be looked up: {error}");
            let fix = format!("see whether the servers of its zone answer: dig {host} A");
            (Vec::new(), vec![Finding::bad(Severity::Error, "address", host.as_str(), found, fix)])
        }
        Err(error) => (Vec::new(), vec![Finding::bad(Severity::Error, "address", host.as_str(), format!("has no address: {error}"), fix)]),
    }
}

pub(super) async fn check(patient: &mut Patient) -> Vec<Finding> {
    let mut findings = resolver(patient).await;
    let patient = &*patient;
    for address in &patient.addresses {
        findings.push(ptr(patient, *address).await);
        findings.extend(spf(patient, *address).await);
        findings.extend(blocklists::check(patient, *address).await);
    }
    findings.extend(unnamed_ipv6(patient).await);
    findings
}

/// An IPv6 address that mail could leave from, and that the host name does not lead to.
async fn unnamed_ipv6(patient: &Patient) -> Vec<Finding> {
    let delivery = &patient.config.settings.delivery;
    let mut findings = Vec::new();
    for address in crate::dns::public_addresses() {
        if !address.is_ipv6() || !delivery.ipv6 || patient.addresses.contains(&address) {
            continue;
        }
        let found = "mail could leave from it, and the host name does not lead to it";
        let fix = format!(
            "publish it as AAAA record of {}, with a PTR record, and SPF that allows it; or ipv6 = false under [delivery]",
            patient.config.settings.hostname
        );
        let (severity, why) = match delivery.check_ipv6 {
            true => (Severity::Notice, "mail leaves over IPv4 wherever that can be had"),
            false => (Severity::Error, "Gmail and others refuse mail from an IPv6 address without a name (550 5.7.25)"),
        };
        findings.push(Finding::bad(severity, "ipv6", address.to_string(), found, fix).because(why));
    }
    findings
}

async fn resolver(patient: &mut Patient) -> Vec<Finding> {
    let servers = servers(&patient.config);
    let about = servers.join(", ");
    let mut findings = Vec::new();
    findings.extend(public_one(&servers, &about));
    // The server found out on its own which way works, and may have found something else.
    let status: serde_json::Value = match patient.api() {
        Ok(api) => api.get("/v1/status").await.unwrap_or_default(),
        Err(_) => serde_json::Value::Null,
    };
    findings.push(validation(&patient.resolver.validator().await, status.get("dnssec").and_then(serde_json::Value::as_str), about));
    findings
}

/// Which way of DNSSEC validation is in force, here and in the server.
fn validation(here: &Validator, server: Option<&str>, about: String) -> Finding {
    let found = match server.filter(|word| *word != here.word()) {
        Some(word) => format!("DNSSEC: {here}; the running server says {word:?}"),
        None => format!("DNSSEC: {here}"),
    };
    let unbound = "install unbound, and name it: servers = [\"127.0.0.1:53\"] under [dns]";
    match here {
        Validator::Upstream | Validator::Here if server == Some("unknown") => {
            Finding::bad(Severity::Warning, "resolver", about, found, "the server tries again within seconds; see its log for \"DNSSEC\"")
        }
        // That nobody does may be what the operator wants.
        Validator::Upstream | Validator::Here | Validator::Off => Finding::good("resolver", about, found),
        Validator::NoSignatures => Finding::bad(Severity::Notice, "resolver", about, found, unbound)
            .because("without validation the TLSA records (DANE) of other domains are not seen"),
        Validator::Unknown(_) => {
            let fix =
                format!("see that the name servers answer (dig . SOA +dnssec); {unbound}; or validate = \"off\", which gives DANE up");
            Finding::bad(Severity::Error, "resolver", about, found, fix)
                .because("mail that must be looked up in DNS waits until this is known")
        }
    }
}

fn public_one(servers: &[String], about: &str) -> Option<Finding> {
    let public = servers.iter().find(|server| PUBLIC_RESOLVERS.contains(&server.as_str()))?;
    let fix = "install unbound, and name it: servers = [\"127.0.0.1:53\"] under [dns]";
    let finding = Finding::bad(Severity::Warning, "resolver", about, format!("{public} is a public resolver"), fix);
    Some(finding.because("blocklists refuse to answer it, and a filter that asks them finds nothing"))
}

/// The resolvers in use.
fn servers(config: &Config) -> Vec<String> {
    let servers: Vec<String> = config.file.dns.servers.iter().map(|server| server.0.ip().to_string()).collect();
    if servers.is_empty() { system_servers() } else { servers }
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
        (IprevResult::Pass, Some(name)) if is_generic(&name, address) => {
            let found = format!("{name} leads there and back, and is the name that the hoster gave it");
            let fix = format!(
                "ask your hoster to set the PTR record of {address} to a name of yours such as mx.{}",
                patient.domains.first().map_or("example.com", Domain::as_str)
            );
            Finding::bad(Severity::Warning, "ptr", about, found, fix)
                .because("many receivers refuse mail from addresses that nobody has named: they look like infected machines")
        }
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
    // A name that forwards leave under is required, whatever else it is.
    senders.sort_by_key(|(name, is_required)| (name.clone(), !is_required));
    senders.dedup_by(|a, b| a.0 == b.0);
    let mut findings = Vec::new();
    for (sender, is_required) in senders {
        let path = format!("postmaster@{sender}");
        let input = Input { client: address, hello: host, reverse_path: Some(&path), message: b"" };
        let (_, check) = patient.resolver.authenticator().check_spf(&input).await;
        let about = format!("{sender} from {address}");
        let version = if address.is_ipv6() { "ip6" } else { "ip4" };
        let fix = patient.spf_fixes.get(&sender).cloned().unwrap_or_else(|| {
            format!("publish one TXT record at {sender}: \"v=spf1 {version}:{address} -all\", or add {version}:{address} to the one that is there")
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_resolver_is_one_that_blocklists_refuse() {
        let of = |servers: &[&str]| public_one(&servers.iter().map(ToString::to_string).collect::<Vec<_>>(), "it");
        assert_eq!(of(&["127.0.0.1", "8.8.8.8"]).map(|finding| finding.severity), Some(Severity::Warning));
        assert_eq!(of(&["127.0.0.1", "192.0.2.53"]), None);
    }

    #[test]
    fn an_unknown_way_of_validation_is_an_error_and_a_known_one_is_named() {
        let of = |here: &Validator, server| validation(here, server, "127.0.0.1".into());
        let good = of(&Validator::Upstream, Some("upstream"));
        assert_eq!((good.severity, good.found.as_str()), (Severity::Good, "DNSSEC: the resolver on this machine validates"));
        assert_eq!(of(&Validator::Unknown("it is silent".into()), None).severity, Severity::Error);
        let differs = of(&Validator::Here, Some("unknown"));
        assert_eq!(differs.severity, Severity::Warning);
        assert!(differs.found.contains("the running server says \"unknown\""), "{}", differs.found);
        assert_eq!(of(&Validator::NoSignatures, Some("no-signatures")).severity, Severity::Notice);
    }
}
