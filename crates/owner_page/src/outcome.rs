//! What follows an action: a redirection with a message (RFC 9110 s.15.4.4), or a problem as a screen.
//!
//! Invariants: the message is in a cookie that only this server sets, so that no link of others puts words into the page; a problem says what
//! happened and what to do.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderName, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{AppendHeaders, IntoResponse, Response};
use cookie::{Cookie, SameSite};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use crate::api::Problem;
use crate::catalogue::Text;
use crate::components::{Mark, cut, notice};
use crate::layout::{self, Item};
use crate::screen::{Frame, PageState, Screen};

/// Maximum length of a message after an action, in characters.
const MESSAGE_CHARS: usize = 200;

/// Maximum length of the cookie with its attributes, in octets: browsers drop longer ones (RFC 6265 s.6.1).
const COOKIE_MAX_BYTES: usize = 4000;

/// What the last action did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flash {
    /// The message.
    #[serde(rename = "m")]
    pub message: String,
    /// How to take it back: label, path, hidden fields.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
}

/// A form that takes an action back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Undo {
    /// The label of its button.
    pub label: String,
    /// Where it is posted to.
    pub to: String,
    /// Its hidden fields.
    pub fields: Vec<(String, String)>,
}

impl Flash {
    /// The cookie that carries it to the next page.
    pub const COOKIE: &str = "__Host-waypost-done";

    /// Reads the value of the cookie.
    pub fn read(value: &str) -> Option<Self> {
        serde_json::from_str(value).ok()
    }
}

/// A redirection after an action.
#[derive(Debug)]
pub(crate) struct Done {
    to: String,
    flash: Flash,
}

impl Done {
    /// Returns a redirection to a path of this page, with a message there.
    pub fn new(to: impl Into<String>, message: impl AsRef<str>) -> Self {
        let message = message.as_ref().chars().take(MESSAGE_CHARS).collect();
        Self { to: to.into(), flash: Flash { message, undo: None } }
    }

    /// Adds a button that takes the action back: posts these fields to a path. What no cookie can hold is left out, and the message says so.
    pub fn undo(mut self, text: Text, to: impl Into<String>, fields: &[(&str, &str)]) -> Self {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.flash.undo = Some(Undo { label: text.say("undo").into_owned(), to: to.into(), fields });
        if self.cookie().len() > COOKIE_MAX_BYTES {
            self.flash.undo = None;
            self.flash.message = format!("{} {}", self.flash.message, text.say("undo-too-large"));
        }
        self
    }
}

impl Done {
    fn cookie(&self) -> String {
        host_cookie(Flash::COOKIE, serde_json::to_string(&self.flash).unwrap_or_default(), 60)
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        let cookie = self.cookie();
        // Only a path of this server: a redirection to elsewhere would be of use to others.
        let to = if is_own_path(&self.to) { self.to } else { "/".to_owned() };
        (StatusCode::SEE_OTHER, [(header::LOCATION, to), (header::SET_COOKIE, cookie)]).into_response()
    }
}

/// Whether a form named a path of this server that a header field can carry.
pub(crate) fn is_own_path(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//") && !path.contains('\\') && path.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns a Set-Cookie value for this host only.
pub(crate) fn host_cookie(name: &'static str, value: String, seconds: i64) -> String {
    Cookie::build((name, value))
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Strict)
        .max_age(cookie::time::Duration::seconds(seconds))
        .build()
        .encoded()
        .to_string()
}

/// Returns the field that removes the message once it has been shown.
pub(crate) fn clear_flash() -> AppendHeaders<[(HeaderName, String); 1]> {
    AppendHeaders([(header::SET_COOKIE, host_cookie(Flash::COOKIE, String::new(), 0))])
}

/// Answers a path that no screen has.
pub(crate) async fn unknown(frame: Frame, uri: Uri) -> Problem {
    let mut problem = Problem::new(
        StatusCode::NOT_FOUND,
        frame.text.with("problem-path", [("path", uri.path().chars().take(200).collect::<String>().into())]),
    );
    problem.hint = Some(frame.text.say("problem-path-hint").into_owned());
    problem
}

/// Answers a method that a path does not have.
pub(crate) async fn not_allowed(frame: Frame, method: Method) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, frame.text.with("problem-method", [("method", method.as_str().to_owned().into())]))
}

/// Shows a problem as a screen.
pub(crate) async fn show_problems(State(state): State<PageState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(frame) = Frame::from_request_parts(&mut parts, &state).await;
    let visitor = Screen::from_request_parts(&mut parts, &state).await.ok().map(|screen| screen.visitor);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let status = response.status();
    let title = frame.text.say(problem_title(status));
    let page = layout::page(&frame, visitor.as_ref().map(|visitor| (visitor, Item::None)), &title, problem_notice(&problem));
    (status, page).into_response()
}

fn problem_title(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "problem-title-login",
        403 => "problem-title-owner",
        404 => "problem-title-missing",
        400..=499 => "problem-title-request",
        _ => "problem-title-server",
    }
}

/// Returns a problem as a notice within a screen: what happened, and what to do.
pub(crate) fn problem_notice(problem: &Problem) -> Markup {
    notice(
        Mark::Bad,
        html! {
            p { (cut(&problem.detail, 300)) }
            @if let Some(hint) = &problem.hint { p.hint { (cut(hint, 300)) } }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    #[test]
    fn a_redirection_stays_on_this_server() {
        for (to, location) in [
            ("/held?x=1", "/held?x=1"),
            ("https://evil.example/", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/aliases\r\nx: y", "/"),
        ] {
            let response = Done::new(to, "done").into_response();
            assert_eq!(response.status(), StatusCode::SEE_OTHER);
            assert_eq!(response.headers().get(header::LOCATION).and_then(|v| v.to_str().ok()), Some(location));
        }
    }

    #[test]
    fn what_no_cookie_can_hold_is_not_undone_and_says_so() {
        for (targets, has_undo) in [(10, true), (1000, false)] {
            let targets = "foo@inbox.test ".repeat(targets);
            let done =
                Done::new("/aliases", "message ".repeat(100)).undo(Text(Language::Chinese), "/aliases/restore", &[("targets", &targets)]);
            assert!(done.cookie().len() <= COOKIE_MAX_BYTES);
            assert_eq!((done.flash.undo.is_some(), done.flash.message.contains("撤销")), (has_undo, !has_undo), "{}", done.flash.message);
        }
    }

    #[test]
    fn a_message_survives_its_cookie() {
        let done = Done::new("/", "a;b\r\n\"c\" 中文").undo(Text(Language::English), "/x", &[("id", "1")]);
        let sent = done.flash.clone();
        let response = done.into_response();
        let field = response.headers().get(header::SET_COOKIE).and_then(|v| v.to_str().ok()).map(str::to_owned).unwrap_or_default();
        assert!(field.contains("HttpOnly") && field.contains("SameSite=Strict") && field.contains("Secure"), "{field}");
        let cookie = Cookie::parse_encoded(field).expect("a cookie");
        assert_eq!(Flash::read(cookie.value()), Some(sent));
    }
}
