//! The server's addresses and their names: A and AAAA, PTR both ways, and what depends on each address.
//!
//! RFC 8601 s.3. Invariant: an unanswered query never counts as "no such record".

use std::net::IpAddr;

use mail::Domain;
use mail::evidence::IprevResult;
use net::Resolver;
use policy::RouteFailure;

use super::DoctorContext;
use super::generic_names::is_generic;
use super::{blocklists, spf};
use crate::config::Config;
use control_api::api::{HealthFinding as Finding, Severity};

/// The addresses of the host name, or those given as arguments.
pub(super) async fn find(config: &Config, resolver: &Resolver, named: &[IpAddr]) -> (Vec<IpAddr>, Vec<Finding>) {
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

pub(super) async fn check(context: &DoctorContext) -> Vec<Finding> {
    let mut findings = Vec::new();
    for address in &context.addresses {
        findings.push(check_ptr(context, *address).await);
        findings.extend(spf::check(context, *address).await);
        findings.extend(blocklists::check(context, *address).await);
    }
    findings.extend(check_ipv6(context).await);
    findings
}

/// IPv6 addresses that mail could leave from, without an AAAA record of the host name.
async fn check_ipv6(context: &DoctorContext) -> Vec<Finding> {
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

async fn check_ptr(context: &DoctorContext, address: IpAddr) -> Finding {
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
        (IprevResult::Pass, Some(name)) if name.eq_ignore_ascii_case(host) => {
            Finding::good("ptr", about, format!("{name} matches both ways"))
        }
        (IprevResult::Pass, Some(name)) => {
            Finding::bad(Severity::Warning, "ptr", about, format!("{name} matches both ways, but the server's host name is {host}"), fix)
                .because("receivers distrust a name that differs from the greeting")
        }
        _ if names.is_empty() => Finding::bad(Severity::Error, "ptr", about, "has no PTR record", fix).because(why),
        _ => Finding::bad(Severity::Error, "ptr", about, format!("{shown} does not lead back to it"), fix).because(why),
    }
}
