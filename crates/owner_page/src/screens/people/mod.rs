//! `/people`: who can send, from where; adding a person. Who is not an owner sees the own account only.
//!
//! Invariant: a password is in one answer only, that of the request which made it, and never in a URL or cookie.

mod change;
mod one;

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use control_api::api::{AccountView, DomainView, Login};
use maud::{Markup, html};

use crate::api::{Problem, segment};
use crate::components::{Column, Field, Mark, address, badge, copyable, cut, empty, facts, field, notice, table};
use crate::layout::Item;
use crate::listed;
use crate::moment::relative;
use crate::outcome::problem_notice;
use crate::screen::{PageState, Screen};

pub(crate) fn routes() -> Router<PageState> {
    Router::new()
        .route("/people", get(list).post(change::add))
        .route("/people/{login}", get(one::show))
        .route("/people/{login}/passwords", post(change::set_password))
        .route("/people/{login}/passwords/remove", post(change::remove_password))
        .route("/people/{login}/suspend", post(change::suspend))
        .route("/people/{login}/resume", post(change::resume))
        .route("/people/{login}/senders", post(change::senders))
        .route("/people/{login}/owner", post(change::owner))
        .route("/people/{login}/invitation", post(change::invite))
        .route("/people/{login}/remove", post(change::remove))
}

async fn list(screen: Screen) -> Result<Response, Problem> {
    if !screen.visitor.is_owner {
        return Ok(Redirect::to(&format!("/people/{}", segment(&screen.visitor.login))).into_response());
    }
    render(&screen, "", None).await
}

/// Shows the list; `typed` is in the form that adds a person, `problem` is wrong with it.
async fn render(screen: &Screen, typed: &str, problem: Option<&Problem>) -> Result<Response, Problem> {
    let text = screen.text;
    let accounts: Vec<AccountView> = listed::all(&screen.api, "/accounts").await?;
    let domains: Vec<DomainView> = listed::all(&screen.api, "/domains").await?;
    let suspended = accounts.iter().filter(|account| !is_active(account)).count();
    let content = html! {
        p.lead-sentence {
            (text.with("people-sentence", [("n", accounts.len().into())]))
            @if suspended > 0 { " " (text.with("people-sentence-suspended", [("n", suspended.into())])) }
        }
        (add_form(screen, &domains, typed, problem, accounts.is_empty()))
        @if accounts.is_empty() { (empty(text.say("people-none"), html! {})) } @else { (rows(screen, &accounts)) }
    };
    Ok(screen.page(Item::People, &text.say("nav-people"), content))
}

fn is_active(account: &AccountView) -> bool {
    account.enabled && account.suspended.is_none()
}

fn add_form(screen: &Screen, domains: &[DomainView], typed: &str, problem: Option<&Problem>, is_first: bool) -> Markup {
    let text = screen.text;
    let label = text.say("people-login");
    let example = domains.first().map_or_else(|| "example.com".to_owned(), |domain| domain.name.clone());
    let hint = text.with("people-login-hint", [("example", format!("ann@{example}").into())]);
    html! {
        details.card open[is_first || problem.is_some()] {
            summary { (text.say("people-add")) }
            @if let Some(problem) = problem { (problem_notice(problem)) }
            form method="post" action="/people" {
                (screen.token())
                (field(&Field { kind: "email", value: typed, hint: Some(&hint), required: true, ..Field::text("login", &label) }))
                div.actions {
                    button.primary type="submit" name="how" value="invite" { (text.say("people-invite")) }
                    button type="submit" name="how" value="password" { (text.say("people-add-password")) }
                }
                p.hint { (text.say("people-add-words")) }
            }
        }
    }
}

fn rows(screen: &Screen, accounts: &[AccountView]) -> Markup {
    let text = screen.text;
    let columns = [
        Column::new(text.say("people-login"), "lead"),
        Column::new(text.say("people-clients"), ""),
        Column::new(text.say("people-last"), "tight"),
        Column::new(text.say("aliases-state"), "tight"),
    ];
    let row = |account: &AccountView| {
        vec![
            html! { a href={ "/people/" (segment(&account.login)) } { (address(&account.login)) } },
            html! { (cut(&account.clients.join(", "), 80)) },
            html! { @if let Some(at_ms) = account.last_login_ms { (relative(text, at_ms, screen.now_ms)) } },
            html! { (state(screen, account)) @if account.owner { div.quiet { (text.say("people-owner")) } } },
        ]
    };
    table(&text.say("nav-people"), &columns, accounts.iter().map(row))
}

/// Returns whether the account may log in, as a word.
fn state(screen: &Screen, account: &AccountView) -> Markup {
    let text = screen.text;
    match is_active(account) {
        true => badge(Mark::Good, text.say("people-active")),
        false if account.suspended.is_some() => badge(Mark::Bad, text.say("people-suspended")),
        false => badge(Mark::Plain, text.say("people-disabled")),
    }
}

/// Returns login and password for the one time that the password is shown.
pub(super) fn shown_once(screen: &Screen, made: &Login) -> Markup {
    let text = screen.text;
    html! {
        (notice(Mark::Good, html! {
            p { (text.say("people-made")) }
            (facts(&[
                (html! { (text.say("people-login")) }, copyable(screen, &made.login)),
                (html! { (text.say("people-password")) }, html! { @if let Some(password) = &made.password { (copyable(screen, password)) } }),
            ]))
            p.hint { (text.say("people-made-words")) }
        }))
        @for warning in &made.warnings { (notice(Mark::Wait, html! { p { (warning) } })) }
    }
}
