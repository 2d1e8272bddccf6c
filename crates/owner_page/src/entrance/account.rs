//! `/account`: the visitor's own login: sessions and second step.
//!
//! Invariant: a visitor sees and ends only sessions of the own login.

use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use door::{Guest, SessionView};
use mail::Mailbox;
use maud::{Markup, html};
use serde::Deserialize;

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
) -> Result<Response, Problem> {
    let text = screen.text;
    let sessions = entrance.door.sessions(Some(&guest.login));
    let second_step = match Mailbox::parse(&guest.login) {
        Ok(login) => Some(entrance.door.second_step(&login).await.map_err(unavailable)?),
        Err(_) => None,
    };
    let content = html! {
        @if let Some(left) = second_step { (card(text.say("account-second-step"), second_step_card(&screen, left))) }
        (card(text.say("account-sessions"), sessions_card(&screen, &sessions, &guest)))
    };
    Ok(screen.page(Item::None, &text.say("account-title"), content))
}

fn second_step_card(screen: &Screen, left: Option<usize>) -> Markup {
    let text = screen.text;
    html! {
        @match left {
            Some(left) => {
                p { (badge(Mark::Good, text.say("account-on"))) " " (text.with("account-recovery-left", [("n", left.into())])) }
                form method="post" action="/account/second-step/remove" {
                    (screen.token())
                    div.field {
                        label for="code" { (text.say("code-code")) }
                        input.mono id="code" name="code" type="text" inputmode="numeric" required autocomplete="one-time-code" autocapitalize="none" spellcheck="false";
                    }
                    button.danger type="submit" { (text.say("account-remove")) }
                }
            }
            None => {
                p { (text.say("account-off")) }
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
        Column::new(text.say("account-end"), ""),
    ];
    let own = guest.session_name();
    let rows = sessions.iter().map(|session| {
        let end = if session.id == own {
            badge(Mark::Plain, text.say("account-this"))
        } else {
            action(screen, "/account/sessions/end", &text.say("account-end"), "small", &[("session", &session.id)])
        };
        vec![cut(&session.browser, 60), mono(&session.client), relative(text, session.used_ms, screen.now_ms), end]
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
