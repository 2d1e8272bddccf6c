//! `/login` and `/logout`.
//!
//! NIST SP 800-63B s.5.2.2 (limits on guesses). Invariant: every refusal of a name or password has the same words; beyond the limits the answer is 429
//! with Retry-After (threats.md 94).

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Query};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::{Extension, Form};
use door::{Door, Guest};
use mail::Mailbox;
use maud::{Markup, html};
use mta::LoginRefused;
use serde::Deserialize;

use super::passkeys::{PasskeyStep, get_form, site};
use super::session_cookie::{CODE, SESSION};
use super::{Admitted, Entrance, error, local, page, unavailable};
use crate::api::Problem;
use crate::components::hidden;
use crate::outcome::host_cookie;
use crate::screen::Frame;
use crate::visitor::Visitor;

/// Seconds until a guess is allowed again, at most.
const TOO_MANY_RETRY_S: &str = "600";

/// Seconds until a login is worth another try when too many wait.
const BUSY_RETRY_S: &str = "60";

/// Maximum length of a name or a password, in octets.
pub(super) const INPUT_MAX_BYTES: usize = 1024;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    pub next: String,
}

#[derive(Deserialize)]
pub(super) struct LoginForm {
    login: String,
    password: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn show(
    frame: Frame,
    Extension(entrance): Extension<Entrance>,
    visitor: Option<Extension<Visitor>>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Response {
    match visitor {
        Some(_) => (StatusCode::SEE_OTHER, [(header::LOCATION, local(&wanted.next))]).into_response(),
        None => {
            let passkey = site(&headers).map(|site| get_form(&frame, &entrance, &site, PasskeyStep::Login, &local(&wanted.next)));
            let content =
                html! { (password_form(&frame, "", &wanted.next)) @if let Some(passkey) = passkey { (passkey) } (first_time(&frame)) };
            page(&frame, StatusCode::OK, "login-title", content)
        }
    }
}

/// Shows the form again, with what was wrong.
fn form(frame: &Frame, login: &str, next: &str, wrong: &str) -> Markup {
    html! { (error(frame, wrong)) (password_form(frame, login, next)) (first_time(frame)) }
}

fn first_time(frame: &Frame) -> Markup {
    html! { p.quiet { (frame.text.rich("login-first", [("command", html! { code { "waypost web login-link" } })], [])) } }
}

fn password_form(frame: &Frame, login: &str, next: &str) -> Markup {
    let text = frame.text;
    html! {
        form.card.entrance method="post" action="/login" {
            (hidden("next", &local(next)))
            div.field {
                label for="login" { (text.say("login-address")) }
                input id="login" name="login" type="text" inputmode="email" value=(login) required autofocus[login.is_empty()] autocomplete="username"
                    autocapitalize="none" spellcheck="false";
            }
            div.field {
                label for="password" { (text.say("login-password")) }
                input id="password" name="password" type="password" required autofocus[!login.is_empty()] autocomplete="current-password"
                    aria-describedby="password-hint";
                p.hint id="password-hint" { (text.say("login-password-hint")) }
            }
            button.primary type="submit" { (text.say("login-submit")) }
        }
    }
}

pub(super) async fn log_in(
    frame: Frame,
    Extension(entrance): Extension<Entrance>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(sent): Form<LoginForm>,
) -> Result<Response, Problem> {
    let is_short = |text: &str| text.len() <= INPUT_MAX_BYTES && !text.contains('\0');
    let checked = match is_short(&sent.login) && is_short(&sent.password) {
        true => entrance.logins.check(client.ip(), sent.login.trim(), &sent.password).await,
        false => Err(LoginRefused::Wrong),
    };
    let found = match checked {
        Ok(found) => found,
        Err(refused) => return Ok(refusal(&frame, refused, |key| form(&frame, &sent.login, &sent.next, key))),
    };
    let admitted =
        Admitted { login: found.login, password: Some(found.credential), how: "password", network: found.network, next: sent.next };
    proceed(&entrance, &frame, admitted, client, &headers).await
}

/// Answers a refused login with the form.
pub(super) fn refusal(frame: &Frame, refused: LoginRefused, form: impl FnOnce(&str) -> Markup) -> Response {
    let (status, key, retry_s) = match refused {
        LoginRefused::Wrong => (StatusCode::FORBIDDEN, "login-wrong", None),
        LoginRefused::TooMany => (StatusCode::TOO_MANY_REQUESTS, "login-too-many", Some(TOO_MANY_RETRY_S)),
        LoginRefused::Busy => (StatusCode::SERVICE_UNAVAILABLE, "login-busy", Some(BUSY_RETRY_S)),
    };
    let mut response = page(frame, status, "login-title", form(key));
    if let Some(seconds) = retry_s {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(seconds));
    }
    response
}

/// Asks for the second step if the account has one; otherwise begins the session.
pub(super) async fn proceed(
    entrance: &Entrance,
    frame: &Frame,
    admitted: Admitted,
    client: SocketAddr,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    if !has_second_step(&entrance.door, &admitted.login).await? {
        return entrance.admit(admitted, client.ip(), headers).await;
    }
    let cookie = host_cookie(CODE, entrance.pending.put(admitted, frame.now_ms), 600);
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, "/login/code".to_owned()), (header::SET_COOKIE, cookie)]).into_response())
}

async fn has_second_step(door: &Door, login: &str) -> Result<bool, Problem> {
    let Ok(login) = Mailbox::parse(login) else { return Ok(false) };
    Ok(door.second_step(&login).await.map_err(unavailable)?.is_some())
}

pub(super) async fn log_out(Extension(entrance): Extension<Entrance>, Extension(guest): Extension<Guest>) -> Response {
    entrance.door.end_one(guest.session).await;
    let cookies = AppendHeaders([(header::SET_COOKIE, host_cookie(SESSION, String::new(), 0))]);
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/login")], cookies).into_response()
}
