//! SMTP sessions as pure state machines: bytes and answers in, bytes and events out.
//!
//! RFC 5321. [`server`] is the side that is called, [`client`] the side that calls. Nothing here knows a
//! socket, a clock or a runtime: the driver reads, writes, waits and decides; a session only speaks.

mod chunks;
pub mod client;
mod dots;
mod dsn;
pub mod server;

pub use dots::{Stuffer, Unstuffed, Unstuffer};
