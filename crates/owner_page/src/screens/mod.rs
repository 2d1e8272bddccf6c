//! The screens, one file each, named after its first path segment.
//!
//! Invariant: a screen reads and changes only through the API.

mod aliases;
mod held;
mod mail;
mod message;
mod people;
mod queue;
mod reports;
mod senders;
mod server;
mod setup;
mod today;
mod today_flow;
mod welcome;

use axum::Router;

use crate::screen::PageState;

/// Returns the routes of all screens.
pub(crate) fn routes() -> Router<PageState> {
    Router::new()
        .merge(today::routes())
        .merge(mail::routes())
        .merge(message::routes())
        .merge(held::routes())
        .merge(queue::routes())
        .merge(aliases::routes())
        .merge(people::routes())
        .merge(setup::routes())
        .merge(reports::routes())
        .merge(server::routes())
        .merge(welcome::routes())
}
