//! The next step of a domain's DMARC policy, with the record to publish.
//!
//! RFC 9989 s.7. Invariant: the record is the planned one with another policy, so that nothing else changes.

use control_api::api::{DnsView, DomainReports};
use maud::{Markup, html};

use crate::api::with_query;
use crate::components::{Mark, badge, copyable};
use crate::screen::Screen;

/// Reports before a stricter policy is worth a thought.
const REPORTS_MIN: u64 = 7;

/// Returns the policy after this one.
fn next(policy: &str) -> Option<&'static str> {
    match policy {
        "none" => Some("quarantine"),
        "quarantine" => Some("reject"),
        _ => None,
    }
}

/// Returns what to do with the policy: nothing more, wait, mend first, or publish the next record.
pub(super) async fn next_step(screen: &Screen, reports: &DomainReports) -> Markup {
    let text = screen.text;
    let now = if reports.policy.is_empty() { "none" } else { reports.policy.as_str() };
    let Some(next) = next(now) else {
        return html! { p { (badge(Mark::Good, text.say("reports-policy-final"))) } };
    };
    let messages = &reports.messages;
    let (good, bad) = (messages.ours + messages.forward, messages.ours_failing);
    if bad > 0 {
        return html! { p { (badge(Mark::Bad, text.say("reports-policy-mend"))) } p.quiet { (text.say("reports-policy-mend-words")) } };
    }
    if reports.reports < REPORTS_MIN || good == 0 {
        return html! { p { (badge(Mark::Wait, text.with("reports-policy-wait", [("policy", next.into())]))) } };
    }
    let Some((name, value)) = record(screen, &reports.domain, next).await else { return html! {} };
    html! {
        details {
            summary { (text.with("reports-policy-next", [("policy", next.into())])) }
            p { (text.say(if next == "reject" { "reports-policy-reject" } else { "reports-policy-quarantine" })) }
            @if messages.foreign > 0 { p { (text.with("reports-policy-foreign", [("n", messages.foreign.into())])) } }
            dl.facts {
                div { dt { (text.say("setup-name")) } dd { (copyable(screen, &name)) } }
                div { dt { (text.say("setup-value")) } dd { (copyable(screen, &value)) } }
            }
            p.hint { (text.rich("reports-policy-file", [("line", html! { code { "dmarc = \"" (next) "\"" } }), ("section", html! { code { "[dns]" } })], [])) }
        }
    }
}

/// Returns name and value of the domain's DMARC record with this policy.
async fn record(screen: &Screen, domain: &str, policy: &str) -> Option<(String, String)> {
    let dns: DnsView = screen.api.get(&with_query("/dns", &[("domain", Some(domain))])).await.ok()?;
    let owner = format!("_dmarc.{domain}.");
    let planned = dns.records.into_iter().find(|record| record.kind == "dmarc" && record.name == owner)?;
    Some((planned.name.trim_end_matches('.').to_owned(), with_policy(&planned.value, policy)))
}

/// Replaces the policy of a record.
fn with_policy(record: &str, policy: &str) -> String {
    let tag = |part: &str| if part.trim().starts_with("p=") { format!(" p={policy}") } else { part.to_owned() };
    record.split(';').map(tag).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_policy_of_the_record_changes() {
        let record = "v=DMARC1; p=none; aspf=s; rua=mailto:dmarc@example.com";
        assert_eq!(with_policy(record, "quarantine"), "v=DMARC1; p=quarantine; aspf=s; rua=mailto:dmarc@example.com");
        assert_eq!((next("none"), next("quarantine"), next("reject")), (Some("quarantine"), Some("reject"), None));
    }
}
