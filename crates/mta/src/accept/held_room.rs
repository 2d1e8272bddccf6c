//! Whether there is room for one more held message.
//!
//! Invariant: held mail stays within `forward.held_bytes`, so that it cannot fill the disk.

use mail::Reply;
use store::{NewMessage, Store};

use crate::queue::not_taken::NotTaken;
use crate::settings::Settings;

/// Defers a message that is to be held, if held mail including it would exceed the maximum size on disk.
pub(crate) async fn check_room_to_hold(store: &Store, settings: &Settings, messages: &[NewMessage]) -> Result<(), NotTaken> {
    let Some(held) = messages.iter().find(|new| new.held.is_some()) else { return Ok(()) };
    let totals = store.totals().await?;
    if totals.held_bytes + held.content.size_bytes() <= settings.forward.held_bytes {
        return Ok(());
    }
    tracing::warn!(
        held = totals.held,
        bytes = totals.held_bytes,
        "held mail has reached its maximum size on disk (forward.held_bytes); `waypost held list` shows it"
    );
    Err(Reply::new(452, (4, 3, 1), "no room for mail that needs manual review; try again later").into())
}
