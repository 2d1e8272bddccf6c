//! The way of one message, one file a stage: listen, receive, authenticate, decide, prepare, enqueue; dispatch,
//! deliver, settle, report.
//!
//! Each stage takes one owned type and returns the next. Invariant: a client hears 250 only by way of a
//! `Responsibility`, which nothing but a commit can make.

mod authenticate;
mod bug;
mod connect;
mod decide;
mod deliver;
mod dispatch;
mod enqueue;
mod host_places;
mod lane;
mod listen;
mod live_directory;
mod logins;
mod plan;
mod prepare;
mod receive;
mod received;
mod report;
mod server;
pub mod settings;
mod settle;
mod spooling;
mod stream;

pub use bug::bugs_caught;
pub use live_directory::{DirectoryError, LiveDirectory};
pub use server::{Parts, Server, StartError, Status};
