//! Notices to the owner: what needs a person, by mail, webhook or ntfy.
//!
//! An event or a periodic check makes a [`notice::Notice`]; the ledger decides whether it goes at once, into the daily digest, or nowhere; a courier for
//! each channel tries until it is accepted. Invariant: nothing waits for a notice, and each channel gets at most a fixed number of them in an hour.

mod channel;
mod courier;
mod desk;
mod ledger;
mod notice;
mod of_event;
mod service;
pub mod settings;
mod watch;
mod work;

pub use channel::ChannelAnswer;
pub use service::{NoticeSink, Notices};
