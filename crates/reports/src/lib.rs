//! The reports that mail servers send each other once a day: of TLS (RFC 8460) and of DMARC (RFC 9990), written and read.
//!
//! Invariant: pure. No clock, file, socket or database is known here; what strangers wrote is read within a limit.

mod addresses;
pub mod advice;
pub mod aggregate;
mod letter;
mod pack;
pub mod received;
pub mod summary;
pub mod tls;
pub mod unpack;

pub use addresses::{ADDRESSES_MAX, HttpsAddress, ReportAddress, confirmed, rua_addresses, rua_mailboxes, tls_report_addresses};
pub use letter::{Attachment, Envelope, Letter, Multipart};
pub use pack::gzip;
