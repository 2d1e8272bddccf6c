//! Certificates from an authority that speaks ACME, and their renewal.
//!
//! RFC 8555, RFC 8737, RFC 9773. Invariant: whatever goes wrong, the certificate that is there stays in use.

mod challenges;
pub(crate) mod files;

pub use challenges::Challenges;
