//! `/account`: the visitor's own login: sessions, second step, passkeys.
//!
//! Invariant: a visitor sees and ends only sessions of the own login.

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use door::{Guest, SecondStepView, SessionView};
use mail::Mailbox;
use maud::{Markup, html};
use serde::Deserialize;

use super::browser_name::browser_name;
use super::passkeys::{own_card, site};
use super::{Entrance, unavailable};
use crate::api::Problem;
use crate::components::{Column, Mark, action, badge, card, cut, mono, table};
use crate::layout::Item;
use crate::moment::relative;
use crate::outcome::Done;
use crate::screen::Screen;

#[derive(Deserialize)]
pub(super) struct EndForm {
    #[serde(default)]
    session: String,
}

pub(super) async fn show(
    screen: Screen,
    Extension(entrance): Extension<Entrance>,
    Extension(guest): Extension<Guest>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let text = screen.text;
    let sessions = entrance.door.sessions(Some(&guest.login));
    // The operator without an account has neither.
    let login = Mailbox::parse(&guest.login).ok();
    let steps = match &login {
        Some(login) => entrance.door.second_step(login).await.map_err(unavailable)?,
        None => None,
    };
    let (passkeys, site) = (steps.as_ref().map(|steps| steps.passkeys.as_slice()).unwrap_or_default(), site(&headers));
    let content = html! {
        @if let Some(login) = &login {
            (card(text.say("account-second-step"), second_step_card(&screen, steps.as_ref())))
            (card(text.say("passkey-title"), own_card(&screen, &entrance, login, site.as_ref(), passkeys, guest.is_fresh)))
        }
        (card(text.say("account-sessions"), sessions_card(&screen, &sessions, &guest)))
    };
    Ok(screen.page(Item::None, &text.say("account-title"), content))
}

fn second_step_card(screen: &Screen, steps: Option<&SecondStepView>) -> Markup {
    let text = screen.text;
    html! {
        @if let Some(steps) = steps {
            p { (badge(Mark::Good, text.say("account-on"))) " " (text.with("account-recovery-left", [("n", steps.recovery.into())])) }
        }
        @match steps.map(|steps| steps.has_app) {
            Some(true) => {
                form method="post" action="/account/second-step/remove" {
                    (screen.token())
                    div.field {
                        label for="code" { (text.say("code-code")) }
                        input.mono id="code" name="code" type="text" inputmode="numeric" required autocomplete="one-time-code" autocapitalize="none" spellcheck="false";
                    }
                    button.danger type="submit" { (text.say("account-remove")) }
                }
            }
            others => {
                p { (text.say(if others.is_none() { "account-off" } else { "account-no-app" })) }
                a.button href="/account/second-step" { (text.say("account-set-up")) }
            }
        }
    }
}

fn sessions_card(screen: &Screen, sessions: &[SessionView], guest: &Guest) -> Markup {
    let text = screen.text;
    let columns = [
        Column::new(text.say("account-browser"), "lead"),
        Column::new(text.say("account-address"), ""),
        Column::new(text.say("account-used"), ""),
        Column::new(text.say("account-end"), "act"),
    ];
    let own = guest.session_name();
    let rows = sessions.iter().map(|session| {
        let end = if session.id == own {
            badge(Mark::Plain, text.say("account-this"))
        } else {
            action(screen, "/account/sessions/end", &text.say("account-end"), "small", &[("session", &session.id)])
        };
        vec![
            html! { span title=(session.browser) { (cut(&browser_name(&session.browser), 60)) } },
            mono(&session.client),
            relative(text, session.used_ms, screen.now_ms),
            end,
        ]
    });
    html! {
        (table(&text.say("account-sessions"), &columns, rows))
        @if sessions.len() > 1 { (action(screen, "/account/sessions/end", &text.say("account-end-others"), "", &[])) }
    }
}

pub(super) async fn end(
    screen: Screen,
    Extension(entrance): Extension<Entrance>,
    Extension(guest): Extension<Guest>,
    Form(sent): Form<EndForm>,
) -> Response {
    let name = Some(sent.session.as_str()).filter(|name| !name.is_empty());
    let ended = entrance.door.end(Some(&guest.login), name, Some(guest.session)).await;
    entrance.door.record_change(&guest.login, "login", &format!("ended {ended} sessions of {}", guest.login));
    Done::new("/account", screen.text.with("account-ended", [("n", ended.into())])).into_response()
}
