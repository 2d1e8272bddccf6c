//! What can be done to an alias: on and off, its options, other targets, removal and its undoing.
//!
//! Invariant: what is removed can be put back with its targets, its options and its state.

use axum::Form;
use axum::extract::Path;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use control_api::api::{AliasView, Changed, Enable, NewAlias};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::add::{addresses, doubts};
use super::one;
use crate::api::{Problem, segment};
use crate::outcome::Done;
use crate::screen::{Owner, Screen};

/// Returns the message of a change: the words of the page, and the warnings of the API.
fn message(words: String, changed: &Changed) -> String {
    std::iter::once(words).chain(changed.warnings.iter().cloned()).collect::<Vec<_>>().join(" ")
}

fn place(source: &str) -> String {
    format!("/aliases/{}", segment(source))
}

#[derive(Debug, Deserialize)]
pub(super) struct EnableForm {
    enabled: bool,
    #[serde(default)]
    back: String,
}

pub(super) async fn enable(screen: Screen, Path(source): Path<String>, Form(form): Form<EnableForm>) -> Result<Response, Problem> {
    let to = format!("{}/enabled", place(&source));
    let changed: Changed = screen.api.send(Method::PATCH, &place(&source), &Enable { enabled: form.enabled }).await?;
    let key = if form.enabled { "aliases-is-on" } else { "aliases-is-off" };
    let words = message(screen.text.with(key, [("address", source.clone().into())]), &changed);
    let back = if form.back.starts_with("/aliases") { form.back } else { place(&source) };
    let other = if form.enabled { "false" } else { "true" };
    Ok(Done::new(back.clone(), words).undo(screen.text, to, &[("enabled", other), ("back", &back)]).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct OptionsForm {
    note: Option<String>,
    strict_domain: Option<String>,
    /// Senders with spaces between them.
    blocked: Option<String>,
    allowed: Option<String>,
}

/// Sets the options that the form has; an empty one is unset.
pub(super) async fn options(screen: Screen, Path(source): Path<String>, Form(form): Form<OptionsForm>) -> Result<Response, Problem> {
    let fields = [("note", form.note), ("strict_domain", form.strict_domain)];
    let value = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty()).map_or(Value::Null, Value::String);
    let list = |text: String| match addresses(&text) {
        senders if senders.is_empty() => Value::Null,
        senders => json!(senders),
    };
    let lists = [("blocked", form.blocked), ("allowed", form.allowed)];
    let lists = lists.into_iter().filter_map(|(name, text)| Some((name.to_owned(), list(text?))));
    let texts = fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), value(text?))));
    let patch: Map<String, Value> = texts.chain(lists).collect();
    let changed: Changed = screen.api.send(Method::PATCH, &format!("{}/options", place(&source)), &patch).await?;
    Ok(Done::new(place(&source), message(screen.text.say("saved").into_owned(), &changed)).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct TargetsForm {
    targets: String,
    #[serde(default)]
    sure: String,
}

pub(super) async fn targets(Owner(screen): Owner, Path(source): Path<String>, Form(form): Form<TargetsForm>) -> Result<Response, Problem> {
    let targets = addresses(&form.targets);
    if form.sure.is_empty() {
        let doubts = doubts(&screen, &targets).await;
        if !doubts.is_empty() {
            return one::render(&screen, &source, Some((&form.targets, &doubts))).await;
        }
    }
    let before = one::find(&screen, &source).await?;
    let new = NewAlias { source: source.clone(), targets, replace: true };
    let changed: Changed = screen.api.send(Method::POST, "/aliases", &new).await?;
    if !before.enabled {
        let _: Changed = screen.api.send(Method::PATCH, &place(&source), &Enable { enabled: false }).await?;
    }
    let words = message(screen.text.with("aliases-moved", [("address", source.clone().into())]), &changed);
    let old = before.targets.join(" ");
    let undo = [("targets", old.as_str()), ("sure", "yes")];
    Ok(Done::new(place(&source), words).undo(screen.text, format!("{}/targets", place(&source)), &undo).into_response())
}

pub(super) async fn remove(Owner(screen): Owner, Path(source): Path<String>) -> Result<Response, Problem> {
    let alias = one::find(&screen, &source).await?;
    let changed: Changed = screen.api.delete(&place(&source)).await?;
    let words = message(screen.text.with("aliases-removed", [("address", alias.source.clone().into())]), &changed);
    let stored = RestoreForm::of(&alias);
    let fields = [
        ("source", stored.source.as_str()),
        ("targets", stored.targets.as_str()),
        ("options", stored.options.as_str()),
        ("enabled", if stored.enabled { "true" } else { "false" }),
    ];
    Ok(Done::new("/aliases", words).undo(screen.text, "/aliases/restore", &fields).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct RestoreForm {
    source: String,
    targets: String,
    /// As JSON.
    options: String,
    enabled: bool,
}

impl RestoreForm {
    fn of(alias: &AliasView) -> Self {
        let targets = alias.targets.join(" ");
        Self { source: alias.source.clone(), targets, options: alias.options.to_string(), enabled: alias.enabled }
    }
}

/// Puts a removed alias back.
pub(super) async fn restore(Owner(screen): Owner, Form(form): Form<RestoreForm>) -> Result<Response, Problem> {
    let new = NewAlias { source: form.source.clone(), targets: addresses(&form.targets), replace: false };
    let _: Changed = screen.api.send(Method::POST, "/aliases", &new).await?;
    let options: Value = serde_json::from_str(&form.options).unwrap_or_else(|_| json!({}));
    if options.as_object().is_some_and(|options| !options.is_empty()) {
        let _: Changed = screen.api.send(Method::PATCH, &format!("{}/options", place(&form.source)), &options).await?;
    }
    if !form.enabled {
        let _: Changed = screen.api.send(Method::PATCH, &place(&form.source), &Enable { enabled: false }).await?;
    }
    Ok(Done::new(place(&form.source), screen.text.with("aliases-restored", [("address", form.source.into())])).into_response())
}
