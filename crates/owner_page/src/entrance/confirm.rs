//! `/account/confirm`: a visitor proves again who they are, before a change of who gets in.
//!
//! OWASP ASVS 3.7.1. Invariants: the proof is as strong as the login: a passkey, or a password and, where there is a second step, a code; a wrong one counts as
//! a failed login.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Query};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use door::{CodeRefused, Guest, PasskeyPurpose};
use mail::Mailbox;
use maud::{Markup, html};
use mta::LoginRefused;
use serde::Deserialize;

use super::login::{INPUT_MAX_BYTES, Wanted, refusal};
use super::passkeys::{PasskeyAnswerForm, PasskeyStep, TriedPasskey, get_form, refuse, site};
use super::{Entrance, error, local, unavailable};
use crate::api::Problem;
use crate::components::{card, hidden};
use crate::layout::Item;
use crate::screen::Screen;

#[derive(Deserialize)]
pub(super) struct ConfirmForm {
    password: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn show(
    screen: Screen,
    Extension(entrance): Extension<Entrance>,
    Extension(guest): Extension<Guest>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    if guest.is_fresh {
        return Ok(to(&wanted.next));
    }
    let title = screen.text.say("confirm-title");
    let Ok(login) = Mailbox::parse(&guest.login) else {
        return Ok(screen.page(Item::None, &title, operator(&screen)));
    };
    let steps = entrance.door.second_step(&login).await.map_err(unavailable)?;
    let passkeys = steps.as_ref().map(|steps| steps.passkeys.as_slice()).unwrap_or_default();
    let passkey = site(&headers).filter(|_| !passkeys.is_empty()).map(|site| {
        let step = PasskeyStep::Confirm(&screen, &login, passkeys);
        get_form(&screen.frame, &entrance, &site, step, &local(&wanted.next))
    });
    let content = html! {
        @if let Some(passkey) = passkey { (passkey) }
        (form(&screen, &guest.login, &wanted.next, steps.is_some()))
    };
    Ok(screen.page(Item::None, &title, content))
}

fn to(next: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, local(next))]).into_response()
}

/// The operator without an account has come by a link, and gets a new one.
fn operator(screen: &Screen) -> Markup {
    let command = html! { code { "waypost web login-link" } };
    html! { p { (screen.text.rich("confirm-operator", [("command", command)], [])) } }
}

fn form(screen: &Screen, login: &str, next: &str, has_second_step: bool) -> Markup {
    let text = screen.text;
    let fields = html! {
        p { (text.say("confirm-why")) }
        form method="post" action="/account/confirm" {
            (screen.token())
            (hidden("next", &local(next)))
            // For the browser's password manager, which fills the password of this name.
            input type="hidden" name="login" value=(login) autocomplete="username";
            div.field {
                label for="password" { (text.say("login-password")) }
                input id="password" name="password" type="password" required autofocus autocomplete="current-password";
            }
            @if has_second_step {
                div.field {
                    label for="code" { (text.say("code-code")) }
                    input.mono id="code" name="code" type="text" inputmode="numeric" required autocomplete="one-time-code" autocapitalize="none"
                        spellcheck="false" aria-describedby="code-hint";
                    p.hint id="code-hint" { (text.say("code-hint")) }
                }
            }
            button.primary type="submit" { (text.say("confirm-submit")) }
        }
    };
    card(text.say("confirm-title"), fields)
}

pub(super) async fn by_password(
    screen: Screen,
    Extension(entrance): Extension<Entrance>,
    Extension(guest): Extension<Guest>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Form(sent): Form<ConfirmForm>,
) -> Result<Response, Problem> {
    let Ok(login) = Mailbox::parse(&guest.login) else {
        return Ok(screen.page(Item::None, &screen.text.say("confirm-title"), operator(&screen)));
    };
    let has_second_step = entrance.door.second_step(&login).await.map_err(unavailable)?.is_some();
    let again = |refused, wrong: &str| -> Result<Response, Problem> {
        let content = |key: &str| {
            let key = if key == "login-wrong" { wrong } else { key };
            html! { (error(&screen.frame, key)) (form(&screen, &guest.login, &sent.next, has_second_step)) }
        };
        Ok(refusal(&screen.frame, refused, content))
    };
    let is_sound = sent.password.len() <= INPUT_MAX_BYTES && !sent.password.contains('\0');
    let checked = if is_sound { entrance.logins.check(client.ip(), &guest.login, &sent.password).await } else { Err(LoginRefused::Wrong) };
    if let Err(refused) = checked {
        return again(refused, "confirm-wrong");
    }
    if has_second_step {
        if let Err(refused) = entrance.logins.count_guess(client.ip(), &guest.login) {
            return again(refused, "code-wrong");
        }
        match entrance.door.check_code(&login, &sent.code).await {
            Ok(()) => entrance.logins.excuse(client.ip(), &guest.login),
            Err(CodeRefused::Wrong) => {
                entrance.logins.log_wrong_code(client.ip(), &guest.login);
                return again(LoginRefused::Wrong, "code-wrong");
            }
            Err(CodeRefused::TooMany) => return again(LoginRefused::TooMany, "code-wrong"),
            Err(CodeRefused::Store(error)) => return Err(unavailable(error)),
        }
    }
    entrance.door.confirm(guest.session);
    Ok(to(&sent.next))
}

pub(super) async fn by_passkey(
    screen: Screen,
    Extension(entrance): Extension<Entrance>,
    Extension(guest): Extension<Guest>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(sent): Form<PasskeyAnswerForm>,
) -> Result<Response, Problem> {
    let (Ok(login), Some(site)) = (Mailbox::parse(&guest.login), site(&headers)) else { return Ok(to("/account/confirm")) };
    let back = || html! { p { a.button href="/account/confirm" { (screen.text.say("passkey-again")) } } };
    if let Err(refused) = entrance.logins.count_guess(client.ip(), &guest.login) {
        return Ok(refusal(&screen.frame, refused, |key| html! { (error(&screen.frame, key)) (back()) }));
    }
    if let Err(refused) = entrance.door.use_passkey(PasskeyPurpose::Second(&login), &site, sent.answer()).await {
        return refuse(
            &screen.frame,
            &entrance,
            TriedPasskey { client: client.ip(), login: &guest.login, back: "/account/confirm" },
            refused,
        );
    }
    entrance.logins.excuse(client.ip(), &guest.login);
    entrance.door.confirm(guest.session);
    Ok(to(&sent.next))
}
