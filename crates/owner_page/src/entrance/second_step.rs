//! `/account/second-step`: sets up and removes the codes of an authenticator app.
//!
//! RFC 6238. Invariant: it takes a code to set it up, so that a mistake locks no owner out, and a code to remove it; the secret is shown only while it
//! is set up.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use door::{CodeRefused, Enrolment, Guest};
use mail::Mailbox;
use maud::{Markup, PreEscaped, html};
use qrcode::QrCode;
use qrcode::render::svg;
use serde::Deserialize;

use super::{Entrance, error, unavailable};
use crate::api::Problem;
use crate::components::{card, hidden, mono};
use crate::layout::Item;
use crate::outcome::Done;
use crate::screen::Screen;

#[derive(Deserialize)]
pub(super) struct SetupForm {
    sealed: String,
    code: String,
}

#[derive(Deserialize)]
pub(super) struct RemoveForm {
    code: String,
}

/// The operator without an account has no second step.
pub(super) fn login_of(screen: &Screen, guest: &Guest) -> Result<Mailbox, Problem> {
    Mailbox::parse(&guest.login).map_err(|_| Problem::new(StatusCode::NOT_FOUND, screen.text.say("entrance-not-there")))
}

pub(super) async fn show(
    screen: Screen,
    Extension(entrance): Extension<Entrance>,
    Extension(guest): Extension<Guest>,
) -> Result<Response, Problem> {
    let login = login_of(&screen, &guest)?;
    let made = entrance.door.begin_second_step(&login, &screen.frame.hostname);
    let text = screen.text;
    let content = html! {
        (card(text.say("second-step-scan"), html! {
            p { (text.say("second-step-scan-hint")) }
            @if let Some(picture) = picture(&made) { figure.qr role="img" aria-label=(text.say("second-step-picture")) { (picture) } }
            p { (text.say("second-step-secret")) " " (mono(&made.secret)) }
        }))
        (card(text.say("second-step-confirm"), code_form(&screen, &made.sealed)))
    };
    Ok(screen.page(Item::None, &text.say("second-step-title"), content))
}

fn code_form(screen: &Screen, sealed: &str) -> Markup {
    let text = screen.text;
    html! {
        form method="post" action="/account/second-step" {
            (screen.token())
            (hidden("sealed", sealed))
            div.field {
                label for="code" { (text.say("code-code")) }
                input.mono id="code" name="code" type="text" inputmode="numeric" required autocomplete="one-time-code" autocapitalize="none" spellcheck="false";
            }
            button.primary type="submit" { (text.say("second-step-turn-on")) }
        }
    }
}

/// Returns the URL of a secret as a QR code.
fn picture(made: &Enrolment) -> Option<Markup> {
    let code = QrCode::new(made.url.as_bytes()).ok()?;
    let svg = code.render::<svg::Color<'_>>().min_dimensions(200, 200).build();
    // Without the declaration of a file of its own.
    svg.find("<svg").and_then(|start| svg.get(start..)).map(|svg| PreEscaped(svg.to_owned()))
}

pub(super) async fn set_up(
    screen: Screen,
    Extension(entrance): Extension<Entrance>,
    Extension(guest): Extension<Guest>,
    Form(sent): Form<SetupForm>,
) -> Result<Response, Problem> {
    let (login, text) = (login_of(&screen, &guest)?, screen.text);
    let codes = match entrance.door.finish_second_step(&login, &sent.sealed, &sent.code).await {
        Ok(codes) => codes,
        Err(refused) => {
            let (status, key) = refused_code(refused)?;
            let content = html! { (error(&screen.frame, key)) (card(text.say("second-step-confirm"), code_form(&screen, &sent.sealed))) };
            return Ok((status, screen.page(Item::None, &text.say("second-step-title"), content)).into_response());
        }
    };
    // Sessions that began without the second step end.
    entrance.door.end(Some(&guest.login), None, Some(guest.session)).await;
    let content = card(text.say("second-step-recovery"), recovery_card(&screen, &codes));
    Ok(screen.page(Item::None, &text.say("second-step-on"), content))
}

/// Shows recovery codes, this one time.
pub(super) fn recovery_card(screen: &Screen, codes: &[String]) -> Markup {
    let text = screen.text;
    html! {
        p { (text.say("second-step-recovery-hint")) }
        ul.codes { @for code in codes { li { (mono(code)) } } }
        a.button href="/account" { (text.say("second-step-done")) }
    }
}

fn refused_code(refused: CodeRefused) -> Result<(StatusCode, &'static str), Problem> {
    match refused {
        CodeRefused::Wrong => Ok((StatusCode::FORBIDDEN, "code-wrong")),
        CodeRefused::TooMany => Ok((StatusCode::TOO_MANY_REQUESTS, "login-too-many")),
        CodeRefused::Store(error) => Err(unavailable(error)),
    }
}

pub(super) async fn remove(
    screen: Screen,
    Extension(entrance): Extension<Entrance>,
    Extension(guest): Extension<Guest>,
    Form(sent): Form<RemoveForm>,
) -> Result<Response, Problem> {
    let (login, text) = (login_of(&screen, &guest)?, screen.text);
    if let Err(refused) = entrance.door.check_code(&login, &sent.code).await {
        let (status, key) = refused_code(refused)?;
        let content = html! { (error(&screen.frame, key)) p { a href="/account" { (text.say("account-title")) } } };
        return Ok((status, screen.page(Item::None, &text.say("account-second-step"), content)).into_response());
    }
    entrance.door.turn_off_app(&login).await.map_err(unavailable)?;
    Ok(Done::new("/account", text.say("second-step-removed")).into_response())
}
