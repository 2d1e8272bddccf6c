//! The entrance: the forms of the login, and the guard in front of all screens.
//!
//! OWASP ASVS 3, RFC 6265 (`__Host-`). Invariants: passwords are checked by `mta` alone; every answer but the forms, the assets and the
//! look needs a session; every change needs a form of this server.

mod access;
mod account;
mod browser_name;
mod code;
mod confirm;
mod guard;
mod invitation;
mod link;
mod login;
mod passkeys;
mod pending;
mod second_step;
mod session_cookie;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use door::{Door, NewSession};
use maud::Markup;
use mta::{LoginNetwork, PageLogins};

use crate::api::Problem;
use crate::components::Mark;
use crate::layout;
use crate::outcome::{host_cookie, is_own_path};
use crate::screen::{Frame, PageState};

pub(crate) use guard::{Guard, check};
use pending::PendingCodes;
use session_cookie::{CODE, SESSION};

/// How long a browser keeps the cookie of a session, in seconds.
const COOKIE_S: i64 = 30 * 86_400;

/// What the entrance is built from.
#[derive(Clone)]
pub struct Entrance {
    /// Sessions, links and second steps.
    pub door: Door,
    /// The check of passwords.
    pub logins: PageLogins,
    /// The routes of the API, for the first password of an invited person.
    pub api: Router,
    /// The submission ports shown for mail programs, the preferred one first: port, and whether TLS is implicit.
    pub submission: Vec<(u16, bool)>,
    /// Logins that wait for their second step.
    pub(crate) pending: Arc<PendingCodes>,
}

impl fmt::Debug for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entrance")
    }
}

impl Entrance {
    /// Makes the entrance.
    pub fn new(door: Door, logins: PageLogins, api: Router, submission: Vec<(u16, bool)>) -> Self {
        Self { door, logins, api, submission, pending: Arc::default() }
    }

    /// Begins the session of a visitor who is logged in, and leads to `next`.
    async fn admit(&self, admitted: Admitted, client: IpAddr, headers: &HeaderMap) -> Result<Response, Problem> {
        let browser = headers.get(USER_AGENT).and_then(|field| field.to_str().ok()).unwrap_or_default();
        let Admitted { login, password, how, network, next } = admitted;
        let new = NewSession { login: &login, password: password.as_deref(), client, browser };
        let token = self.door.begin(new).await.map_err(unavailable)?;
        self.door.record_login(if login.is_empty() { "operator" } else { &login }, client, how, network.news());
        let cookies =
            [(header::SET_COOKIE, host_cookie(SESSION, token, COOKIE_S)), (header::SET_COOKIE, host_cookie(CODE, String::new(), 0))];
        Ok((StatusCode::SEE_OTHER, [(header::LOCATION, local(&next))], AppendHeaders(cookies)).into_response())
    }
}

/// A visitor who has proven to be the user of an account.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    /// The login; empty for the operator.
    login: String,
    /// The name of the password.
    password: Option<String>,
    /// By what, for the history.
    how: &'static str,
    /// What was known of its network.
    network: LoginNetwork,
    /// Where to go then.
    next: String,
}

/// Returns the routes of the entrance.
pub(crate) fn routes() -> Router<PageState> {
    Router::new()
        .route("/login", get(login::show).post(login::log_in))
        .route("/login/code", get(code::show).post(code::check))
        .route("/login/code/passkey", post(passkeys::second))
        .route("/login/passkey", post(passkeys::log_in))
        .route("/login/link/{token}", get(link::show).post(link::open))
        .route("/logout", post(login::log_out))
        .route("/invitation/{token}", get(invitation::show).post(invitation::set))
        .route("/account", get(account::show))
        .route("/account/confirm", get(confirm::show).post(confirm::by_password))
        .route("/account/confirm/passkey", post(confirm::by_passkey))
        .route("/account/sessions/end", post(account::end))
        .route("/account/passkeys", post(passkeys::add))
        .route("/account/passkeys/remove", post(passkeys::remove))
        .route("/account/second-step", get(second_step::show).post(second_step::set_up))
        .route("/account/second-step/remove", post(second_step::remove))
}

/// Returns a path of this server that a form named, or `/` for anything else, and for the entrance itself.
fn local(next: &str) -> String {
    if is_own_path(next) && !next.starts_with("/login") { next.to_owned() } else { "/".to_owned() }
}

/// Shows a page without a visitor, with this status.
fn page(frame: &Frame, status: StatusCode, title_key: &str, content: Markup) -> Response {
    let title = frame.text.say(title_key);
    (status, layout::page(frame, None, &title, content)).into_response()
}

/// Shows what went wrong above a form.
fn error(frame: &Frame, key: &str) -> Markup {
    crate::components::notice(Mark::Bad, maud::html! { p { (frame.text.say(key)) } })
}

fn unavailable(error: impl fmt::Display) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_server_are_gone_to() {
        for next in ["/", "/mail?q=a%20b", "/aliases/me@example.test"] {
            assert_eq!(local(next), next);
        }
        for next in
            ["", "https://evil.test/", "//evil.test", "/\\evil.test", "/a\r\nSet-Cookie: x", "/login?next=/", "javascript:alert(1)", "/ä"]
        {
            assert_eq!(local(next), "/", "{next}");
        }
    }
}
