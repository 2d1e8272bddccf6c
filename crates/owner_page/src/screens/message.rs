//! `/mail/ID`: the life of a message as a timeline, and what its owner can do about it.
//!
//! Invariant: an action is offered only where the message is in a state for it, and says what goes with it.

use axum::Router;
use axum::extract::{Form, Path};
use axum::http::Method;
use axum::response::Response;
use axum::routing::{get, post};
use control_api::api::{AliasView, Changed, Count, Enable, Page, QueuedMessage, Release, Retry};
use events::{Event, EventKind, Fact};
use maud::{Markup, html};
use serde::Deserialize;

use crate::api::{Problem, segment, with_query};
use crate::catalogue::Text;
use crate::components::{Mark, action, address, badge, button_form, card, careful, copyable, cut, empty, facts, icon_of, whole};
use crate::layout::Item;
use crate::moment;
use crate::outcome::Done;
use crate::screen::{Owner, PageState, Screen};
use crate::screens::held::ReleaseForm;
use crate::screens::mail::alias_link;
use crate::screens::senders::{self, SenderForm};
use crate::story::{self, Ending};

/// Maximum recipients named in the facts on top.
const RECIPIENTS_SHOWN: usize = 20;

pub(crate) fn routes() -> Router<PageState> {
    Router::new()
        .route("/mail/{id}", get(show))
        .route("/mail/{id}/retry", post(retry))
        .route("/mail/{id}/drop", post(remove))
        .route("/mail/{id}/release", post(release))
        .route("/mail/{id}/alias", post(switch_alias))
        .route("/mail/{id}/senders", post(change_senders))
}

/// Aliases of a message whose actions are offered.
const ALIASES_OFFERED: usize = 3;

/// A message as history and queue have it.
struct Life {
    id: String,
    events: Vec<Event>,
    queued: Option<QueuedMessage>,
    held: Option<QueuedMessage>,
}

impl Life {
    async fn read(screen: &Screen, id: &str) -> Result<Self, Problem> {
        let id = id.to_ascii_lowercase();
        let path = segment(&id);
        let found: Option<Page<Event>> = screen.api.find(&format!("/history/messages/{path}")).await?;
        let queued: Option<QueuedMessage> = screen.api.find(&format!("/queue/{path}")).await?;
        let held = match &queued {
            Some(_) => screen.api.find(&format!("/held/{path}")).await?,
            None => None,
        };
        let events = found.map(|page| page.items).unwrap_or_default();
        Ok(Self { id, events, queued, held })
    }

    fn first<'a, T>(&'a self, get: impl Fn(&'a Event) -> Option<T>) -> Option<T> {
        self.events.iter().find_map(get)
    }

    /// The recipients as their sender knows them, without doubles.
    fn recipients(&self) -> Vec<&str> {
        let mut seen = Vec::new();
        let queued = self.queued.iter().flat_map(|message| &message.recipients).map(|r| r.via.as_deref().unwrap_or(&r.to));
        for to in self.events.iter().flat_map(|event| &event.to).map(String::as_str).chain(queued) {
            if !seen.contains(&to) {
                seen.push(to);
            }
        }
        seen
    }

    /// The address to block: that of the From field, or else the reverse-path.
    fn sender(&self) -> Option<&str> {
        let envelope = || self.first(|event| event.from.as_deref()).or(self.queued.as_ref().map(|message| message.from.as_str()));
        let is_own = self.first(|event| event.login.as_deref()).is_some();
        self.first(|event| event.get(Fact::FromField)).or_else(envelope).filter(|sender| sender.contains('@') && !is_own)
    }

    fn targets(&self) -> Vec<&str> {
        let mut seen = Vec::new();
        for target in self.events.iter().filter_map(|event| event.target.as_deref()) {
            if !seen.contains(&target) && !self.recipients().contains(&target) {
                seen.push(target);
            }
        }
        seen
    }

    /// Where it stands now: the queue knows better than the history.
    fn ending(&self) -> Ending {
        if self.held.is_some() {
            return Ending::Held;
        }
        if self.queued.is_some() {
            return Ending::Waiting;
        }
        self.events.iter().rev().map(|event| Ending::of(event.kind)).find(|ending| *ending != Ending::Other).unwrap_or(Ending::Other)
    }
}

async fn show(Owner(screen): Owner, Path(id): Path<String>) -> Result<Response, Problem> {
    let text = screen.text;
    let life = Life::read(&screen, &id).await?;
    let title = text.with("message-title", [("id", life.id.chars().take(40).collect::<String>().into())]);
    if life.events.is_empty() && life.queued.is_none() {
        let next = html! { a href=(with_query("/mail", &[("q", Some(&life.id))])) { (text.say("message-search")) } };
        return Ok(screen.page(Item::Mail, &title, empty(text.say("message-none"), next)));
    }
    let here = format!("/mail/{}", segment(&life.id));
    let content = html! {
        div id="message" data-live="message delivery change" hx-get=(here) hx-trigger="waypost:live" hx-select="#message" hx-swap="outerMorph" {
            p.lead-sentence { (life.ending().badge(text)) " " (summary(&screen, &life)) }
            (actions(&screen, &life).await)
            (card(text.say("message-facts"), head(&screen, &life)))
            (card(text.say("message-timeline"), timeline(text, &life.events)))
            @if let Some(message) = life.queued.as_ref().filter(|_| life.held.is_none()) { (card(text.say("message-queue"), waits(&screen, message))) }
        }
    };
    Ok(screen.page(Item::Mail, &title, content))
}

/// The reason for where it stands.
fn summary(screen: &Screen, life: &Life) -> Markup {
    let text = screen.text;
    if life.held.is_some() {
        return html! { (text.say("message-is-held")) };
    }
    if let Some(first) = life.queued.as_ref().and_then(|message| message.recipients.first()) {
        let next = moment::due(text, first.next_attempt_ms, screen.now_ms);
        return text.rich("message-waits", [("next", next)], [("n", i64::from(first.attempts).into())]);
    }
    let last = life.events.iter().rev().find(|event| Ending::of(event.kind) != Ending::Other);
    html! { @if let Some(event) = last { (story::sentence(text, event)) } }
}

fn head(screen: &Screen, life: &Life) -> Markup {
    let text = screen.text;
    let name = |key: &'static str| html! { (text.say(key)) };
    let mut pairs: Vec<(Markup, Markup)> = Vec::new();
    let from = life.first(|event| event.from.as_deref()).or(life.queued.as_ref().map(|message| message.from.as_str()));
    if let Some(from) = from {
        pairs.push((
            name("column-from"),
            if from.is_empty() {
                html! { (text.say("null-sender")) }
            } else {
                address(from)
            },
        ));
    }
    if let Some(author) = life.first(|event| event.get(Fact::FromField)).filter(|author| Some(*author) != from) {
        pairs.push((name("message-author"), address(author)));
    }
    if let Some(subject) =
        life.first(|event| event.get(Fact::Subject)).or(life.held.as_ref().and_then(|message| message.subject.as_deref()))
    {
        pairs.push((name("message-subject"), whole(subject)));
    }
    let recipients = life.recipients();
    pairs.push((
        name("column-to"),
        html! {
            @for (n, to) in recipients.iter().take(RECIPIENTS_SHOWN).enumerate() { @if n > 0 { ", " } (alias_link(to)) }
            @if recipients.len() > RECIPIENTS_SHOWN { " " (text.with("and-others", [("n", (recipients.len() - RECIPIENTS_SHOWN).into())])) }
        },
    ));
    let targets = life.targets();
    if !targets.is_empty() {
        pairs.push((
            name("message-target"),
            html! { @for (n, target) in targets.iter().take(RECIPIENTS_SHOWN).enumerate() { @if n > 0 { ", " } (address(target)) } },
        ));
    }
    let arrived = life.events.first().map(|event| event.at_ms).or(life.queued.as_ref().map(|message| message.arrived_ms));
    if let Some(arrived) = arrived {
        pairs.push((name("message-arrived"), moment::exact(text, arrived)));
    }
    let size = life.first(|event| event.get(Fact::SizeBytes)?.parse().ok()).or(life.queued.as_ref().map(|message| message.size_bytes));
    if let Some(size) = size {
        pairs.push((name("message-size"), html! { (moment::size(text, size)) }));
    }
    if let Some(id) = life.first(|event| event.message_id.as_deref()) {
        pairs.push((html! { "Message-ID" }, address(id)));
    }
    pairs.push((name("message-queue-id"), copyable(screen, &life.id)));
    facts(&pairs)
}

fn timeline(text: Text, events: &[Event]) -> Markup {
    html! {
        @if events.is_empty() { p.quiet { (text.say("message-no-history")) } }
        ol.timeline {
            @for event in events {
                @let mark = Ending::of(event.kind).mark();
                li {
                    div.when { (moment::clock_time(text, event.at_ms)) }
                    div.sign.(mark.class()) { (icon_of(mark)) }
                    div.what {
                        p { strong { (story::sentence(text, event)) } }
                        @if event.kind == EventKind::Released || event.kind == EventKind::Dropped {
                            @if let Some(login) = &event.login { p.quiet { (text.say("by")) " " (address(login)) } }
                        }
                        (story::details(text, event))
                    }
                }
            }
        }
    }
}

/// The recipients that still wait.
fn waits(screen: &Screen, message: &QueuedMessage) -> Markup {
    let text = screen.text;
    html! {
        ul.plain-list {
            @for recipient in &message.recipients {
                li {
                    p { (address(&recipient.to)) " " (badge(Mark::Wait, text.with("fact-attempt", [("n", i64::from(recipient.attempts).into())]))) }
                    p.quiet { (text.say("next-attempt")) " " (moment::due(text, recipient.next_attempt_ms, screen.now_ms)) ", "
                        (text.say("expires")) " " (moment::relative(text, message.expires_ms, screen.now_ms)) }
                    @if let Some(reason) = &recipient.reason { blockquote { (cut(reason, 300)) } }
                }
            }
        }
    }
}

async fn actions(screen: &Screen, life: &Life) -> Markup {
    let text = screen.text;
    let to = |what: &str| format!("/mail/{}/{what}", segment(&life.id));
    let mut buttons = Vec::new();
    if life.held.is_some() {
        buttons.push(action(screen, &to("release"), &text.say("release"), "primary", &[]));
        buttons.push(action(screen, &to("release"), &text.say("release-wrapped"), "", &[("wrapped", "true")]));
        buttons.push(careful(screen, &to("drop"), &text.say("drop"), &text.say("drop-words"), &[("held", "true")]));
    } else if life.queued.is_some() {
        buttons.push(action(screen, &to("retry"), &text.say("retry-now"), "primary", &[]));
        buttons.push(careful(screen, &to("drop"), &text.say("drop"), &text.say("drop-words"), &[]));
    }
    let sender = life.sender();
    for known_as in life.recipients().into_iter().take(ALIASES_OFFERED) {
        if let Some(alias) = senders::alias_of(screen, known_as).await {
            buttons.extend(of_alias(screen, &to("alias"), &to("senders"), &alias, sender));
        }
    }
    html! {
        @if !buttons.is_empty() { div.actions { @for button in buttons { (button) } } }
    }
}

/// Returns what can be done about the alias of a message: block its sender, disable it, change its target.
fn of_alias(screen: &Screen, to_alias: &str, to_senders: &str, alias: &AliasView, sender: Option<&str>) -> Vec<Markup> {
    let text = screen.text;
    let mut buttons = Vec::new();
    let shown = || ("alias", address(&alias.source));
    if let Some(sender) = sender {
        let label = text.rich("block-sender", [("sender", address(sender)), shown()], []);
        buttons.push(button_form(screen, to_senders, label, &[("alias", &alias.source), ("sender", sender), ("change", "block")]));
    }
    if alias.origin == "database" {
        if alias.enabled {
            buttons.push(button_form(screen, to_alias, text.rich("disable-alias", [shown()], []), &[("alias", &alias.source)]));
        }
        buttons.push(
            html! { a.button href={ "/aliases/" (segment(&alias.source)) } { span { (text.rich("change-target", [shown()], [])) } } },
        );
    }
    buttons
}

async fn retry(Owner(screen): Owner, Path(id): Path<String>) -> Result<Done, Problem> {
    let request = Retry { id: Some(id.clone()), ..Retry::default() };
    let _: Count = screen.api.send(Method::POST, "/queue/retry", &request).await?;
    Ok(Done::new(format!("/mail/{}", segment(&id)), screen.text.say("done-retry")))
}

#[derive(Debug, Deserialize)]
struct DropForm {
    #[serde(default)]
    held: bool,
}

async fn remove(Owner(screen): Owner, Path(id): Path<String>, Form(form): Form<DropForm>) -> Result<Done, Problem> {
    let place = if form.held { "held" } else { "queue" };
    let _: Changed = screen.api.delete(&format!("/{place}/{}", segment(&id))).await?;
    Ok(Done::new(format!("/mail/{}", segment(&id)), screen.text.say("done-drop")))
}

async fn release(Owner(screen): Owner, Path(id): Path<String>, Form(form): Form<ReleaseForm>) -> Result<Done, Problem> {
    let path = format!("/held/{}/release", segment(&id));
    let _: Changed = screen.api.send(Method::POST, &path, &Release { wrapped: form.wrapped }).await?;
    Ok(Done::new(format!("/mail/{}", segment(&id)), screen.text.say("done-release")))
}

#[derive(Debug, Deserialize)]
struct SwitchForm {
    alias: String,
    #[serde(default)]
    enabled: bool,
}

/// Disables the alias of a message, or enables it again.
async fn switch_alias(Owner(screen): Owner, Path(id): Path<String>, Form(form): Form<SwitchForm>) -> Result<Done, Problem> {
    let text = screen.text;
    let path = format!("/aliases/{}", segment(&form.alias));
    let _: Changed = screen.api.send(Method::PATCH, &path, &Enable { enabled: form.enabled }).await?;
    let back = format!("/mail/{}", segment(&id));
    let alias = || [("alias", form.alias.clone().into())];
    if form.enabled {
        return Ok(Done::new(back, text.with("done-enable-alias", alias())));
    }
    let done = Done::new(back.clone(), text.with("done-disable-alias", alias()));
    Ok(done.undo(text, format!("{back}/alias"), &[("alias", &form.alias), ("enabled", "true")]))
}

async fn change_senders(Owner(screen): Owner, Path(id): Path<String>, Form(form): Form<SenderForm>) -> Result<Done, Problem> {
    let back = format!("/mail/{}", segment(&id));
    senders::change(&screen, &form, &back, &format!("{back}/senders")).await
}
