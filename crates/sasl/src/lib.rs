//! The server side of SASL: mechanisms that turn the client's messages into credentials or a proof, and password
//! verifiers.
//!
//! Invariant: this crate has no clock, randomness or accounts; a password is never printed.

mod bearer;
mod cram;
mod crypt;
mod digest;
mod directives;
mod exchange;
mod external;
mod mechanism;
mod name;
mod ntlm;
pub mod passwd_file;
pub mod password;
mod plain;
pub mod sasldb;
mod scram;
mod scram_keys;
mod secret;
mod step;
mod vault;

pub use exchange::{Binding, BindingKind, Context, Exchange};
pub use mechanism::Mechanism;
pub use name::prepared_password;
pub use scram_keys::{ITERATIONS, SALT_BYTES, ScramHash, scram_keys};
pub use secret::Secret;
pub use step::{Credentials, Found, Lookup, Need, Proven, ScramKeys, Step, Token};
pub use vault::Vault;
