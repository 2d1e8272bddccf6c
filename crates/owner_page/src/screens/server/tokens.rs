//! API tokens: for programs and password managers; made, shown once, removed.
//!
//! RFC 6750. Invariant: a token is in the one answer that made it, and never in a URL or cookie.

use axum::Form;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use control_api::api::{Changed, Page};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use crate::api::{Problem, segment};
use crate::components::{Column, Field, Mark, action, copyable, cut, empty, facts, field, notice, table};
use crate::layout::Item;
use crate::moment::{date, relative};
use crate::outcome::Done;
use crate::screen::{Owner, Screen};

/// The scopes to choose from, with the keys of their words; the first is chosen at first.
const SCOPES: [(&str, &str); 4] =
    [("aliases", "server-scope-aliases"), ("read", "server-scope-read"), ("queue", "server-scope-queue"), ("admin", "server-scope-admin")];

/// A token, without itself.
#[derive(Debug, Deserialize)]
struct Token {
    name: String,
    scopes: Vec<String>,
    #[serde(default)]
    domains: Vec<String>,
    made_ms: i64,
    until_ms: Option<i64>,
    used_ms: Option<i64>,
}

/// Returns the tokens, and the form that makes one.
pub(super) async fn show(screen: &Screen) -> Markup {
    let text = screen.text;
    let page: Page<Token> = match screen.api.get("/tokens?limit=200").await {
        Ok(page) => page,
        Err(problem) => return crate::outcome::problem_notice(&problem),
    };
    html! {
        p.quiet { (text.say("server-tokens-words")) }
        @if page.items.is_empty() { (empty(text.say("server-no-tokens"), html! {})) } @else { (rows(screen, &page.items)) }
        details {
            summary { (text.say("server-token-new")) }
            (form(screen))
        }
    }
}

fn rows(screen: &Screen, tokens: &[Token]) -> Markup {
    let text = screen.text;
    let columns = [
        Column::new(text.say("server-token-name"), "lead"),
        Column::new(text.say("server-token-scopes"), ""),
        Column::new(text.say("people-created"), "tight"),
        Column::new(text.say("people-used"), "tight"),
        Column::new(text.say("people-remove"), "act"),
    ];
    let row = |token: &Token| {
        vec![
            html! { (cut(&token.name, 60)) },
            html! {
                (token.scopes.join(", "))
                @if !token.domains.is_empty() { div.quiet { (cut(&token.domains.join(", "), 100)) } }
                @if let Some(until_ms) = token.until_ms { div.quiet { (text.rich("server-token-until", [("when", relative(text, until_ms, screen.now_ms))], [])) } }
            },
            html! { (date(text, token.made_ms)) },
            html! { @if let Some(at_ms) = token.used_ms { (relative(text, at_ms, screen.now_ms)) } @else { span.quiet { (text.say("people-unused")) } } },
            action(screen, "/server/tokens/remove", &text.say("people-remove"), "small danger", &[("name", &token.name)]),
        ]
    };
    table(&text.say("server-tokens"), &columns, tokens.iter().map(row))
}

fn form(screen: &Screen) -> Markup {
    let text = screen.text;
    let (label, hint) = (text.say("server-token-name"), text.say("server-token-hint"));
    html! {
        form method="post" action="/server/tokens" {
            (screen.token())
            (field(&Field { hint: Some(&hint), required: true, ..Field::text("name", &label) }))
            div.field {
                label for="scope" { (text.say("server-token-scopes")) }
                select id="scope" name="scope" { @for (scope, key) in SCOPES { option value=(scope) { (text.say(key)) } } }
            }
            button.primary type="submit" { (text.say("server-token-make")) }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct NewForm {
    name: String,
    scope: String,
}

/// A token that was made.
#[derive(Debug, Deserialize)]
struct Made {
    token: String,
    name: String,
}

/// Makes a token and shows it once.
pub(super) async fn make(Owner(screen): Owner, Form(form): Form<NewForm>) -> Result<Response, Problem> {
    let text = screen.text;
    // A visitor who came by the operator's link has no account.
    let login = Some(&screen.visitor.login).filter(|login| login.contains('@'));
    let new = json!({ "name": form.name.trim(), "scopes": [form.scope], "login": login });
    let made: Made = screen.api.send(Method::POST, "/tokens", &new).await?;
    let content = html! {
        (notice(Mark::Good, html! {
            p { (text.say("server-token-made")) }
            (facts(&[
                (html! { (text.say("server-token-name")) }, html! { (cut(&made.name, 60)) }),
                (html! { (text.say("server-token")) }, copyable(&screen, &made.token)),
            ]))
        }))
        a.button href="/server#tokens" { (text.say("people-done")) }
    };
    Ok(screen.page(Item::Server, &text.say("server-tokens"), content))
}

#[derive(Debug, Deserialize)]
pub(super) struct RemoveTokenForm {
    name: String,
}

pub(super) async fn remove(Owner(screen): Owner, Form(form): Form<RemoveTokenForm>) -> Result<Response, Problem> {
    let _: Changed = screen.api.delete(&format!("/tokens/{}", segment(&form.name))).await?;
    Ok(Done::new("/server#tokens", screen.text.with("server-token-removed", [("name", form.name.into())])).into_response())
}
