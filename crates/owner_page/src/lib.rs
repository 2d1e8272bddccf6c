//! The owner's page: what happened to the mail, what needs a person, and every setting, as HTML by the same binary.
//!
//! It is a client of the API: each screen calls the routes of `control_api` in this process with the visitor's rights, so that it can do what the API
//! can, and no more. Invariants: every action is a form that works without JavaScript; what came from mail is shown as text, escaped and isolated.

mod api;
mod assets;
mod catalogue;
mod components;
mod entrance;
mod headers;
mod language;
mod layout;
mod listed;
mod live;
mod moment;
mod outcome;
mod preferences;
mod said;
mod screen;
mod screens;
mod story;
mod visitor;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use net::Clock;

pub use catalogue::Text;
pub use entrance::Entrance;
pub use language::Language;
pub use live::LiveEvents;
pub use visitor::Visitor;

use screen::PageState;

/// What the page is built from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The routes of the API.
    pub api: Router,
    /// The time.
    pub clock: Clock,
    /// The events as they happen.
    pub live: LiveEvents,
    /// The name of the server.
    pub hostname: Arc<str>,
    /// The version of the server.
    pub version: &'static str,
}

/// Returns all screens behind the entrance: the answer to a request without a session is the login.
pub fn guarded(parts: Parts, entrance: Entrance) -> Router {
    let state = PageState::new(parts);
    let guard = entrance::Guard { entrance, state: state.clone() };
    // The headers are added to the answers of the guard too.
    screens_and(entrance::routes(), state).layer(from_fn_with_state(guard, entrance::check)).layer(from_fn(headers::add))
}

/// Returns all screens. A request needs a [`Visitor`] among its extensions, except for the assets and the preferences.
pub fn router(parts: Parts) -> Router {
    screens_and(Router::new(), PageState::new(parts))
}

fn screens_and(more: Router<PageState>, state: PageState) -> Router {
    more.merge(screens::routes())
        .merge(live::routes())
        .merge(preferences::routes())
        .fallback(outcome::unknown)
        .method_not_allowed_fallback(outcome::not_allowed)
        .layer(from_fn_with_state(state.clone(), outcome::show_problems))
        .merge(assets::routes())
        .layer(from_fn(headers::add))
        .with_state(state)
}
