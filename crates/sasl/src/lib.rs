//! The server side of SASL: what the client says becomes credentials, and a password is compared with its verifier.
//!
//! Invariant: this crate knows no clock, no source of randomness and no account; a password is never printed.

mod exchange;
pub mod password;
mod secret;

pub use exchange::{Credentials, Exchange, Mechanism, Step};
pub use secret::Secret;
