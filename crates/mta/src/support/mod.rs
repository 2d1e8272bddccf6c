//! What several wings need and what knows no stage: connections, caches, state files, the edge of a task.
//!
//! Imports no other wing.

pub mod content_place;
pub mod directory_cache;
pub mod dkim_signers;
pub mod headline;
pub mod large_contents;
pub mod limits;
pub mod networks;
pub mod node_switch;
pub mod panic_edge;
pub mod phrase;
pub mod process_memory;
pub mod shutdown;
pub mod state_file;
pub mod stream;
pub mod usage_log;
pub mod virtual_source;
pub mod vouched;
pub mod wake;
pub mod write_behind;
