//! `/held`: held messages with what speaks for and against them, and what was refused in the last 30 days.
//!
//! Invariant: a message is released or dropped as a whole; dropping says that it cannot be undone.

use axum::Router;
use axum::extract::{Form, Path, Query};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use control_api::api::{Changed, Page, QueuedMessage, Release};
use events::{Event, Fact};
use maud::{Markup, html};
use serde::Deserialize;

use crate::api::{Problem, segment, with_query};
use crate::components::{action, address, button_form, careful, cut, empty, facts, pager};
use crate::layout::Item;
use crate::moment;
use crate::outcome::{Done, problem_notice};
use crate::screen::{Owner, PageState, Screen};
use crate::screens::mail::{MailFilter, alias_link, mail_table, rows};
use crate::screens::senders::{self, SenderForm};
use crate::story;

/// Held messages on a page: each costs a look at its history.
const HELD: &str = "20";

/// Refused messages on a page.
const REFUSED: &str = "50";

/// How long refused mail is listed.
const REFUSED_MS: i64 = 30 * 24 * 3_600_000;

pub(crate) fn routes() -> Router<PageState> {
    Router::new()
        .route("/held", get(show))
        .route("/held/{id}/release", post(release))
        .route("/held/{id}/drop", post(remove))
        .route("/held/{id}/allow", post(allow))
        .route("/held/senders", post(change_senders))
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct HeldQuery {
    /// The page of held messages.
    cursor: Option<String>,
    /// The page of refused messages.
    refused: Option<String>,
}

async fn show(Owner(screen): Owner, Query(query): Query<HeldQuery>) -> Result<Response, Problem> {
    let text = screen.text;
    let path = with_query("/held", &[("limit", Some(HELD)), ("cursor", query.cursor.as_deref())]);
    let held: Page<QueuedMessage> = screen.api.get(&path).await?;
    let mut cards = Vec::new();
    for message in &held.items {
        cards.push(one(&screen, message).await);
    }
    let next = held.next_cursor.as_deref().map(|cursor| with_query("/held", &[("cursor", Some(cursor))]));
    let content = html! {
        div id="held" data-live="message change" hx-get=(screen.frame.url) hx-trigger="waypost:live" hx-select="#held" hx-swap="outerMorph" {
            @if cards.is_empty() {
                (empty(text.say("held-none"), html! { (text.say("held-none-next")) }))
            } @else {
                p.lead-sentence { (text.with("held-sentence", [("n", held.items.len().into()), ("more", u8::from(next.is_some()).into())])) }
                @for card in &cards { (card) }
                (pager(&screen, query.cursor.as_ref().map(|_| "/held".to_owned()), next))
            }
        }
        section.later {
            h2 { (text.say("held-refused")) }
            (refused(&screen, &query).await)
        }
    };
    Ok(screen.page(Item::Held, &text.say("held-title"), content))
}

/// Returns one held message: From, Subject, why it is held, authentication, and what can be done.
async fn one(screen: &Screen, message: &QueuedMessage) -> Markup {
    let text = screen.text;
    let story: Option<Page<Event>> = screen.api.find(&format!("/history/messages/{}", segment(&message.id))).await.ok().flatten();
    let events = story.map(|page| page.items).unwrap_or_default();
    let held = events.iter().find(|event| event.kind == events::EventKind::MessageHeld);
    let why = held.and_then(|event| event.reason.as_deref()).or(message.recipients.first().and_then(|r| r.reason.as_deref()));
    let name = |key: &'static str| html! { (text.say(key)) };
    let mut pairs = vec![(name("message-author"), html! { (cut(message.author.as_deref().unwrap_or_default(), 120)) })];
    let sender = if message.from.is_empty() {
        html! { (text.say("null-sender")) }
    } else {
        address(&message.from)
    };
    pairs.push((name("held-sender"), sender));
    pairs.push((name("column-to"), html! {
        @for (n, recipient) in message.recipients.iter().take(5).enumerate() { @if n > 0 { ", " } (alias_link(recipient.via.as_deref().unwrap_or(&recipient.to))) }
    }));
    if let Some(why) = why {
        pairs.push((name("held-why"), html! { (cut(why, 300)) }));
    }
    if let Some(event) = held {
        pairs.push((name("authentication"), story::authentication(text, event)));
    }
    pairs.push((
        name("held-kept"),
        html! {
            (text.say("held-since")) " " (moment::relative(text, message.arrived_ms, screen.now_ms)) ", "
            (text.say("held-until")) " " (moment::relative(text, message.expires_ms, screen.now_ms))
        },
    ));
    let to = |what: &str| format!("/held/{}/{what}", segment(&message.id));
    let allow = match (held.and_then(|event| event.get(Fact::FromField)), message.recipients.first()) {
        (Some(author), Some(first)) => {
            senders::alias_of(screen, first.via.as_deref().unwrap_or(&first.to)).await.map(|alias| (alias.source, author))
        }
        _ => None,
    };
    let subject = message.subject.as_deref().filter(|subject| !subject.trim().is_empty());
    html! {
        section.card {
            h2 { a.plain href={ "/mail/" (segment(&message.id)) } { @match subject { Some(subject) => { (cut(subject, 120)) } None => { (text.say("no-subject")) } } } }
            (facts(&pairs))
            div.actions {
                (action(screen, &to("release"), &text.say("release"), "primary", &[]))
                (action(screen, &to("release"), &text.say("release-wrapped"), "", &[("wrapped", "true")]))
                @if let Some((alias, sender)) = &allow {
                    (button_form(screen, &to("allow"), text.rich("always-allow", [("sender", address(sender))], []), &[("alias", alias), ("sender", sender), ("change", "allow")]))
                }
                (careful(screen, &to("drop"), &text.say("drop"), &text.say("drop-words"), &[]))
            }
            p.hint { (text.say("held-hint")) }
        }
    }
}

/// Returns what was refused in the last 30 days.
async fn refused(screen: &Screen, query: &HeldQuery) -> Markup {
    let text = screen.text;
    let since = (screen.now_ms - REFUSED_MS).to_string();
    let kinds = MailFilter::Refused.kinds(false);
    let path = with_query(
        "/history",
        &[("kinds", Some(&kinds)), ("since_ms", Some(&since)), ("limit", Some(REFUSED)), ("cursor", query.refused.as_deref())],
    );
    let page: Page<Event> = match screen.api.get(&path).await {
        Ok(page) => page,
        Err(problem) => return problem_notice(&problem),
    };
    let next = page.next_cursor.as_deref().map(|cursor| with_query("/held", &[("refused", Some(cursor))]));
    let rows = rows(page.items);
    if rows.is_empty() {
        return html! { p.quiet { (text.say("held-none-refused")) } };
    }
    html! {
        (mail_table(screen, &rows))
        (pager(screen, query.refused.as_ref().map(|_| "/held".to_owned()), next))
    }
}

/// How a held message is released.
#[derive(Debug, Deserialize)]
pub(crate) struct ReleaseForm {
    /// Whether in a message of this server.
    #[serde(default)]
    pub wrapped: bool,
}

async fn release(Owner(screen): Owner, Path(id): Path<String>, Form(form): Form<ReleaseForm>) -> Result<Done, Problem> {
    let path = format!("/held/{}/release", segment(&id));
    let _: Changed = screen.api.send(Method::POST, &path, &Release { wrapped: form.wrapped }).await?;
    Ok(Done::new("/held", screen.text.say("done-release")))
}

async fn remove(Owner(screen): Owner, Path(id): Path<String>) -> Result<Done, Problem> {
    let _: Changed = screen.api.delete(&format!("/held/{}", segment(&id))).await?;
    Ok(Done::new("/held", screen.text.say("done-drop")))
}

/// Releases a message, and never holds mail of its author to this alias again.
async fn allow(Owner(screen): Owner, Path(id): Path<String>, Form(form): Form<SenderForm>) -> Result<Done, Problem> {
    let done = senders::change(&screen, &form, "/held", "/held/senders").await?;
    let _: Changed = screen.api.send(Method::POST, &format!("/held/{}/release", segment(&id)), &Release { wrapped: false }).await?;
    Ok(done)
}

async fn change_senders(Owner(screen): Owner, Form(form): Form<SenderForm>) -> Result<Done, Problem> {
    senders::change(&screen, &form, "/held", "/held/senders").await
}
