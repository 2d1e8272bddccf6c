//! The way of one message, one file a stage: listen, receive, authenticate, decide, prepare, enqueue; dispatch,
//! deliver, settle, report.
//!
//! Each stage takes one owned type and returns the next. Invariant: a client hears 250 only by way of a
//! [`enqueue::Responsibility`], which nothing but a commit can make.

mod live_directory;
mod logins;
pub mod settings;
mod stream;

pub use live_directory::{DirectoryError, LiveDirectory};
