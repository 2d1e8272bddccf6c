//! The screens, one file each, named after its first path segment.
//!
//! Invariant: a screen reads and changes only through the API.

mod aliases;
mod people;
mod setup;
mod welcome;

use axum::Router;

use crate::screen::PageState;

/// Returns the routes of all screens.
pub(crate) fn routes() -> Router<PageState> {
    Router::new().merge(aliases::routes()).merge(people::routes()).merge(setup::routes()).merge(welcome::routes())
}
