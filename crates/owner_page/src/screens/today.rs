//! `/`: is all well, and what needs a person; then the day's mail, and the state of the server in a few lines.
//!
//! Invariants: the first sentence alone says whether anything needs attention; what cannot be found out is left out or said, and hides nothing else.

use axum::Router;
use axum::http::Method;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use control_api::api::{CertificatesView, HealthCause, HealthFinding, HealthView, Page, PauseView, ServerView, Severity, Totals};
use events::Event;
use maud::{Markup, html};

use crate::api::{Problem, with_query};
use crate::catalogue::Text;
use crate::components::{Mark, action, badge, card, cut, day_chart, empty, facts, icon_of, mono, whole};
use crate::layout::Item;
use crate::moment;
use crate::outcome::{Done, problem_notice};
use crate::said::said;
use crate::screen::{Owner, PageState, Screen};
use crate::screens::mail::alias_link;
use crate::screens::queue::pause_list;
use crate::screens::today_flow::{DayTotal, FlowCounts, by_hour, counts};

/// Findings of one cause that are shown at once.
const FINDINGS_SHOWN: usize = 5;

/// A certificate that ends sooner needs a look.
const CERTIFICATE_SOON_MS: i64 = 14 * DAY_MS;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3_600_000;

pub(crate) fn routes() -> Router<PageState> {
    Router::new().route("/", get(show)).route("/check", post(check))
}

/// What the screen is made of. A part that could not be read is `None`, and its problem is shown.
struct Day {
    health: Option<HealthView>,
    totals: Option<Totals>,
    pauses: Vec<PauseView>,
    hours: Vec<DayTotal>,
    days: Vec<DayTotal>,
    last: Option<Event>,
    certificates: Option<CertificatesView>,
    server: Option<ServerView>,
    has_domain: bool,
    problems: Vec<Problem>,
}

/// Keeps a value, or its problem.
fn kept<T>(read: Result<T, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    read.map_err(|problem| {
        if !problems.contains(&problem) {
            problems.push(problem)
        }
    })
    .ok()
}

impl Day {
    async fn read(screen: &Screen) -> Self {
        let api = &screen.api;
        let since = |days: i64, step| {
            with_query("/history/totals", &[("since_ms", Some(&(screen.now_ms - days * DAY_MS).to_string())), ("step", Some(step))])
        };
        let mut problems = Vec::new();
        let domains: Option<Page<serde_json::Value>> = kept(api.get("/domains?limit=1").await, &mut problems);
        let totals = |page: Option<Page<DayTotal>>| page.map(|page| page.items).unwrap_or_default();
        Self {
            health: kept(api.get("/health").await, &mut problems),
            totals: kept(api.get("/queue/totals").await, &mut problems),
            pauses: kept(api.get("/pauses").await, &mut problems).map(|page: Page<PauseView>| page.items).unwrap_or_default(),
            hours: totals(kept(api.get(&since(1, "hour")).await, &mut problems)),
            days: totals(kept(api.get(&since(30, "day")).await, &mut problems)),
            last: kept(api.get("/history?kinds=delivered&limit=1").await, &mut problems)
                .and_then(|page: Page<Event>| page.items.into_iter().next()),
            certificates: kept(api.get("/certificates").await, &mut problems),
            server: kept(api.get("/server").await, &mut problems),
            has_domain: domains.is_none_or(|page| !page.items.is_empty()),
            problems,
        }
    }

    fn causes(&self) -> impl Iterator<Item = &HealthCause> {
        self.health.iter().flat_map(|health| &health.causes)
    }

    /// The number of things that need a person.
    fn needs(&self) -> usize {
        let serious = self.causes().filter(|cause| cause.severity >= Severity::Warning).count();
        let held = self.totals.is_some_and(|totals| totals.held > 0 || totals.set_aside > 0);
        serious + self.pauses.len() + usize::from(held)
    }

    /// The recipients that wait, without held ones.
    fn waiting(&self) -> u64 {
        self.totals.map(|totals| totals.recipients.saturating_sub(totals.held)).unwrap_or_default()
    }
}

async fn show(screen: Screen) -> Response {
    let text = screen.text;
    if !screen.visitor.is_owner {
        return Redirect::to("/aliases").into_response();
    }
    let day = Day::read(&screen).await;
    if !day.has_domain {
        let next = html! { a.button.primary href="/welcome" { (text.say("today-start")) } };
        return screen.page(Item::Today, &text.say("today-welcome"), empty(text.say("today-nothing"), next));
    }
    let today = counts(&day.days, midnight(screen.now_ms));
    // The end of a check is no event.
    let is_checking = day.health.as_ref().is_some_and(|health| health.is_checking);
    let trigger = if is_checking { "waypost:live throttle:5s, every 3s" } else { "waypost:live throttle:5s" };
    let content = html! {
        div id="today" data-live="message delivery change server" hx-get="/" hx-trigger=(trigger) hx-select="#today" hx-swap="outerMorph" {
            (sentence(&screen, &day, &today))
            @for problem in &day.problems { (problem_notice(problem)) }
            @for cause in day.causes() { (one_cause(&screen, cause)) }
            (needs(&screen, &day))
            div.grid {
                (card(text.say("today-flow"), flow(&screen, &day, &today)))
                (card(text.say("today-server"), server(&screen, &day)))
            }
        }
    };
    screen.page(Item::Today, &text.say("nav-today"), content)
}

/// Returns the start of the day, in UTC.
fn midnight(now_ms: i64) -> i64 {
    now_ms - now_ms.rem_euclid(DAY_MS)
}

fn sentence(screen: &Screen, day: &Day, today: &FlowCounts) -> Markup {
    let text = screen.text;
    let needs = day.needs();
    let mark = if needs == 0 && day.problems.is_empty() { Mark::Good } else { Mark::Wait };
    let state = if needs == 0 { text.say("today-well").into_owned() } else { text.with("today-needs", [("n", needs.into())]) };
    let numbers = text.with("today-numbers", [("forwarded", today.forwarded.into()), ("refused", today.refused.into())]);
    let waits = match day.waiting() {
        0 => text.say("today-nothing-waits").into_owned(),
        n => text.with("today-waits", [("n", n.into())]),
    };
    html! { p.lead-sentence { span.badge.(mark.class()) { (icon_of(mark)) span { (state) } } " " (numbers) " " (waits) } }
}

/// Returns the findings of one cause, with the fix.
fn one_cause(screen: &Screen, cause: &HealthCause) -> Markup {
    let text = screen.text;
    let (mark, word) = match cause.severity {
        Severity::Error => (Mark::Bad, "severity-error"),
        Severity::Warning => (Mark::Wait, "severity-warning"),
        Severity::Good | Severity::Notice => (Mark::Plain, "severity-notice"),
    };
    let key = format!("check-{}", cause.check);
    let name = if text.has(&key) { text.say(&key).into_owned() } else { cause.check.clone() };
    let finding = |finding: &HealthFinding| {
        html! {
            li {
                p { (mono(&said(text, &finding.about))) ": " (whole(&said(text, &finding.found))) }
                @if cause.fix.is_none() { @if let Some(fix) = &finding.fix { (remedy(text, fix)) } }
            }
        }
    };
    let (first, rest) = cause.findings.split_at(cause.findings.len().min(FINDINGS_SHOWN));
    html! {
        section.card.cause.(mark.class()) {
            h2 { (badge(mark, text.say(word))) " " (text.with("today-expected", [("check", name.into())])) }
            ul.plain-list { @for found in first { (finding(found)) } }
            @if !rest.is_empty() { details { summary { (text.with("and-others", [("n", rest.len().into())])) } ul.plain-list { @for found in rest { (finding(found)) } } } }
            @if let Some(why) = &cause.why { p.quiet { (whole(&said(text, why))) } }
            @if let Some(fix) = &cause.fix { (remedy(text, fix)) }
            p { (action(screen, "/check", &text.say("check-again"), "link", &[])) }
        }
    }
}

fn remedy(text: Text, fix: &str) -> Markup {
    html! { p { strong { (text.say("fix")) } " " (whole(&said(text, fix))) } }
}

/// Returns what else waits for a person: pauses, held mail, what cannot be read.
fn needs(screen: &Screen, day: &Day) -> Markup {
    let text = screen.text;
    let totals = day.totals;
    html! {
        @if !day.pauses.is_empty() { (card(text.say("queue-pauses"), pause_list(screen, &day.pauses))) }
        @if let Some(held) = totals.map(|totals| totals.held).filter(|held| *held > 0) {
            section.card { div.row.spread {
                p { (badge(Mark::Wait, text.with("today-held", [("n", held.into())]))) }
                a.button href="/held" { (text.say("today-look")) }
            } }
        }
        @if let Some(n) = totals.map(|totals| totals.set_aside).filter(|n| *n > 0) {
            section.card { p { (badge(Mark::Bad, text.with("queue-set-aside", [("n", n.into())]))) } }
        }
    }
}

fn flow(screen: &Screen, day: &Day, today: &FlowCounts) -> Markup {
    let text = screen.text;
    let spans = [
        ("span-today", today.clone()),
        ("span-week", counts(&day.days, midnight(screen.now_ms) - 6 * DAY_MS)),
        ("span-month", counts(&day.days, midnight(screen.now_ms) - 29 * DAY_MS)),
    ];
    let heads = ["flow-forwarded", "flow-own", "flow-refused", "flow-failed"];
    let hours = by_hour(&day.hours, screen.now_ms);
    let is_empty = hours.iter().all(|hour| hour.counts.iter().all(|n| *n == 0));
    html! {
        @if is_empty { p.quiet { (text.say("today-no-mail")) } } @else { (day_chart(text, &hours)) }
        table.compact {
            caption.unseen { (text.say("today-counts")) }
            thead { tr { th scope="col" { span.unseen { (text.say("today-span")) } } @for head in heads { th.number scope="col" { (text.say(head)) } } } }
            tbody { @for (name, counts) in &spans {
                tr { th scope="row" { (text.say(name)) } @for n in counts.all() { td.number { (crate::catalogue::grouped(i64::try_from(n).unwrap_or(i64::MAX))) } } }
            } }
        }
    }
}

/// Returns the state of the server: last forward, certificate, disk, version, last check.
fn server(screen: &Screen, day: &Day) -> Markup {
    let text = screen.text;
    let name = |key: &'static str| html! { (text.say(key)) };
    let mut pairs = Vec::new();
    pairs.push((name("today-last"), match &day.last {
        Some(event) => html! { (moment::relative(text, event.at_ms, screen.now_ms)) @if let Some(to) = event.to.first() { " " (text.say("today-for")) " " (alias_link(to)) } },
        None => html! { span.quiet { (text.say("today-never")) } },
    }));
    if let Some(certificate) = day.certificates.as_ref().and_then(|view| view.certificates.iter().min_by_key(|one| one.not_after_ms)) {
        let left = certificate.not_after_ms - screen.now_ms;
        let mark = if left > CERTIFICATE_SOON_MS {
            Mark::Good
        } else if left > 0 {
            Mark::Wait
        } else {
            Mark::Bad
        };
        let words = text.with("today-days", [("n", left.div_euclid(DAY_MS).max(0).into())]);
        pairs.push((
            name("today-certificate"),
            html! { (badge(mark, words)) @if certificate.is_self_signed { " " span.quiet { (text.say("self-signed")) } } },
        ));
    }
    if let Some(server) = &day.server {
        if let (Some(free), Some(all)) = (server.disk_free_bytes, server.disk_bytes) {
            let mark = if free > all / 10 { Mark::Good } else { Mark::Wait };
            pairs
                .push((name("today-disk"), html! { (badge(mark, text.plain("today-free", [("size", moment::size(text, free).into())]))) }));
        }
        pairs.push((name("today-version"), html! { "Waypost " (cut(&server.version, 40)) }));
    }
    if let Some(health) = &day.health {
        let checked = match (health.is_checking, health.checked_ms) {
            (true, _) => html! { (text.say("today-checking")) },
            (false, Some(at)) => moment::relative(text, at, screen.now_ms),
            (false, None) => html! { (text.say("today-unchecked")) },
        };
        pairs.push((
            name("today-checked"),
            html! { div.row { span { (checked) } (action(screen, "/check", &text.say("check-again"), "link", &[])) } },
        ));
    }
    facts(&pairs)
}

async fn check(Owner(screen): Owner) -> Result<Done, Problem> {
    let _: HealthView = screen.api.send(Method::POST, "/health/check", &serde_json::json!({})).await?;
    Ok(Done::new("/", screen.text.say("done-check")))
}
