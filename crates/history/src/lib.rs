//! The history: every event, kept in its own database and found by any clue.
//!
//! Start at [`History`]; `clue.rs` has what an event can be found by, `writer.rs` how it gets into the file. Invariant: no session and no delivery waits
//! for it; losing it loses no mail.

mod alias_use;
mod clue;
mod error;
mod filter;
mod flood;
mod found;
mod history;
mod line;
mod part;
mod recorded;
mod row;
mod scan;
mod schema;
mod timeline;
mod tokens;
mod totals;
mod writer;

pub use alias_use::{AliasUse, Sighting, UseCount};
pub use clue::{Clue, ClueError};
pub use error::HistoryError;
pub use filter::{Filter, without_targets};
pub use found::Found;
pub use history::{History, HistoryOptions};
pub use recorded::{Page, Recorded};
pub use schema::copy_history;
pub use totals::Total;

#[cfg(test)]
mod tests;
