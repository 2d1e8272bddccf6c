//! The server's addresses and their names: A and AAAA, PTR both ways, SPF, and the resolver.
//!
//! RFC 8601 s.3, RFC 7208, RFC 4035. Invariant: an unanswered query never counts as "no such record".

use std::net::IpAddr;

use mail::Domain;
use mail::evidence::{IprevResult, SpfResult};
use msgauth::Input;
use net::{Resolver, Validator};
use policy::RouteFailure;

use super::DoctorContext;
use super::blocklists;
use super::finding::{Finding, Severity};
use super::generic::is_generic;
use crate::config::Config;

/// Public resolvers, which blocklists refuse to answer.
const PUBLIC_RESOLVERS: [&str; 8] =
    ["8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "149.112.112.112", "208.67.222.222", "208.67.220.220"];

/// A finding if DNS answers nothing: neither about our own name nor about one that always exists.
pub(super) async fn silence(config: &Config, resolver: &Resolver) -> Option<Finding> {
    let Err(RouteFailure::Temporary(own)) = resolver.addresses(&config.settings.hostname, true).await else { return None };
    let afar = Domain::parse(super::outbound::AFAR).ok()?;
    let Err(RouteFailure::Temporary(_)) = resolver.mx(&afar).await else { return None };
    let servers = servers(config).join(", ");
    let fix = "check that it runs and is the right one (systemctl status unbound or systemd-resolved; cat /etc/resolv.conf), or set servers under [dns]";
    let found = format!("does not answer: {own}");
    Some(Finding::bad(Severity::Error, "resolver", servers, found, fix).because("without DNS, no mail leaves and none can be authenticated"))
}

/// The addresses of the host name, or those given as arguments.
pub(super) async fn addresses(config: &Config, resolver: &Resolver, named: &[IpAddr]) -> (Vec<IpAddr>, Vec<Finding>) {
    if !named.is_empty() {
        return (named.to_vec(), Vec::new());
    }
    let host = &config.settings.hostname;
    let fix = format!("publish an A record for {host} (also AAAA if the server has IPv6 with a PTR record)");
    match resolver.addresses(host, true).await {
        Ok(found) if !found.is_empty() => {
            let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
            let finding = Finding::good("address", host.as_str(), shown.join(", "));
            (found, vec![finding])
        }
        Ok(_) => (Vec::new(), vec![Finding::bad(Severity::Error, "address", host.as_str(), "has no address", fix)]),
        Err(RouteFailure::Temporary(error)) => {
            let found = format!("could not be looked up: {error}");
            let fix = format!("check that the servers of its zone answer: dig {host} A");
            (Vec::new(), vec![Finding::bad(Severity::Error, "address", host.as_str(), found, fix)])
        }
        Err(error) => (Vec::new(), vec![Finding::bad(Severity::Error, "address", host.as_str(), format!("has no address: {error}"), fix)]),
    }
}

pub(super) async fn check(context: &mut DoctorContext) -> Vec<Finding> {
    let mut findings = resolver(context).await;
    let context = &*context;
    for address in &context.addresses {
        findings.push(ptr(context, *address).await);
        findings.extend(spf(context, *address).await);
        findings.extend(blocklists::check(context, *address).await);
    }
    findings.extend(unnamed_ipv6(context).await);
    findings
}

/// IPv6 addresses that mail could leave from, without an AAAA record of the host name.
async fn unnamed_ipv6(context: &DoctorContext) -> Vec<Finding> {
    let delivery = &context.config.settings.delivery;
    let mut findings = Vec::new();
    for address in crate::dns_facts::public_addresses() {
        if !address.is_ipv6() || !delivery.ipv6 || context.addresses.contains(&address) {
            continue;
        }
        let found = "mail may leave from it, but the host name does not lead to it";
        let fix = format!(
            "publish it as an AAAA record of {}, with a PTR record and SPF; or ipv6 = false under [delivery]",
            context.config.settings.hostname
        );
        let (severity, why) = match delivery.check_ipv6 {
            true => (Severity::Notice, "mail leaves over IPv4 wherever possible"),
            false => (Severity::Error, "Gmail and others refuse mail from an IPv6 address without a name (550 5.7.25)"),
        };
        findings.push(Finding::bad(severity, "ipv6", address.to_string(), found, fix).because(why));
    }
    findings
}

async fn resolver(context: &mut DoctorContext) -> Vec<Finding> {
    let servers = servers(&context.config);
    let about = servers.join(", ");
    let mut findings = Vec::new();
    findings.extend(public_one(&servers, &about));
    // The server chose its own way of validation, and may have chosen another.
    let status: serde_json::Value = match context.api() {
        Ok(api) => api.get("/v1/status").await.unwrap_or_default(),
        Err(_) => serde_json::Value::Null,
    };
    findings.push(validation(&context.resolver.validator().await, status.get("dnssec").and_then(serde_json::Value::as_str), about));
    findings
}

/// The way of DNSSEC validation in use, here and in the server.
fn validation(here: &Validator, server: Option<&str>, about: String) -> Finding {
    let found = match server.filter(|word| *word != here.word()) {
        Some(word) => format!("DNSSEC: {here}; the running server reports {word:?}"),
        None => format!("DNSSEC: {here}"),
    };
    let unbound = "install unbound, and set servers = [\"127.0.0.1:53\"] under [dns]";
    match here {
        Validator::Upstream | Validator::Here if server == Some("unknown") => {
            Finding::bad(Severity::Warning, "resolver", about, found, "none needed: the server retries within seconds; see \"DNSSEC\" in its log")
        }
        // Off may be the operator's choice.
        Validator::Upstream | Validator::Here | Validator::Off => Finding::good("resolver", about, found),
        Validator::NoSignatures => Finding::bad(Severity::Notice, "resolver", about, found, unbound)
            .because("without validation, the TLSA records (DANE) of other domains are ignored"),
        Validator::Unknown(_) => {
            let fix =
                format!("check that the name servers answer (dig . SOA +dnssec); {unbound}; or validate = \"off\", which disables DANE");
            Finding::bad(Severity::Error, "resolver", about, found, fix)
                .because("mail that needs DNS waits until this is known")
        }
    }
}

fn public_one(servers: &[String], about: &str) -> Option<Finding> {
    let public = servers.iter().find(|server| PUBLIC_RESOLVERS.contains(&server.as_str()))?;
    let fix = "install unbound, and set servers = [\"127.0.0.1:53\"] under [dns]";
    let finding = Finding::bad(Severity::Warning, "resolver", about, format!("{public} is a public resolver"), fix);
    Some(finding.because("blocklists refuse to answer it, so spam filters that query them find nothing"))
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

async fn ptr(context: &DoctorContext, address: IpAddr) -> Finding {
    let host = context.config.settings.hostname.as_str();
    let about = address.to_string();
    let v6 = if address.is_ipv6() { ", or set ipv6 = false under [delivery] and remove the AAAA record until it is" } else { "" };
    let fix = format!("ask your hoster to set the PTR record of {address} to {host}{v6}");
    let why = "Gmail and others refuse mail from an address without matching forward and reverse names (550 5.7.25)";
    let names = match context.resolver.names_of(address).await {
        Ok(names) => names,
        Err(error) => {
            return Finding::bad(Severity::Warning, "ptr", about, format!("cannot be looked up: {error}"), "try again in a minute");
        }
    };
    let shown = names.iter().map(Domain::to_string).collect::<Vec<_>>().join(", ");
    match context.resolver.authenticator().confirmed_name(address).await {
        (IprevResult::Pass, Some(name)) if is_generic(&name, address) => {
            let found = format!("{name} matches both ways, but is the hoster's default name");
            let fix = format!(
                "ask your hoster to set the PTR record of {address} to a name of yours such as mx.{}",
                context.domains.first().map_or("example.com", Domain::as_str)
            );
            Finding::bad(Severity::Warning, "ptr", about, found, fix)
                .because("many receivers refuse mail from addresses with default names, as infected machines have")
        }
        (IprevResult::Pass, Some(name)) if name.eq_ignore_ascii_case(host) => Finding::good("ptr", about, format!("{name} matches both ways")),
        (IprevResult::Pass, Some(name)) => {
            Finding::bad(Severity::Warning, "ptr", about, format!("{name} matches both ways, but the server's host name is {host}"), fix)
                .because("receivers distrust a name that differs from the greeting")
        }
        _ if names.is_empty() => Finding::bad(Severity::Error, "ptr", about, "has no PTR record", fix).because(why),
        _ => Finding::bad(Severity::Error, "ptr", about, format!("{shown} does not lead back to it"), fix).because(why),
    }
}

/// SPF of each domain whose mail leaves from this address.
async fn spf(context: &DoctorContext, address: IpAddr) -> Vec<Finding> {
    let settings = &context.config.settings;
    let host = settings.hostname.as_str();
    let mut senders: Vec<(String, bool)> = context.domains.iter().map(|domain| (domain.to_string(), true)).collect();
    senders.push((settings.forward.srs.domain.to_string(), true));
    senders.push((host.to_owned(), false));
    // The forwarding domain is required, even where it is also the host name.
    senders.sort_by_key(|(name, is_required)| (name.clone(), !is_required));
    senders.dedup_by(|a, b| a.0 == b.0);
    let mut findings = Vec::new();
    for (sender, is_required) in senders {
        let path = format!("postmaster@{sender}");
        let input = Input { client: address, hello: host, reverse_path: Some(&path), message: b"" };
        let (_, check) = context.resolver.authenticator().check_spf(&input).await;
        let about = format!("{sender} from {address}");
        let version = if address.is_ipv6() { "ip6" } else { "ip4" };
        let fix = context.spf_fixes.get(&sender).cloned().unwrap_or_else(|| {
            format!("publish one TXT record at {sender}: \"v=spf1 {version}:{address} -all\", or add {version}:{address} to the existing one")
        });
        let severity = if is_required { Severity::Error } else { Severity::Warning };
        findings.push(match check.result {
            SpfResult::Pass => Finding::good("spf", about, "passes"),
            SpfResult::TempError => Finding::bad(Severity::Warning, "spf", about, "could not be looked up", "try again in a minute"),
            SpfResult::None => Finding::bad(severity, "spf", about, "no SPF record", fix),
            SpfResult::PermError => {
                Finding::bad(severity, "spf", about, "the record is invalid, there are two of them, or it needs too many DNS queries", fix)
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
    fn a_public_resolver_is_a_warning() {
        let of = |servers: &[&str]| public_one(&servers.iter().map(ToString::to_string).collect::<Vec<_>>(), "it");
        assert_eq!(of(&["127.0.0.1", "8.8.8.8"]).map(|finding| finding.severity), Some(Severity::Warning));
        assert_eq!(of(&["127.0.0.1", "192.0.2.53"]), None);
    }

    #[test]
    fn unknown_validation_is_an_error_and_a_known_way_is_named() {
        let of = |here: &Validator, server| validation(here, server, "127.0.0.1".into());
        let good = of(&Validator::Upstream, Some("upstream"));
        assert_eq!((good.severity, good.found.as_str()), (Severity::Good, "DNSSEC: the resolver on this machine validates"));
        assert_eq!(of(&Validator::Unknown("it is silent".into()), None).severity, Severity::Error);
        let differs = of(&Validator::Here, Some("unknown"));
        assert_eq!(differs.severity, Severity::Warning);
        assert!(differs.found.contains("the running server reports \"unknown\""), "{}", differs.found);
        assert_eq!(of(&Validator::NoSignatures, Some("no-signatures")).severity, Severity::Notice);
    }
}
