//! Authentication: the SASL exchange, password checks, and their rate limits.
//!
//! May import what `receive` may.

pub mod authenticator;
pub mod cache;
pub mod denied;

pub mod exchange;
pub mod hashing;
pub mod page_logins;
pub mod passwords;
pub mod sealed_passwords;
pub mod throttle;
