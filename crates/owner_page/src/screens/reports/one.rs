//! `/reports/N`: one report as it was stored.
//!
//! Invariant: every text in it is a stranger's.

use axum::extract::Path;
use axum::response::Response;
use control_api::api::{RowView, TlsPolicyView, WholeReport};
use maud::{Markup, html};

use crate::api::{Problem, segment};
use crate::catalogue::grouped;
use crate::components::{Column, Mark, address, badge, cut, facts, table};
use crate::layout::Item;
use crate::moment::exact;
use crate::screen::{Owner, Screen};

/// Rows shown.
const ROWS_SHOWN: usize = 200;

pub(super) async fn show(Owner(screen): Owner, Path(id): Path<String>) -> Result<Response, Problem> {
    let text = screen.text;
    let whole: WholeReport = screen.api.get(&format!("/reports/{}", segment(&id))).await?;
    let report = &whole.report;
    let content = html! {
        (facts(&[
            (html! { (text.say("reports-from")) }, html! { (cut(&report.organisation, 200)) " (" (address(&report.submitter)) ")" }),
            (html! { (text.say("aliases-domain")) }, address(&report.domain)),
            (html! { (text.say("reports-about")) }, html! { (exact(text, report.begin_s * 1000)) " – " (exact(text, report.end_s * 1000)) }),
            (html! { (text.say("reports-policy")) }, html! { (cut(&report.policy, 60)) }),
        ]))
        @if !whole.rows.is_empty() { (rows(&screen, &whole.rows)) }
        @for policy in &whole.policies { (policy_part(&screen, policy)) }
        p { a href="/reports" { (text.say("reports-all")) } }
    };
    Ok(screen.page(Item::Reports, &text.with("reports-one", [("id", report.id.to_string().into())]), content))
}

fn rows(screen: &Screen, rows: &[RowView]) -> Markup {
    let text = screen.text;
    let columns = [
        Column::new(text.say("reports-source"), "lead"),
        Column::new(text.say("reports-messages"), "number"),
        Column::new(text.say("reports-results"), "tight"),
        Column::new(text.say("reports-done"), "tight"),
        Column::new(text.say("reports-details"), ""),
    ];
    let aligned = |name: &str, is: bool| badge(if is { Mark::Good } else { Mark::Plain }, name);
    let row = |row: &RowView| {
        vec![
            html! { (address(&row.source)) div.quiet { (address(&row.header_from)) } },
            html! { (grouped(row.count as i64)) },
            html! { (aligned("DKIM", row.dkim_aligned)) " " (aligned("SPF", row.spf_aligned)) },
            html! { (cut(&row.disposition, 40)) },
            html! { @for detail in row.details.iter().take(4) { div.small-text { (cut(detail, 120)) } } },
        ]
    };
    table(&text.say("reports-sources"), &columns, rows.iter().take(ROWS_SHOWN).map(row))
}

fn policy_part(screen: &Screen, policy: &TlsPolicyView) -> Markup {
    let text = screen.text;
    let sessions = &policy.sessions;
    html! {
        section.card {
            h2 { (address(&policy.domain)) " " span.quiet { (cut(&policy.kind, 40)) } }
            p { (text.with("reports-tls-sentence", [("good", sessions.successful.into()), ("bad", sessions.failed.into())])) }
            @for failure in &sessions.failures { p { (cut(&failure.result, 60)) ", " (address(&failure.mx_host)) ": " (grouped(failure.sessions as i64)) " " (cut(&failure.reason, 160)) } }
        }
    }
}
