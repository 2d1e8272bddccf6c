//! `/queue`: what waits, for which host and why; pauses, and their end.
//!
//! Invariant: numbers are of the whole queue; causes and next attempts of its first messages, and the screen says so if there are more.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::Form;
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use control_api::api::{Changed, Count, Page, PauseView, QueueAge, QueueLane, QueueLanes, QueuedMessage, Resume, Retry, Totals};
use maud::{Markup, html};
use serde::Deserialize;

use crate::api::{Problem, with_query};
use crate::catalogue::{Text, grouped};
use crate::components::{Column, Mark, action, address, badge, cut, empty, table};
use crate::layout::Item;
use crate::moment;
use crate::outcome::Done;
use crate::said::said;
use crate::screen::{Owner, PageState, Screen};

/// Messages that are grouped.
const LOOKED_AT: &str = "1000";

/// The state of the recipients of held mail, which does not wait for an attempt.
pub(crate) const HELD: &str = "held";

pub(crate) fn routes() -> Router<PageState> {
    Router::new().route("/queue", get(show)).route("/queue/retry", post(retry)).route("/queue/resume", post(resume))
}

/// What waits for one domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Waiting {
    recipients: u64,
    next_ms: i64,
    causes: BTreeMap<String, u64>,
}

impl Waiting {
    /// Returns the most frequent cause.
    fn cause(&self) -> Option<&str> {
        self.causes.iter().max_by_key(|(_, n)| **n).map(|(cause, _)| cause.as_str())
    }
}

/// Groups recipients that wait by the domain of their target.
fn by_domain(messages: &[QueuedMessage]) -> BTreeMap<String, Waiting> {
    let mut groups: BTreeMap<String, Waiting> = BTreeMap::new();
    for message in messages {
        for recipient in message.recipients.iter().filter(|recipient| recipient.state != HELD) {
            let domain = recipient.to.rsplit_once('@').map_or(recipient.to.as_str(), |(_, domain)| domain);
            let group = groups.entry(domain.to_lowercase()).or_default();
            group.next_ms = if group.recipients == 0 { recipient.next_attempt_ms } else { group.next_ms.min(recipient.next_attempt_ms) };
            group.recipients += 1;
            if let Some(reason) = &recipient.reason {
                *group.causes.entry(reason.clone()).or_default() += 1;
            }
        }
    }
    groups
}

async fn show(Owner(screen): Owner) -> Result<Response, Problem> {
    let text = screen.text;
    let totals: Totals = screen.api.get("/queue/totals").await?;
    let pauses: Page<PauseView> = screen.api.get("/pauses").await?;
    let queue: Page<QueuedMessage> = screen.api.get(&with_query("/queue", &[("limit", Some(LOOKED_AT))])).await?;
    let lanes: QueueLanes = screen.api.get("/queue/lanes").await?;
    let groups = by_domain(&queue.items);
    let waiting = totals.recipients.saturating_sub(totals.held);
    let content = html! {
        div id="queue" data-live="message delivery change" hx-get="/queue" hx-trigger="waypost:live" hx-select="#queue" hx-swap="outerMorph" {
            p.lead-sentence { (sentence(text, waiting, pauses.items.len())) }
            @if !pauses.items.is_empty() {
                section.card {
                    h2 { (text.say("queue-pauses")) }
                    (pause_list(&screen, &pauses.items))
                }
            }
            @if lanes.lanes.is_empty() {
                (empty(text.say("queue-none"), html! { a href="/mail" { (text.say("queue-none-next")) } }))
            } @else {
                div.row.spread {
                    h2 { (text.say("queue-lanes")) }
                    (action(&screen, "/queue/retry", &text.say("queue-retry-all"), "", &[("all", "true")]))
                }
                (lane_table(&screen, &lanes.lanes, &groups))
                (ages(text, &lanes.ages))
                @if queue.next_cursor.is_some() { p.hint { (text.with("queue-part", [("n", queue.items.len().into())])) } }
                p { a href="/mail?show=waiting" { (text.say("queue-messages")) } }
            }
            @if totals.set_aside > 0 { p { (badge(Mark::Bad, text.with("queue-set-aside", [("n", totals.set_aside.into())]))) } }
            @if totals.held > 0 { p { a href="/held" { (text.with("queue-held", [("n", totals.held.into())])) } } }
        }
    };
    Ok(screen.page(Item::Queue, &text.say("queue-title"), content))
}

fn sentence(text: Text, waiting: u64, pauses: usize) -> String {
    match (waiting, pauses) {
        (0, 0) => text.say("queue-all-clear").into_owned(),
        (n, 0) => text.with("queue-waits", [("n", n.into())]),
        (n, pauses) => text.with("queue-waits-paused", [("n", n.into()), ("pauses", pauses.into())]),
    }
}

fn lane_table(screen: &Screen, lanes: &[QueueLane], groups: &BTreeMap<String, Waiting>) -> Markup {
    let text = screen.text;
    let columns = [
        Column::new(text.say("queue-domain"), "lead"),
        Column::new(text.say("queue-recipients"), "number"),
        Column::new(text.say("queue-oldest"), "tight"),
        Column::new(text.say("queue-next"), "tight"),
        Column::new(text.say("queue-cause"), ""),
        Column::new(text.say("column-act"), "act"),
    ];
    let row = |lane: &QueueLane| {
        let name = lane.lane.as_deref();
        let group = name.and_then(|name| groups.get(&name.to_lowercase()));
        vec![
            html! { @match name { Some(name) => { (address(name)) } None => { (text.say("queue-others")) } } },
            html! { (grouped(i64::try_from(lane.recipients).unwrap_or(i64::MAX))) },
            html! { (moment::span(text, lane.oldest_ms / 1000)) },
            html! { @if let Some(group) = group { (moment::due(text, group.next_ms, screen.now_ms)) } },
            html! { @if let Some(group) = group {
                @match group.cause() { Some(cause) => { (cut(cause, 140)) } None => { span.quiet { (text.say("queue-first")) } } }
            } },
            html! { @if let Some(name) = name { (action(screen, "/queue/retry", &text.say("retry-now"), "link", &[("domain", name)])) } },
        ]
    };
    table(&text.say("queue-lanes"), &columns, lanes.iter().map(row))
}

/// Returns how long what waits has waited.
fn ages(text: Text, ages: &[QueueAge]) -> Markup {
    let words = |age: &str| match age {
        "1m" => text.plain("queue-up-to", [("span", moment::span(text, 60).into())]),
        "10m" => text.plain("queue-up-to", [("span", moment::span(text, 600).into())]),
        "1h" => text.plain("queue-up-to", [("span", moment::span(text, 3600).into())]),
        "4h" => text.plain("queue-up-to", [("span", moment::span(text, 4 * 3600).into())]),
        "1d" => text.plain("queue-up-to", [("span", moment::span(text, 24 * 3600).into())]),
        _ => text.say("queue-older").into_owned(),
    };
    html! {
        p.quiet { (text.say("queue-ages")) " "
            @for (n, age) in ages.iter().filter(|age| age.recipients > 0).enumerate() {
                @if n > 0 { ", " } (words(&age.age)) ": " (grouped(i64::try_from(age.recipients).unwrap_or(i64::MAX)))
            }
        }
    }
}

/// Returns the pauses, each with its end, its reason and a button that ends it.
pub(crate) fn pause_list(screen: &Screen, pauses: &[PauseView]) -> Markup {
    let text = screen.text;
    html! {
        ul.plain-list {
            @for pause in pauses {
                li {
                    div.row.spread {
                        div.grow {
                            p { (address(&pause.about)) " " (badge(Mark::Wait, text.say("paused"))) " "
                                span.quiet { (text.say("paused-until")) " " (moment::due(text, pause.until_ms, screen.now_ms)) } }
                            p.quiet { (cut(&said(text, &pause.why), 300)) }
                        }
                        (action(screen, "/queue/resume", &text.say("resume"), "", &[("about", &pause.resume)]))
                    }
                }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
struct RetryForm {
    domain: Option<String>,
    #[serde(default)]
    all: bool,
}

async fn retry(Owner(screen): Owner, Form(form): Form<RetryForm>) -> Result<Done, Problem> {
    let retry = Retry { domain: form.domain, all: form.all, ..Retry::default() };
    let count: Count = screen.api.send(Method::POST, "/queue/retry", &retry).await?;
    Ok(Done::new("/queue", screen.text.with("done-retry-all", [("n", count.recipients.into())])))
}

#[derive(Debug, Deserialize)]
struct ResumeForm {
    about: String,
}

async fn resume(Owner(screen): Owner, Form(form): Form<ResumeForm>) -> Result<Done, Problem> {
    let resume = Resume { about: form.about.clone() };
    let _: Changed = screen.api.send(Method::POST, "/pauses/resume", &resume).await?;
    Ok(Done::new("/queue", screen.text.with("done-resume", [("about", form.about.into())])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use control_api::api::QueuedRecipient;

    fn message(arrived_ms: i64, to: &str, next_attempt_ms: i64, reason: Option<&str>) -> QueuedMessage {
        let recipient = QueuedRecipient {
            index: 0,
            to: to.into(),
            via: None,
            state: "waiting".into(),
            attempts: 1,
            next_attempt_ms,
            reason: reason.map(str::to_owned),
        };
        QueuedMessage {
            id: "6h22d211fvjnf".into(),
            flow: "forward".into(),
            from: String::new(),
            size_bytes: 1,
            arrived_ms,
            expires_ms: 0,
            author: None,
            subject: None,
            recipients: vec![recipient],
        }
    }

    #[test]
    fn what_waits_is_grouped_by_domain_with_its_most_frequent_cause() {
        let groups = by_domain(&[
            message(5, "a@x.test", 90, Some("full")),
            message(3, "b@X.test", 80, Some("full")),
            message(4, "c@x.test", 95, Some("slow")),
            message(1, "d@y.test", 70, None),
        ]);
        assert_eq!(groups.keys().collect::<Vec<_>>(), ["x.test", "y.test"]);
        let group = &groups["x.test"];
        assert_eq!((group.recipients, group.next_ms, group.cause()), (3, 80, Some("full")));
    }
}
