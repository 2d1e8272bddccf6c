//! Changes DNS records at a provider or at a server that accepts RFC 2136 updates.
//!
//! RFC 2136, RFC 8945. The only crate that knows the library `dns-update`, whose types are not in this interface. Its 76 providers are
//! generic async functions, compiled where they are first awaited: the public functions box their futures, so that this happens here and once, and
//! not in each crate that awaits them. Invariant: a token or a secret is neither printed nor logged, and is in no error.

mod editor;
mod error;
mod provider;
mod records;

pub use editor::{Pending, ZoneEditor};
pub use error::ProviderError;
pub use provider::{Credentials, DnsProvider, UnknownProvider};
