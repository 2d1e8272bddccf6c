//! `/preferences`: language and theme, kept in cookies.
//!
//! Invariant: a value that is not in the list is ignored; the answer leads back to a path of this server.

use axum::Form;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;

use crate::language::Language;
use crate::outcome::{host_cookie, is_own_path};
use crate::screen::PageState;

/// The cookie of the language.
pub(crate) const LANGUAGE_COOKIE: &str = "__Host-waypost-language";

/// The cookie of the theme.
pub(crate) const THEME_COOKIE: &str = "__Host-waypost-theme";

const YEAR_S: i64 = 365 * 24 * 3600;

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Theme {
    /// As the device has it.
    #[default]
    Device,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// All themes, in the order of the switch.
    pub const ALL: [Self; 3] = [Self::Device, Self::Light, Self::Dark];

    /// Returns its name, in the cookie and in the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Returns the theme with this name.
    pub fn of_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|theme| theme.name() == name).unwrap_or_default()
    }
}

#[derive(Debug, Deserialize)]
struct Preferences {
    language: Option<String>,
    theme: Option<String>,
    #[serde(default)]
    back: String,
}

pub(crate) fn routes() -> Router<PageState> {
    Router::new().route("/preferences", post(change))
}

/// These are no secrets and change nothing but the look, so the form needs no token.
async fn change(Form(wanted): Form<Preferences>) -> Response {
    let mut cookies = Vec::new();
    if let Some(language) = wanted.language.as_deref().and_then(Language::of_tag) {
        cookies.push((header::SET_COOKIE, host_cookie(LANGUAGE_COOKIE, language.tag().to_owned(), YEAR_S)));
    }
    if let Some(theme) = wanted.theme.as_deref().map(Theme::of_name) {
        cookies.push((header::SET_COOKIE, host_cookie(THEME_COOKIE, theme.name().to_owned(), YEAR_S)));
    }
    let back = if is_own_path(&wanted.back) { wanted.back } else { "/".to_owned() };
    (StatusCode::SEE_OTHER, [(header::LOCATION, back)], AppendHeaders(cookies)).into_response()
}
