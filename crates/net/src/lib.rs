//! The world outside: clock, randomness, DNS, TLS.
//!
//! Everything here comes into the flow as an argument. Invariant: this crate touches no queue.

mod clock;
mod digest;
mod introspection;
mod mac;
mod random;
mod resolver;
mod self_signed;
mod tls_client;
mod tls_server;

pub use clock::Clock;
pub use digest::{certificate_digest, certificate_file_digest, sha256};
pub use introspection::{Introspection, IntrospectionError};
pub use mac::srs_mac;
pub use random::{random_bytes, random_u32};
pub use resolver::{Resolver, ResolverError};
pub use self_signed::self_signed;
pub use tls_client::{ClientTls, Verify};
pub use tls_server::{ServerTls, TlsError, describe};
