//! A test message each way: one from elsewhere to an address here, one from here to where that address leads.
//!
//! Invariant: whether it arrived is read from the history, or asked of the one who looks into the mailbox.

use axum::Form;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use control_api::api::Taken;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::tick;
use crate::api::{Problem, segment, with_query};
use crate::components::{action, address as shown, copyable};
use crate::moment::relative;
use crate::outcome::Done;
use crate::screen::{Owner, Screen};
use crate::screens::aliases::use_of;

pub(super) async fn show(screen: &Screen, domain: &str, address: Option<&str>) -> Markup {
    let text = screen.text;
    let Some(address) = address else {
        return html! { p { (text.with("setup-no-alias", [("domain", domain.to_owned().into())])) } a.button href="/aliases" { (text.say("aliases-add")) } };
    };
    let last = use_of(&screen.api, address).await.and_then(|used| used.last);
    html! {
        h3 { (text.say("setup-in")) }
        p { (text.say("setup-in-words")) }
        p { (copyable(screen, address)) }
        p {
            @match last {
                Some(last) => (tick(Some(true), text.rich("setup-in-came", [("from", shown(&last.from)), ("when", relative(text, last.at_ms, screen.now_ms))], []))),
                None => (tick(None, html! { (text.say("setup-in-waiting")) })),
            }
            " " a href=(with_query("/mail", &[("q", Some(address))])) { (text.say("aliases-its-mail")) }
        }
        h3 { (text.say("setup-out")) }
        p { (text.rich("setup-out-words", [("address", shown(address))], [])) }
        (action(screen, "/setup/test", &text.say("setup-out-button"), "primary", &[("address", address)]))
    }
}

/// The address to send to.
#[derive(Debug, Deserialize)]
pub(super) struct TestForm {
    address: String,
}

/// Sends the message, then shows its timeline.
pub(super) async fn send(Owner(screen): Owner, Form(form): Form<TestForm>) -> Result<Response, Problem> {
    let taken: Taken = screen.api.send(Method::POST, "/test-message", &json!({ "to": form.address })).await?;
    let words = screen.text.with("setup-out-sent", [("address", form.address.into())]);
    Ok(Done::new(format!("/mail/{}", segment(&taken.id)), words).into_response())
}
