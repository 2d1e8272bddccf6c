//! The form that adds an alias, and the button that makes a throw-away address.
//!
//! Invariant: a target whose domain takes no mail, or looks like a typing error, is shown before anything is stored; the visitor may insist.

use axum::Form;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use control_api::api::{Changed, DomainView, NewAlias, TargetLooks};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::{ListQuery, render};
use crate::api::{Problem, segment, with_query};
use crate::components::{Field, Mark, field, hidden, notice};
use crate::outcome::{Done, problem_notice};
use crate::screen::{Owner, Screen};

/// What the visitor has typed, and what is wrong with it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AddForm {
    /// The local part, or a whole address.
    address: String,
    /// The domain, if the address has none.
    domain: String,
    /// One or more addresses.
    targets: String,
    note: String,
    /// Whether the visitor insists on a doubtful target.
    sure: String,
    #[serde(skip)]
    doubts: Vec<String>,
    #[serde(skip)]
    problem: Option<Problem>,
}

impl AddForm {
    /// The address with its domain.
    fn source(&self) -> String {
        let address = self.address.trim();
        if address.contains('@') { address.to_owned() } else { format!("{address}@{}", self.domain.trim()) }
    }
}

/// Splits addresses at spaces, commas and semicolons.
pub(in crate::screens) fn addresses(text: &str) -> Vec<String> {
    text.split([' ', ',', ';', '\n', '\r', '\t']).map(str::trim).filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect()
}

/// Returns what is wrong with these targets in DNS.
pub(in crate::screens) async fn doubts(screen: &Screen, targets: &[String]) -> Vec<String> {
    let looks: Result<TargetLooks, Problem> =
        screen.api.get(&with_query("/aliases/targets", &[("targets", Some(&targets.join(" ")))])).await;
    looks.map(|looks| looks.doubts.iter().filter(|look| look.is_wrong).map(ToString::to_string).collect()).unwrap_or_default()
}

pub(super) async fn add(Owner(screen): Owner, Form(mut form): Form<AddForm>) -> Result<Response, Problem> {
    let (source, targets) = (form.source(), addresses(&form.targets));
    if form.sure.is_empty() {
        form.doubts = doubts(&screen, &targets).await;
        if !form.doubts.is_empty() {
            return render(&screen, ListQuery::default(), &form).await;
        }
    }
    let added: Result<Changed, Problem> =
        screen.api.send(Method::POST, "/aliases", &NewAlias { source: source.clone(), targets, replace: false }).await;
    match added {
        Err(problem) if problem.is_of_request() => {
            form.problem = Some(problem);
            render(&screen, ListQuery::default(), &form).await
        }
        Err(problem) => Err(problem),
        Ok(_) => {
            let place = format!("/aliases/{}", segment(&source));
            if !form.note.trim().is_empty() {
                let options = json!({ "note": form.note.trim() });
                let _: Changed = screen.api.send(Method::PATCH, &format!("{place}/options"), &options).await?;
            }
            Ok(Done::new(place, screen.text.with("aliases-added", [("address", source.into())])).into_response())
        }
    }
}

/// Returns the form and the button; the form is open if there is nothing else, or if something is wrong with it.
pub(super) fn forms(screen: &Screen, domains: &[DomainView], form: &AddForm, is_first: bool) -> Markup {
    let text = screen.text;
    let is_open = is_first || form.problem.is_some() || !form.doubts.is_empty();
    html! {
        @if !is_first { (throwaway(screen, domains)) }
        details.card open[is_open] {
            summary { (text.say("aliases-add")) }
            form method="post" action="/aliases" {
                (screen.token())
                @if let Some(problem) = &form.problem { (problem_notice(problem)) }
                @if !form.doubts.is_empty() {
                    (notice(Mark::Wait, html! {
                        @for doubt in &form.doubts { p { (doubt) } }
                        p.hint { (text.say("aliases-doubt")) }
                    }))
                    (hidden("sure", "yes"))
                }
                (fields(screen, domains, form))
                button.primary type="submit" {
                    @if form.doubts.is_empty() { (text.say("aliases-add-button")) } @else { (text.say("aliases-add-anyway")) }
                }
            }
        }
    }
}

fn fields(screen: &Screen, domains: &[DomainView], form: &AddForm) -> Markup {
    let text = screen.text;
    let address_label = text.say("aliases-address");
    let target_label = text.say("aliases-target");
    let target_hint = text.say("aliases-target-hint");
    let note_label = text.say("aliases-note");
    let note_hint = text.say("aliases-note-hint");
    html! {
        div.field {
            label for="address" { (address_label) }
            div.joined {
                input id="address" name="address" type="text" value=(form.address) required autocapitalize="none" spellcheck="false" autocomplete="off" aria-describedby="address-hint";
                @if let [domain] = domains {
                    span.mono.quiet { "@" (domain.name) }
                    (hidden("domain", &domain.name))
                } @else {
                    span.mono.quiet { "@" }
                    select name="domain" aria-label=(text.say("aliases-domain")) {
                        @for domain in domains { option value=(domain.name) selected[domain.name == form.domain] { (domain.name) } }
                    }
                }
            }
            p.hint id="address-hint" { (text.say("aliases-address-hint")) }
        }
        (field(&Field { value: &form.targets, hint: Some(&target_hint), required: true, ..Field::text("targets", &target_label) }))
        (field(&Field { value: &form.note, hint: Some(&note_hint), ..Field::text("note", &note_label) }))
    }
}

fn throwaway(screen: &Screen, domains: &[DomainView]) -> Markup {
    let text = screen.text;
    html! {
        form.action.row method="post" action="/aliases/throwaway" data-copies=(text.say("copied")) {
            (screen.token())
            @if let [domain] = domains { (hidden("domain", &domain.name)) }
            @else {
                select name="domain" aria-label=(text.say("aliases-domain")) { @for domain in domains { option value=(domain.name) { (domain.name) } } }
            }
            button.primary type="submit" { (text.say("aliases-throwaway")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_the_chosen_domain_unless_it_has_one() {
        let form = |address: &str| AddForm { address: address.into(), domain: "example.com".into(), ..AddForm::default() };
        assert_eq!(form(" me ").source(), "me@example.com");
        assert_eq!(form("me@other.example").source(), "me@other.example");
        assert_eq!(form("@example.com").source(), "@example.com");
        assert_eq!(addresses("a@x.test, b@x.test;\r\nc@x.test "), ["a@x.test", "b@x.test", "c@x.test"]);
    }
}
