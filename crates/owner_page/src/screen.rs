//! What every handler gets: the frame (language, theme, time, message of the last action) and, behind the login, visitor and API.
//!
//! Invariant: a handler that takes [`Owner`] is never run for another visitor.

use axum::extract::FromRequestParts;
use axum::http::request::Parts as RequestParts;
use axum::http::{StatusCode, header};
use axum::response::Response;
use cookie::Cookie;
use maud::{Markup, html};

use crate::api::{Api, Problem};
use crate::catalogue::Text;
use crate::components::hidden;
use crate::language::Language;
use crate::layout::{self, Item};
use crate::live::LiveEvents;
use crate::outcome::Flash;
use crate::preferences::{LANGUAGE_COOKIE, THEME_COOKIE, Theme};
use crate::visitor::Visitor;
use crate::{Parts, api};

/// The name of the field with the token against forged requests, in every form that changes something.
pub(crate) const TOKEN_FIELD: &str = "csrf";

/// What the routes share.
#[derive(Debug, Clone)]
pub(crate) struct PageState {
    parts: Parts,
}

impl PageState {
    pub fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// The events as they happen.
    pub fn live(&self) -> &LiveEvents {
        &self.parts.live
    }
}

/// What a page needs without a visitor.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The texts.
    pub text: Text,
    /// Light, dark, or as the device has it.
    pub theme: Theme,
    /// The time of the request, in Unix milliseconds.
    pub now_ms: i64,
    /// What the last action did.
    pub flash: Option<Flash>,
    /// Path and query of the request.
    pub url: String,
    /// The name of the server.
    pub hostname: std::sync::Arc<str>,
    /// The version of the server.
    pub version: &'static str,
}

impl FromRequestParts<PageState> for Frame {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut RequestParts, state: &PageState) -> Result<Self, Self::Rejection> {
        let cookie = |name: &str| cookie_of(parts, name);
        let accepted = parts.headers.get(header::ACCEPT_LANGUAGE).and_then(|field| field.to_str().ok()).unwrap_or_default();
        let chosen = parts.extensions.get::<Visitor>().and_then(|visitor| visitor.language);
        let language = cookie(LANGUAGE_COOKIE).and_then(|tag| Language::of_tag(&tag)).or(chosen);
        Ok(Self {
            text: Text(language.unwrap_or_else(|| Language::of_field(accepted))),
            theme: cookie(THEME_COOKIE).map(|name| Theme::of_name(&name)).unwrap_or_default(),
            now_ms: state.parts.clock.now_ms(),
            flash: cookie(Flash::COOKIE).and_then(|value| Flash::read(&value)),
            url: parts.uri.path_and_query().map(|url| url.as_str().to_owned()).unwrap_or_default(),
            hostname: state.parts.hostname.clone(),
            version: state.parts.version,
        })
    }
}

/// Returns the value of a cookie of the request.
fn cookie_of(parts: &RequestParts, name: &str) -> Option<String> {
    let fields = parts.headers.get_all(header::COOKIE).into_iter().filter_map(|field| field.to_str().ok());
    fields
        .flat_map(Cookie::split_parse_encoded)
        .filter_map(Result::ok)
        .find_map(|cookie| (cookie.name() == name).then(|| cookie.value().to_owned()))
}

/// A screen behind the login.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    /// The frame.
    pub frame: Frame,
    /// The texts.
    pub text: Text,
    /// The time of the request, in Unix milliseconds.
    pub now_ms: i64,
    /// Who looks at it.
    pub visitor: Visitor,
    /// The API, with the visitor's rights.
    pub api: Api,
}

impl Screen {
    /// Returns the whole page: `current` is marked in the navigation, `title` is that of the window and the first heading.
    pub fn page(&self, current: Item, title: &str, content: Markup) -> Response {
        layout::page(&self.frame, Some((&self.visitor, current)), title, content)
    }

    /// Returns the hidden field that every form that changes something carries.
    pub fn token(&self) -> Markup {
        html! { (hidden(TOKEN_FIELD, &self.visitor.csrf)) }
    }
}

impl FromRequestParts<PageState> for Screen {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut RequestParts, state: &PageState) -> Result<Self, Problem> {
        let Ok(frame) = Frame::from_request_parts(parts, state).await;
        let Some(visitor) = parts.extensions.get::<Visitor>().cloned() else {
            return Err(Problem::new(StatusCode::UNAUTHORIZED, frame.text.say("problem-login")));
        };
        let api = api::Api::new(state.parts.api.clone(), &visitor);
        Ok(Self { text: frame.text, now_ms: frame.now_ms, frame, visitor, api })
    }
}

/// A screen that only an owner may see.
#[derive(Debug, Clone)]
pub(crate) struct Owner(pub Screen);

impl FromRequestParts<PageState> for Owner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut RequestParts, state: &PageState) -> Result<Self, Problem> {
        let screen = Screen::from_request_parts(parts, state).await?;
        if screen.visitor.is_owner {
            return Ok(Self(screen));
        }
        Err(Problem::new(StatusCode::FORBIDDEN, screen.text.say("problem-owner")))
    }
}
