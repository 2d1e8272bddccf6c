//! `/reports`: who sends in my name, what to do next about it, and how encryption with this server works, as other servers report it.
//!
//! RFC 9989, RFC 9990, RFC 8460. Invariant: a stricter policy is offered only while no mail of this server fails.

mod one;
mod policy;

use axum::Router;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use control_api::api::{DomainReports, FailingSource, MessagesByClass, Page, ReportView, ReportsSummary, TlsFailureView};
use maud::{Markup, html};
use serde::Deserialize;

use crate::api::{Problem, with_query};
use crate::catalogue::grouped;
use crate::components::{Column, Mark, address, badge, chips, cut, facts, notice, table};
use crate::layout::Item;
use crate::moment::date;
use crate::screen::{Owner, PageState, Screen};

/// The periods that can be chosen, in days.
const PERIODS: [u32; 3] = [7, 30, 90];

pub(crate) fn routes() -> Router<PageState> {
    Router::new().route("/reports", get(show)).route("/reports/{id}", get(one::show))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReportsQuery {
    days: String,
}

async fn show(Owner(screen): Owner, Query(query): Query<ReportsQuery>) -> Result<Response, Problem> {
    let text = screen.text;
    let days = query.days.parse().ok().filter(|days| PERIODS.contains(days)).unwrap_or(30);
    let summary: ReportsSummary = screen.api.get(&with_query("/reports/summary", &[("days", Some(&days.to_string()))])).await?;
    let latest: Page<ReportView> = screen.api.get("/reports?limit=20").await?;
    let mut domains = Vec::new();
    for reports in &summary.domains {
        domains.push(domain(&screen, reports).await);
    }
    let periods: Vec<_> =
        PERIODS.iter().map(|n| (text.with("reports-days", [("n", (*n).into())]), format!("/reports?days={n}"), *n == days)).collect();
    let content = html! {
        (sentence(&screen, &summary))
        (chips(&text.say("reports-period"), &periods))
        @if summary.is_cut { (notice(Mark::Wait, html! { p { (text.say("reports-cut")) } })) }
        @for domain in &domains { (domain) }
        @if !latest.items.is_empty() { h2 { (text.say("reports-latest")) } (list(&screen, &latest.items)) }
    };
    Ok(screen.page(Item::Reports, &text.say("nav-reports"), content))
}

fn sentence(screen: &Screen, summary: &ReportsSummary) -> Markup {
    let text = screen.text;
    let sum = |count: fn(&MessagesByClass) -> u64| summary.domains.iter().map(|domain| count(&domain.messages)).sum::<u64>();
    let (ours, failing, foreign) = (sum(|m| m.ours), sum(|m| m.ours_failing), sum(|m| m.foreign));
    let reports: u64 = summary.domains.iter().map(|domain| domain.reports + domain.tls_reports).sum();
    html! {
        p.lead-sentence {
            @match (reports, failing, foreign) {
                (0, ..) => (text.say("reports-sentence-none")),
                (_, 0, 0) => (text.with("reports-sentence-good", [("n", ours.into())])),
                (_, 0, _) => (text.with("reports-sentence-foreign", [("n", foreign.into())])),
                _ => (text.with("reports-sentence-failing", [("n", failing.into())])),
            }
        }
    }
}

/// Returns what others report about one domain.
async fn domain(screen: &Screen, reports: &DomainReports) -> Markup {
    let text = screen.text;
    html! {
        section.card {
            h2 { (address(&reports.domain)) }
            @if reports.reports == 0 { p.quiet { (text.say("reports-no-dmarc")) } }
            @else {
                (classes(screen, &reports.messages))
                (policy::next_step(screen, reports).await)
                (sources(screen, reports))
            }
            (tls(screen, reports))
        }
    }
}

fn classes(screen: &Screen, messages: &MessagesByClass) -> Markup {
    let text = screen.text;
    let count =
        |mark: Mark, n: u64| html! { span.number { (grouped(n as i64)) } @if n > 0 && mark != Mark::Plain { " " (badge(mark, "")) } };
    facts(&[
        (html! { (text.say("reports-ours")) }, count(Mark::Good, messages.ours)),
        (html! { (text.say("reports-ours-failing")) }, count(Mark::Bad, messages.ours_failing)),
        (html! { (text.say("reports-forward")) }, count(Mark::Plain, messages.forward + messages.our_forward)),
        (html! { (text.say("reports-foreign")) }, count(Mark::Wait, messages.foreign)),
    ])
}

fn sources(screen: &Screen, reports: &DomainReports) -> Markup {
    let text = screen.text;
    if reports.failing.is_empty() {
        return html! {};
    }
    let columns = [
        Column::new(text.say("reports-source"), "lead"),
        Column::new(text.say("reports-whose"), "tight"),
        Column::new(text.say("reports-messages"), "number"),
        Column::new(text.say("reports-why"), ""),
        Column::new(text.say("reports-seen"), "tight"),
    ];
    let row = |source: &FailingSource| {
        let is_ours = source.class.starts_with("ours");
        vec![
            html! { (address(&source.address)) @if let Some(name) = &source.name { div { (address(name)) } } },
            if is_ours { badge(Mark::Bad, text.say("reports-class-ours")) } else { badge(Mark::Wait, text.say("reports-class-foreign")) },
            html! { (grouped(source.messages as i64)) },
            html! { (cut(&source.why, 160)) },
            html! { (date(text, source.last_s * 1000)) },
        ]
    };
    html! {
        h3 { (text.say("reports-sources")) }
        p.quiet { (text.say("reports-sources-words")) }
        (table(&text.say("reports-sources"), &columns, reports.failing.iter().map(row)))
        @if reports.failing_left_out > 0 { p.quiet { (text.with("reports-more", [("n", reports.failing_left_out.into())])) } }
    }
}

fn tls(screen: &Screen, reports: &DomainReports) -> Markup {
    let text = screen.text;
    let tls = &reports.tls;
    if reports.tls_reports == 0 {
        return html! { h3 { (text.say("reports-tls")) } p.quiet { (text.say("reports-no-tls")) } };
    }
    let columns = [
        Column::new(text.say("reports-tls-result"), "lead"),
        Column::new(text.say("reports-tls-host"), ""),
        Column::new(text.say("reports-tls-sessions"), "number"),
        Column::new(text.say("reports-why"), ""),
    ];
    let row = |failure: &TlsFailureView| {
        let sessions = html! { (grouped(failure.sessions as i64)) };
        vec![html! { (cut(&failure.result, 60)) }, address(&failure.mx_host), sessions, html! { (cut(&failure.reason, 160)) }]
    };
    html! {
        h3 { (text.say("reports-tls")) }
        p { (text.with("reports-tls-sentence", [("good", tls.successful.into()), ("bad", tls.failed.into())])) }
        @if !tls.failures.is_empty() { (table(&text.say("reports-tls"), &columns, tls.failures.iter().map(row))) }
    }
}

fn list(screen: &Screen, reports: &[ReportView]) -> Markup {
    let text = screen.text;
    let columns = [
        Column::new(text.say("reports-from"), "lead"),
        Column::new(text.say("reports-kind"), "tight"),
        Column::new(text.say("aliases-domain"), ""),
        Column::new(text.say("reports-about"), "tight"),
    ];
    let row = |report: &ReportView| {
        vec![
            html! { a href={ "/reports/" (report.id) } { (cut(&report.organisation, 60)) } },
            html! { @if report.kind == "tls" { "TLS" } @else { "DMARC" } },
            address(&report.domain),
            html! { (date(text, report.begin_s * 1000)) },
        ]
    };
    table(&text.say("reports-latest"), &columns, reports.iter().map(row))
}
