//! Blocking a sender of an alias, and never holding its mail: the buttons of a message and of held mail.
//!
//! Invariant: each change can be taken back from the message that it shows.

use axum::http::Method;
use control_api::api::{AliasView, Changed, SendersChange};
use serde::Deserialize;

use crate::api::{Problem, segment};
use crate::outcome::Done;
use crate::screen::Screen;

/// A change of the senders of an alias.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SenderForm {
    /// The alias, as the API names it.
    pub alias: String,
    /// The address of the sender.
    pub sender: String,
    /// `block`, `unblock`, `allow` or `disallow`.
    pub change: String,
}

/// Carries a change out; `undo` takes the form that takes it back.
///
/// # Errors
/// The API refuses.
pub(crate) async fn change(screen: &Screen, form: &SenderForm, back: &str, undo: &str) -> Result<Done, Problem> {
    let text = screen.text;
    let list = || vec![form.sender.clone()];
    let (change, key, reverse) = match form.change.as_str() {
        "block" => (SendersChange { block: list(), ..SendersChange::default() }, "done-block", "unblock"),
        "allow" => (SendersChange { allow: list(), ..SendersChange::default() }, "done-allow", "disallow"),
        "disallow" => (SendersChange { disallow: list(), ..SendersChange::default() }, "done-disallow", "allow"),
        _ => (SendersChange { unblock: list(), ..SendersChange::default() }, "done-unblock", "block"),
    };
    let _: Changed = screen.api.send(Method::PATCH, &format!("/aliases/{}/senders", segment(&form.alias)), &change).await?;
    let message = text.with(key, [("sender", form.sender.clone().into()), ("alias", form.alias.clone().into())]);
    let fields = [("alias", form.alias.as_str()), ("sender", form.sender.as_str()), ("change", reverse)];
    Ok(Done::new(back, message).undo(text, undo, &fields))
}

/// Returns the alias that takes mail for an address: its own, that of its name without extension, or the catch-all.
pub(crate) async fn alias_of(screen: &Screen, address: &str) -> Option<AliasView> {
    let (local, domain) = address.rsplit_once('@')?;
    let bare = local.split_once(['+', '-']).map(|(name, _)| format!("{name}@{domain}"));
    for source in [Some(address.to_owned()), bare, Some(format!("@{domain}"))].into_iter().flatten() {
        if let Ok(Some(alias)) = screen.api.find(&format!("/aliases/{}", segment(&source))).await {
            return Some(alias);
        }
    }
    None
}
