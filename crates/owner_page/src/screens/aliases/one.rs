//! `/aliases/ADDRESS`: where its mail goes, who writes to it, and what can be done about it.
//!
//! Invariant: an address without an alias of its own says which alias takes its mail, or offers to add one.

use axum::extract::Path;
use axum::response::Response;
use control_api::api::{AliasTest, AliasView};
use directory::{SenderList, StrictDomain};
use maud::{Markup, html};

use super::usage::{AliasUse, Sender, UseCounts, use_of};
use super::{can_change, state, switch};
use crate::api::{Problem, segment, with_query};
use crate::components::{Field, Mark, address, card, facts, field, hidden, notice};
use crate::layout::Item;
use crate::moment::relative;
use crate::screen::Screen;

/// The targets that the visitor has typed, and what is wrong with them.
type Doubted<'a> = Option<(&'a str, &'a [String])>;

pub(super) async fn show(screen: Screen, Path(source): Path<String>) -> Result<Response, Problem> {
    render(&screen, &source, None).await
}

/// Returns the alias of this source.
pub(super) async fn find(screen: &Screen, source: &str) -> Result<AliasView, Problem> {
    screen.api.get(&format!("/aliases/{}", segment(source))).await
}

pub(super) async fn render(screen: &Screen, source: &str, doubted: Doubted<'_>) -> Result<Response, Problem> {
    let alias = find(screen, source).await?;
    let test: Option<AliasTest> = match screen.visitor.is_owner && !alias.source.starts_with('@') {
        true => screen.api.get(&with_query("/aliases/test", &[("address", Some(&alias.source))])).await.ok(),
        false => None,
    };
    let used = use_of(&screen.api, &alias.source).await;
    let content = html! {
        (sentence(screen, &alias, test.as_ref()))
        @if let Some(test) = &test { (warnings(screen, test)) }
        div.grid {
            (card(screen.text.say("aliases-way"), way(screen, &alias, test.as_ref())))
            (card(screen.text.say("aliases-use"), usage(screen, used.as_ref())))
        }
        (note(screen, &alias))
        (senders(screen, &alias))
        @if screen.visitor.is_owner { (changes(screen, &alias, doubted)) }
    };
    Ok(screen.page(Item::Aliases, &alias.source, content))
}

fn sentence(screen: &Screen, alias: &AliasView, test: Option<&AliasTest>) -> Markup {
    let text = screen.text;
    let first = alias.targets.first().map(|target| address(target)).unwrap_or_default();
    let leads_nowhere = test.is_some_and(|test| test.targets.is_empty());
    html! {
        p.lead-sentence {
            @match (alias.enabled, leads_nowhere, alias.targets.len()) {
                (false, ..) => (text.say("aliases-sentence-off")),
                (true, true, _) => (text.say("aliases-sentence-nowhere")),
                (true, false, 0 | 1) => (text.rich("aliases-sentence-one", [("target", first)], [])),
                (true, false, n) => (text.rich("aliases-sentence-many", [("target", first)], [("n", (n - 1).into())])),
            }
        }
        div.actions {
            @if can_change(alias) { (switch(screen, alias, "")) }
            @if screen.visitor.is_owner { a.button href=(with_query("/mail", &[("q", Some(&alias.source))])) { (text.say("aliases-its-mail")) } }
        }
    }
}

fn warnings(screen: &Screen, test: &AliasTest) -> Markup {
    let text = screen.text;
    html! {
        @for doubt in &test.doubts { (notice(Mark::Wait, html! { p { (doubt) } })) }
        @for pause in &test.paused {
            (notice(Mark::Wait, html! {
                p { (text.rich("aliases-paused", [("target", address(&pause.about)), ("until", relative(text, pause.until_ms, screen.now_ms))], [])) }
                p.hint { (pause.why) }
                a href="/queue" { (text.say("nav-queue")) }
            }))
        }
        @for failed in test.failed.iter().filter(|_| test.hosted) {
            (notice(Mark::Bad, html! { p { (address(&failed.address)) ": " (failed.reason) } }))
        }
    }
}

/// Returns its targets, the aliases behind them, and its origin.
fn way(screen: &Screen, alias: &AliasView, test: Option<&AliasTest>) -> Markup {
    let text = screen.text;
    let mut pairs = vec![
        (html! { (text.say("aliases-state")) }, state(screen, alias)),
        (html! { (text.say("aliases-target")) }, html! { @for target in &alias.targets { div { (address(target)) } } }),
    ];
    if let Some(test) = test.filter(|test| test.steps.len() > 1) {
        let arrives = html! { @for target in &test.targets { div { (address(target)) } } };
        pairs.push((html! { (text.say("aliases-arrives")) }, arrives));
    }
    if alias.origin == "file" {
        pairs.push((html! { (text.say("aliases-origin")) }, html! { (text.say("aliases-origin-file")) }));
    }
    facts(&pairs)
}

fn usage(screen: &Screen, used: Option<&AliasUse>) -> Markup {
    let text = screen.text;
    let Some(used) = used.filter(|used| used.last.is_some()) else {
        return html! { p.quiet { (text.say("aliases-unused")) } };
    };
    let counts = |counts: UseCounts| {
        html! {
            (text.with("aliases-accepted", [("n", counts.accepted.into())]))
            @if counts.refused > 0 { ", " (text.with("aliases-refused", [("n", counts.refused.into())])) }
        }
    };
    let sender = |sender: &Option<Sender>| {
        html! { @if let Some(sender) = sender { div { (address(&sender.from)) } div.quiet { (relative(text, sender.at_ms, screen.now_ms)) } } }
    };
    facts(&[
        (html! { (text.say("aliases-today")) }, counts(used.today)),
        (html! { (text.say("aliases-week")) }, counts(used.week)),
        (html! { (text.say("aliases-month")) }, counts(used.month)),
        (html! { (text.say("aliases-first-sender")) }, sender(&used.first)),
        (html! { (text.say("aliases-last-sender")) }, sender(&used.last)),
    ])
}

fn note(screen: &Screen, alias: &AliasView) -> Markup {
    let text = screen.text;
    let label = text.say("aliases-note");
    let hint = text.say("aliases-note-hint");
    let value = alias.options.note.as_deref().unwrap_or_default();
    html! {
        section.card {
            form method="post" action={ "/aliases/" (segment(&alias.source)) "/options" } {
                (screen.token())
                (field(&Field { value, hint: Some(&hint), ..Field::text("note", &label) }))
                button type="submit" { (text.say("save")) }
            }
        }
    }
}

/// Returns whose mail is refused, and whose is never held, with a form that changes both.
fn senders(screen: &Screen, alias: &AliasView) -> Markup {
    let text = screen.text;
    let joined = |list: &Option<SenderList>| list.clone().map(Vec::from).unwrap_or_default().join(" ");
    let (blocked, allowed) = (joined(&alias.options.blocked), joined(&alias.options.allowed));
    let (blocked_label, allowed_label, hint) = (text.say("aliases-blocked"), text.say("aliases-allowed"), text.say("aliases-senders-hint"));
    html! {
        details.card open[!blocked.is_empty() || !allowed.is_empty()] {
            summary { (text.say("aliases-senders")) }
            form method="post" action={ "/aliases/" (segment(&alias.source)) "/options" } {
                (screen.token())
                (field(&Field { value: &blocked, ..Field::text("blocked", &blocked_label) }))
                (field(&Field { value: &allowed, hint: Some(&hint), ..Field::text("allowed", &allowed_label) }))
                button type="submit" { (text.say("save")) }
            }
        }
    }
}

/// Returns what only an owner may change.
fn changes(screen: &Screen, alias: &AliasView, doubted: Doubted<'_>) -> Markup {
    let text = screen.text;
    let place = format!("/aliases/{}", segment(&alias.source));
    if !can_change(alias) {
        return html! { p.quiet { (text.say("aliases-change-file")) } (strict(screen, alias, &place)) };
    }
    html! {
        (other_targets(screen, alias, &place, doubted))
        (strict(screen, alias, &place))
        details.card {
            summary { (text.say("aliases-remove")) }
            p { (text.rich("aliases-remove-words", [("address", address(&alias.source))], [])) }
            form.action method="post" action={ (place) "/remove" } {
                (screen.token())
                button.danger type="submit" { (text.say("aliases-remove-button")) }
            }
        }
    }
}

fn other_targets(screen: &Screen, alias: &AliasView, place: &str, doubted: Doubted<'_>) -> Markup {
    let text = screen.text;
    let present = alias.targets.join(" ");
    let value = doubted.map_or(present.as_str(), |(typed, _)| typed);
    let label = text.say("aliases-target");
    let hint = text.say("aliases-target-hint");
    html! {
        details.card open[doubted.is_some()] {
            summary { (text.say("aliases-change-target")) }
            form method="post" action={ (place) "/targets" } {
                (screen.token())
                @if let Some((_, doubts)) = doubted {
                    (notice(Mark::Wait, html! { @for doubt in doubts { p { (doubt) } } p.hint { (text.say("aliases-doubt")) } }))
                    (hidden("sure", "yes"))
                }
                (field(&Field { value, hint: Some(&hint), required: true, ..Field::text("targets", &label) }))
                button.primary type="submit" { @if doubted.is_some() { (text.say("aliases-save-anyway")) } @else { (text.say("save")) } }
            }
        }
    }
}

/// Returns what happens to mail that would fail DMARC at the target.
fn strict(screen: &Screen, alias: &AliasView, place: &str) -> Markup {
    let text = screen.text;
    let chosen = alias.options.strict_domain;
    html! {
        details.card {
            summary { (text.say("aliases-strict")) }
            p.quiet { (text.say("aliases-strict-words")) }
            form method="post" action={ (place) "/options" } {
                (screen.token())
                div.field {
                    label for="strict_domain" { (text.say("aliases-strict-label")) }
                    select id="strict_domain" name="strict_domain" {
                        option value="" selected[chosen.is_none()] { (text.say("aliases-strict-default")) }
                        @for (value, word) in StrictDomain::WORDS {
                            option value=(word) selected[chosen == Some(value)] { (text.say(strict_key(value))) }
                        }
                    }
                }
                button type="submit" { (text.say("save")) }
            }
        }
    }
}

fn strict_key(value: StrictDomain) -> &'static str {
    match value {
        StrictDomain::AsIs => "aliases-strict-as-is",
        StrictDomain::Rewrite => "aliases-strict-rewrite",
        StrictDomain::Wrap => "aliases-strict-wrap",
        StrictDomain::Hold => "aliases-strict-hold",
        StrictDomain::Reject => "aliases-strict-reject",
    }
}
