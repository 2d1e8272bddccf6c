//! The DNS records: needed now, better, for mail programs; each with its state, and buttons that copy name and value.
//!
//! Invariant: a name is shown as a provider's form wants it, without the zone, and the zone beside it.

use axum::extract::Query;
use axum::http::{Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use control_api::api::{DnsRecordView, DnsView};
use maud::{Markup, html};
use serde_json::json;

use super::SetupQuery;
use crate::api::{Problem, with_query};
use crate::catalogue::Text;
use crate::components::{Mark, action, badge, copyable, cut};
use crate::moment::relative;
use crate::screen::{Owner, Screen};

/// How often an open page looks again while something is missing.
const AGAIN: &str = "every 15s";

/// When a page looks that was opened before DNS was ever asked.
const FIRST: &str = "load, every 15s";

/// Whether the record is needed now.
pub(super) fn is_needed(record: &DnsRecordView) -> bool {
    record.urgency == "needed now"
}

/// Whether DNS has it.
pub(super) fn is_right(record: &DnsRecordView) -> bool {
    record.state.as_deref() == Some("ok")
}

/// Returns the list; as long as something is missing, the page asks again.
pub(super) fn show(screen: &Screen, dns: &DnsView, domain: &str) -> Markup {
    let text = screen.text;
    let is_open = dns.records.iter().any(|record| is_needed(record) && !is_right(record));
    let part = with_query("/setup/records", &[("domain", Some(domain)), ("seen", Some(&seen(dns)))]);
    html! {
        div id="records-list" hx-get=(part) hx-trigger=[is_open.then_some(if dns.checked_ms.is_none() { FIRST } else { AGAIN })] hx-swap="outerHTML" {
            div.row.spread {
                p.quiet {
                    @if let Some(at_ms) = dns.checked_ms { (text.rich("setup-asked", [("when", relative(text, at_ms, screen.now_ms))], [])) }
                    @else { (text.say("setup-not-asked")) }
                }
                div.actions {
                    (action(screen, "/setup/check", &text.say("setup-check"), "", &[("domain", domain)]))
                    a.button href=(with_query("/setup/zone", &[("domain", Some(domain))])) download { (text.say("setup-zone")) }
                }
            }
            @let (of_hoster, of_zone): (Vec<_>, Vec<_>) = dns.records.iter().partition(|record| record.record_type == "PTR");
            @for (urgency, key) in [("needed now", "setup-needed"), ("better", "setup-better"), ("for mail programs", "setup-programs")] {
                (group(screen, key, of_zone.iter().copied().filter(|record| record.urgency == urgency).collect(), urgency == "needed now"))
            }
            @if !of_hoster.is_empty() { (group(screen, "setup-hoster", of_hoster, true)) }
        }
    }
}

/// Returns the records of one use: those that are right are folded away unless all of them are wrong.
fn group(screen: &Screen, key: &'static str, records: Vec<&DnsRecordView>, is_open: bool) -> Markup {
    let text = screen.text;
    if records.is_empty() {
        return html! {};
    }
    let right = records.iter().filter(|record| is_right(record)).count();
    let all = records.len();
    html! {
        details.records open[is_open && right < all] {
            summary {
                span { (text.say(key)) }
                @if right == all { (badge(Mark::Good, text.with("setup-all-right", [("n", all.into())]))) }
                @else { span.quiet { (text.with("setup-some-right", [("right", right.into()), ("n", all.into())])) } }
            }
            ul.plain { @for found in records { li.record { (record(screen, found)) } } }
        }
    }
}

fn record(screen: &Screen, record: &DnsRecordView) -> Markup {
    let text = screen.text;
    let (label, zone) = name_in_zone(record);
    html! {
        div.row.spread {
            span { strong.mono { (record.record_type) } " " span.quiet { (why(text, record)) } }
            (state(text, record))
        }
        dl.facts {
            div {
                dt { (text.say("setup-name")) }
                dd { (copyable(screen, &label)) @if !zone.is_empty() { " " span.quiet { (text.rich("setup-in-zone", [("zone", html! { span.mono { (zone) } })], [])) } } }
            }
            div { dt { (text.say("setup-value")) } dd { (copyable(screen, &record.value)) } }
            @if !is_right(record) && !record.found.is_empty() {
                div { dt { (text.say("setup-found")) } dd { @for found in record.found.iter().take(4) { div.mono { (cut(found, 200)) } } } }
            }
            @if let Some(problem) = record.problem.as_ref().filter(|_| has_shown_problem(record)) { div { dt { (text.say("setup-problem")) } dd { (problem) } } }
        }
    }
}

/// Whether its state needs words beyond "missing".
fn has_shown_problem(record: &DnsRecordView) -> bool {
    !matches!(record.state.as_deref(), Some("ok" | "missing") | None)
}

fn state(text: Text, record: &DnsRecordView) -> Markup {
    let (mark, key) = match record.state.as_deref() {
        Some("ok") => (Mark::Good, "record-ok"),
        Some("missing") => (if is_needed(record) { Mark::Bad } else { Mark::Plain }, "record-missing"),
        Some("differs") => (Mark::Bad, "record-differs"),
        Some("extra") => (Mark::Bad, "record-extra"),
        Some("propagating") => (Mark::Wait, "record-propagating"),
        Some(_) => (Mark::Wait, "record-unknown"),
        None => (Mark::Plain, "record-not-asked"),
    };
    badge(mark, text.say(key))
}

/// Returns why the record is needed, in the visitor's language.
fn why(text: Text, record: &DnsRecordView) -> String {
    let key = format!("record-why-{}", record.kind);
    let words = text.say(&key);
    if words == key { record.why.clone() } else { words.into_owned() }
}

/// Returns the name as a provider's form wants it, and the zone that the form is about.
fn name_in_zone(record: &DnsRecordView) -> (String, String) {
    let name = record.name.trim_end_matches('.');
    if record.record_type == "PTR" {
        return (name.to_owned(), String::new());
    }
    match name.strip_suffix(&record.zone).map(|label| label.trim_end_matches('.')) {
        Some("") => ("@".to_owned(), record.zone.clone()),
        Some(label) => (label.to_owned(), record.zone.clone()),
        None => (name.to_owned(), String::new()),
    }
}

/// Returns the states of all records, one letter each.
fn seen(dns: &DnsView) -> String {
    dns.records.iter().map(|record| record.state.as_deref().and_then(|state| state.chars().next()).unwrap_or('-')).collect()
}

/// Asks DNS again and returns the list alone, for an open page; nothing if it is as the page has it, so that what is unfolded there stays so.
pub(super) async fn part(Owner(screen): Owner, Query(query): Query<SetupQuery>) -> Result<Response, Problem> {
    let dns: DnsView = screen.api.send(Method::POST, "/dns/check", &json!({ "domain": query.domain })).await?;
    if query.seen == seen(&dns) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Html(show(&screen, &dns, &query.domain).into_string()).into_response())
}

/// Returns the zone file.
pub(super) async fn zone(Owner(screen): Owner, Query(query): Query<SetupQuery>) -> Result<Response, Problem> {
    let dns: DnsView = screen.api.get(&with_query("/dns", &[("domain", Some(&query.domain))])).await?;
    let plain: String = query.domain.chars().filter(|c| c.is_ascii_alphanumeric() || ".-".contains(*c)).collect();
    let name = if plain.is_empty() { "waypost".to_owned() } else { plain };
    let fields = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.zone\"")),
    ];
    Ok((fields, dns.zone_file).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, zone: &str, record_type: &str) -> DnsRecordView {
        DnsRecordView {
            domain: None,
            zone: zone.into(),
            name: name.into(),
            record_type: record_type.into(),
            value: "x".into(),
            ttl_s: 60,
            kind: "mx".into(),
            severity: "required".into(),
            urgency: "needed now".into(),
            why: "w".into(),
            line: String::new(),
            state: None,
            found: Vec::new(),
            problem: None,
            fix: None,
        }
    }

    #[test]
    fn names_are_those_of_a_providers_form() {
        let name = |name: &str, zone: &str| name_in_zone(&named(name, zone, "TXT")).0;
        assert_eq!(name("example.com.", "example.com"), "@");
        assert_eq!(name("_dmarc.example.com.", "example.com"), "_dmarc");
        assert_eq!(name("mx.other.net.", "example.com"), "mx.other.net");
        assert_eq!(name_in_zone(&named("1.2.0.192.in-addr.arpa.", "2.0.192.in-addr.arpa", "PTR")).0, "1.2.0.192.in-addr.arpa");
    }
}
