//! `/login/code`: the second step of a login.
//!
//! RFC 6238 s.5.2. Invariant: a wrong code counts as a failed login of the account and the client.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use door::CodeRefused;
use mail::Mailbox;
use maud::{Markup, html};
use mta::LoginRefused;
use serde::Deserialize;

use super::login::refusal;
use super::passkeys::{PasskeyStep, get_form, site};
use super::{Admitted, Entrance, error, page, session_cookie, unavailable};
use crate::api::Problem;
use crate::screen::Frame;

#[derive(Deserialize)]
pub(super) struct CodeForm {
    code: String,
}

/// Returns the cookie of a login that waits, and the login.
pub(super) fn waiting(entrance: &Entrance, frame: &Frame, headers: &HeaderMap) -> Option<(String, Admitted)> {
    let token = session_cookie::value(headers, session_cookie::CODE)?;
    let admitted = entrance.pending.get(&token, frame.now_ms)?;
    Some((token, admitted))
}

fn start_again() -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/login")]).into_response()
}

pub(super) async fn show(frame: Frame, Extension(entrance): Extension<Entrance>, headers: HeaderMap) -> Result<Response, Problem> {
    let Some((_, admitted)) = waiting(&entrance, &frame, &headers) else { return Ok(start_again()) };
    let login = Mailbox::parse(&admitted.login).map_err(unavailable)?;
    let passkeys = entrance.door.passkeys(&login).await.map_err(unavailable)?;
    let passkey = site(&headers)
        .filter(|_| !passkeys.is_empty())
        .map(|site| get_form(&frame, &entrance, &site, PasskeyStep::Second(&login, passkeys.as_slice()), ""));
    let content = html! { @if let Some(passkey) = passkey { (passkey) } (form(&frame, None)) };
    Ok(page(&frame, StatusCode::OK, "code-title", content))
}

fn form(frame: &Frame, wrong: Option<&str>) -> Markup {
    let text = frame.text;
    html! {
        @if let Some(wrong) = wrong { (error(frame, wrong)) }
        form.card.entrance method="post" action="/login/code" {
            div.field {
                label for="code" { (text.say("code-code")) }
                input.mono id="code" name="code" type="text" inputmode="numeric" required autofocus autocomplete="one-time-code"
                    autocapitalize="none" spellcheck="false" aria-describedby="code-hint";
                p.hint id="code-hint" { (text.say("code-hint")) }
            }
            button.primary type="submit" { (text.say("login-submit")) }
        }
        p.quiet { (text.rich("code-lost", [("command", html! { code { "waypost web second-step --remove" } })], [])) }
    }
}

pub(super) async fn check(
    frame: Frame,
    Extension(entrance): Extension<Entrance>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(sent): Form<CodeForm>,
) -> Result<Response, Problem> {
    let Some((token, admitted)) = waiting(&entrance, &frame, &headers) else { return Ok(start_again()) };
    let login = Mailbox::parse(&admitted.login).map_err(unavailable)?;
    let again = |refused| Ok(refusal(&frame, refused, |key| form(&frame, Some(if key == "login-wrong" { "code-wrong" } else { key }))));
    if let Err(refused) = entrance.logins.count_guess(client.ip(), &admitted.login) {
        return again(refused);
    }
    match entrance.door.check_code(&login, &sent.code).await {
        Ok(()) => {}
        Err(CodeRefused::Wrong) => {
            entrance.logins.log_wrong_code(client.ip(), &admitted.login);
            return again(LoginRefused::Wrong);
        }
        Err(CodeRefused::TooMany) => return again(LoginRefused::TooMany),
        Err(CodeRefused::Store(error)) => return Err(unavailable(error)),
    }
    entrance.logins.excuse(client.ip(), &admitted.login);
    entrance.pending.remove(&token);
    let how = if admitted.how == "password" { "password and code" } else { "link and code" };
    entrance.admit(Admitted { how, ..admitted }, client.ip(), &headers).await
}
