//! Gmail's form "Send mail as", with the values of this server, and the code that Gmail sends, as it arrives.
//!
//! Invariant: the values are those that the server takes; a link from the message is not made one here.

use axum::extract::Query;
use axum::response::{Html, IntoResponse, Response};
use control_api::api::{ConfirmationView, SendAsView};
use maud::{Markup, html};

use super::SetupQuery;
use crate::api::{Problem, segment, with_query};
use crate::components::{Mark, copyable, facts, notice};
use crate::moment::relative;
use crate::screen::{Owner, Screen};

/// How often an open page looks for the code.
const AGAIN: &str = "every 5s";

pub(super) async fn show(screen: &Screen, domain: &str, address: Option<&str>) -> Markup {
    let text = screen.text;
    let form = match address {
        Some(address) => screen.api.get::<SendAsView>(&with_query("/send-as", &[("address", Some(address))])).await.ok(),
        None => None,
    };
    html! {
        p { (text.say("setup-gmail-words")) }
        form.search method="get" action="/setup#gmail" {
            input type="hidden" name="domain" value=(domain);
            label.unseen for="gmail-address" { (text.say("aliases-address")) }
            input id="gmail-address" name="address" type="text" inputmode="email" value=[address] placeholder={ "me@" (domain) } autocapitalize="none" spellcheck="false";
            button type="submit" { (text.say("setup-gmail-show")) }
        }
        @if let Some(form) = form { (values(screen, &form)) (code(screen, &form.address).await) }
    }
}

fn values(screen: &Screen, form: &SendAsView) -> Markup {
    let text = screen.text;
    let row = |key: &str, value: Markup| (html! { (text.say(key)) }, value);
    let password = html! {
        (text.say("setup-gmail-password-words"))
        @if let Some(login) = &form.user_name { " " a href={ "/people/" (segment(login)) } { (text.say("setup-gmail-password-new")) } }
    };
    html! {
        @for problem in &form.problems { (notice(Mark::Wait, html! { p { (problem) } })) }
        p.quiet { (text.say("setup-gmail-path")) }
        (facts(&[
            row("setup-gmail-address", copyable(screen, &form.address)),
            row("setup-gmail-server", copyable(screen, &form.smtp_server)),
            row("setup-gmail-port", html! { @if let Some(port) = form.port { (port) ", " (form.secured_connection) } @else { "-" } }),
            row("setup-gmail-user", html! { @if let Some(login) = &form.user_name { (copyable(screen, login)) } @else { "-" } }),
            row("setup-gmail-password", password),
        ]))
    }
}

/// Returns the code, or that it has not come; the page asks again until it has.
async fn code(screen: &Screen, address: &str) -> Markup {
    let text = screen.text;
    let found: Vec<ConfirmationView> =
        screen.api.get(&with_query("/confirmations", &[("address", Some(address))])).await.unwrap_or_default();
    let last = found.iter().max_by_key(|confirmation| confirmation.at_ms);
    let part = with_query("/setup/gmail", &[("address", Some(address))]);
    html! {
        div id="gmail-code" hx-get=(part) hx-trigger=[last.is_none().then_some(AGAIN)] hx-swap="outerHTML" {
            @match last {
                Some(last) => (notice(Mark::Good, html! {
                    p { (text.rich("setup-gmail-came", [("when", relative(text, last.at_ms, screen.now_ms))], [])) }
                    @if let Some(code) = &last.code { p { (copyable(screen, code)) } }
                    @if let Some(link) = &last.link { p { (copyable(screen, link)) } }
                })),
                None => p.quiet { (text.say("setup-gmail-waiting")) },
            }
        }
    }
}

/// Returns the code alone, for an open page.
pub(super) async fn part(Owner(screen): Owner, Query(query): Query<SetupQuery>) -> Result<Response, Problem> {
    Ok(Html(code(&screen, &query.address).await.into_string()).into_response())
}
