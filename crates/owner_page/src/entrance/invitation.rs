//! `/invitation/TOKEN`: an invited person chooses a password, and reads what to enter into the mail program.
//!
//! RFC 8314 s.3.3. Invariants: the invitation is used up only by a password that was set; a generated password is shown once.

use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::{Extension, Form};
use control_api::api::{Login, NewPassword};
use door::LinkPurpose;
use maud::{Markup, html};
use serde::Deserialize;

use super::{Entrance, error, page, unavailable};
use crate::api::{Api, Problem, segment};
use crate::components::{Mark, address, card, facts, mono, notice};
use crate::outcome::problem_notice;
use crate::screen::Frame;
use crate::visitor::Visitor;

/// The name of the password that an invitation sets.
const PASSWORD_NAME: &str = "first";

#[derive(Deserialize)]
pub(super) struct InvitationForm {
    #[serde(default)]
    password: String,
    #[serde(default)]
    again: String,
    #[serde(default)]
    generate: String,
}

pub(super) async fn show(frame: Frame, Extension(entrance): Extension<Entrance>, Path(token): Path<String>) -> Result<Response, Problem> {
    match entrance.door.link(&token, LinkPurpose::Invitation).await.map_err(unavailable)? {
        Some(link) => Ok(page(&frame, StatusCode::OK, "invitation-title", form(&frame, &token, &link.login, None))),
        None => Ok(ended(&frame)),
    }
}

fn ended(frame: &Frame) -> Response {
    page(
        frame,
        StatusCode::NOT_FOUND,
        "invitation-title",
        html! { (error(frame, "invitation-ended")) p { (frame.text.say("invitation-new")) } },
    )
}

fn form(frame: &Frame, token: &str, login: &str, wrong: Option<Markup>) -> Markup {
    let text = frame.text;
    let to = format!("/invitation/{token}");
    html! {
        @if let Some(wrong) = wrong { (wrong) }
        p { (text.rich("invitation-who", [("login", address(login))], [])) }
        form.card.entrance method="post" action=(to) {
            h2 { (text.say("invitation-choose")) }
            input type="text" name="username" value=(login) autocomplete="username" readonly hidden;
            div.field {
                label for="password" { (text.say("login-password")) }
                input id="password" name="password" type="password" required minlength="8" autocomplete="new-password" aria-describedby="password-hint";
                p.hint id="password-hint" { (text.say("invitation-password-hint")) }
            }
            div.field {
                label for="again" { (text.say("invitation-again")) }
                input id="again" name="again" type="password" required autocomplete="new-password";
            }
            button.primary type="submit" { (text.say("invitation-set")) }
        }
        form.card.entrance method="post" action=(to) {
            h2 { (text.say("invitation-or")) }
            p { (text.say("invitation-generate-hint")) }
            button type="submit" name="generate" value="yes" { (text.say("invitation-generate")) }
        }
    }
}

pub(super) async fn set(
    frame: Frame,
    Extension(entrance): Extension<Entrance>,
    Path(token): Path<String>,
    Form(sent): Form<InvitationForm>,
) -> Result<Response, Problem> {
    let Some(link) = entrance.door.link(&token, LinkPurpose::Invitation).await.map_err(unavailable)? else { return Ok(ended(&frame)) };
    let again = |status, wrong: Markup| Ok(page(&frame, status, "invitation-title", form(&frame, &token, &link.login, Some(wrong))));
    let is_generated = !sent.generate.is_empty();
    if !is_generated && sent.password != sent.again {
        return again(StatusCode::UNPROCESSABLE_ENTITY, error(&frame, "invitation-differ"));
    }
    let visitor = Visitor { login: link.login.clone(), is_owner: false, language: None, csrf: String::new() };
    // Taken first, so that it sets one password only, and given back if the password is refused.
    if entrance.door.take_link(&token, LinkPurpose::Invitation).await.map_err(unavailable)?.is_none() {
        return Ok(ended(&frame));
    }
    let new = NewPassword { password: (!is_generated).then_some(sent.password), name: Some(PASSWORD_NAME.into()) };
    let path = format!("/accounts/{}/passwords", segment(&link.login));
    match Api::new(entrance.api.clone(), &visitor).send::<Login>(Method::POST, &path, &new).await {
        Ok(login) => Ok(page(&frame, StatusCode::OK, "invitation-done", done(&frame, &entrance, &login))),
        Err(problem) => {
            entrance.door.give_back(link.clone()).await.map_err(unavailable)?;
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            again(status, problem_notice(&problem))
        }
    }
}

fn done(frame: &Frame, entrance: &Entrance, login: &Login) -> Markup {
    let text = frame.text;
    let pair = |key: &str, value: Markup| (html! { (text.say(key)) }, value);
    let mut rows = vec![pair("login-address", mono(&login.login))];
    match &login.password {
        Some(password) => {
            rows.push(pair("login-password", html! { strong { (mono(password)) } " " span.quiet { (text.say("invitation-once")) } }))
        }
        None => rows.push(pair("login-password", html! { (text.say("invitation-yours")) })),
    }
    rows.push(pair("invitation-server", mono(&frame.hostname)));
    for (port, is_implicit) in &entrance.submission {
        let key = if *is_implicit { "invitation-port-tls" } else { "invitation-port-starttls" };
        rows.push(pair("invitation-port", html! { (text.with(key, [("port", port.to_string().into())])) }));
    }
    html! {
        (notice(Mark::Good, html! { p { (text.say("invitation-works")) } }))
        (card(text.say("invitation-program"), html! { p { (text.say("invitation-program-hint")) } (facts(&rows)) }))
        p { a href="/login" { (text.say("invitation-page")) } }
    }
}
