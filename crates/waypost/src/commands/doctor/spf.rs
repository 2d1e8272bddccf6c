//! SPF of every domain whose mail leaves from an address of the server.
//!
//! RFC 7208. Invariant: evaluates SPF as a receiver does; the fix comes from the DNS plan.

use std::net::IpAddr;

use mail::evidence::SpfResult;
use msgauth::Input;

use super::DoctorContext;
use control_api::api::{HealthFinding as Finding, Severity};

/// SPF of each domain whose mail leaves from this address.
pub(super) async fn check(context: &DoctorContext, address: IpAddr) -> Vec<Finding> {
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
        let input = Input { client: address, hello: host, reverse_path: Some(&path), recipients: &[], message: b"" };
        let (_, check) = context.resolver.authenticator().check_spf(&input).await;
        let about = format!("{sender} from {address}");
        let version = if address.is_ipv6() { "ip6" } else { "ip4" };
        let fix = context.spf_fixes.get(&sender).cloned().unwrap_or_else(|| {
            format!(
                "publish one TXT record at {sender}: \"v=spf1 {version}:{address} -all\", or add {version}:{address} to the existing one"
            )
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
