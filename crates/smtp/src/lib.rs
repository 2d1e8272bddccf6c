//! SMTP sessions as pure state machines: bytes and answers in, bytes and events out.
//!
//! RFC 5321. [`server`] accepts connections, [`client`] makes them. Nothing here knows a socket, a clock or a runtime: the driver reads, writes, waits
//! and decides; a session only parses and replies. Both kinds of session have the same verbs: `receive` takes input, `next_event` says what to do,
//! `take_output` gives what to send. A server session's events are answered by `accept_*` and `refuse*`.

mod chunks;
pub mod client;
mod dots;
mod dsn;
pub mod server;

pub use dots::{Stuffer, Unstuffed, Unstuffer};
