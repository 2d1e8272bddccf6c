//! The DNS resolver: whether it answers, validates DNSSEC, and is the server's own.
//!
//! RFC 4035. Invariant: an unanswered query never counts as "no such record".

use mail::Domain;
use net::{Resolver, Validator};
use policy::RouteFailure;

use super::DoctorContext;
use crate::config::Config;
use control_api::api::{HealthFinding as Finding, Severity};

/// Public resolvers, which blocklists refuse to answer.
const PUBLIC_RESOLVERS: [&str; 8] =
    ["8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "149.112.112.112", "208.67.222.222", "208.67.220.220"];

/// A finding if DNS answers nothing: neither about our own name nor about one that always exists.
pub(super) async fn check_silence(config: &Config, resolver: &Resolver) -> Option<Finding> {
    let Err(RouteFailure::Temporary(own)) = resolver.addresses(&config.settings.hostname, true).await else { return None };
    let afar = Domain::parse(super::outbound::AFAR).ok()?;
    let Err(RouteFailure::Temporary(_)) = resolver.mx(&afar).await else { return None };
    let servers = servers(config).join(", ");
    let fix = "check that it runs and is the right one (systemctl status unbound or systemd-resolved; cat /etc/resolv.conf), or set servers under [dns]";
    let found = format!("does not answer: {own}");
    Some(
        Finding::bad(Severity::Error, "resolver", servers, found, fix).because("without DNS, no mail leaves and none can be authenticated"),
    )
}

pub(super) async fn check(context: &mut DoctorContext) -> Vec<Finding> {
    let servers = servers(&context.config);
    let about = servers.join(", ");
    let mut findings = Vec::new();
    findings.extend(check_public_resolver(&servers, &about));
    // The server chose its own way of validation, and may have chosen another.
    let status: serde_json::Value = match context.api() {
        Ok(api) => api.get("/api/v1/status").await.unwrap_or_default(),
        Err(_) => serde_json::Value::Null,
    };
    findings.push(judge_validation(&context.resolver.validator().await, status.get("dnssec").and_then(serde_json::Value::as_str), about));
    findings
}

/// The way of DNSSEC validation in use, here and in the server.
fn judge_validation(here: &Validator, server: Option<&str>, about: String) -> Finding {
    let found = match server.filter(|word| *word != here.word()) {
        Some(word) => format!("DNSSEC: {here}; the running server reports {word:?}"),
        None => format!("DNSSEC: {here}"),
    };
    let unbound = "install unbound, and set servers = [\"127.0.0.1:53\"] under [dns]";
    match here {
        Validator::Upstream | Validator::Here if server == Some("unknown") => Finding::bad(
            Severity::Warning,
            "resolver",
            about,
            found,
            "none needed: the server retries within seconds; see \"DNSSEC\" in its log",
        ),
        // Off may be the operator's choice.
        Validator::Upstream | Validator::Here | Validator::Off => Finding::good("resolver", about, found),
        Validator::NoSignatures => Finding::bad(Severity::Notice, "resolver", about, found, unbound)
            .because("without validation, the TLSA records (DANE) of other domains are ignored"),
        Validator::Unknown(_) => {
            let fix =
                format!("check that the name servers answer (dig . SOA +dnssec); {unbound}; or validate = \"off\", which disables DANE");
            Finding::bad(Severity::Error, "resolver", about, found, fix).because("mail that needs DNS waits until this is known")
        }
    }
}

fn check_public_resolver(servers: &[String], about: &str) -> Option<Finding> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_resolver_is_a_warning() {
        let of = |servers: &[&str]| check_public_resolver(&servers.iter().map(ToString::to_string).collect::<Vec<_>>(), "it");
        assert_eq!(of(&["127.0.0.1", "8.8.8.8"]).map(|finding| finding.severity), Some(Severity::Warning));
        assert_eq!(of(&["127.0.0.1", "192.0.2.53"]), None);
    }

    #[test]
    fn unknown_validation_is_an_error_and_a_known_way_is_named() {
        let of = |here: &Validator, server| judge_validation(here, server, "127.0.0.1".into());
        let good = of(&Validator::Upstream, Some("upstream"));
        assert_eq!((good.severity, good.found.as_str()), (Severity::Good, "DNSSEC: the resolver on this machine validates"));
        assert_eq!(of(&Validator::Unknown("it is silent".into()), None).severity, Severity::Error);
        let differs = of(&Validator::Here, Some("unknown"));
        assert_eq!(differs.severity, Severity::Warning);
        assert!(differs.found.contains("the running server reports \"unknown\""), "{}", differs.found);
        assert_eq!(of(&Validator::NoSignatures, Some("no-signatures")).severity, Severity::Notice);
    }
}
