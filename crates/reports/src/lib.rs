//! The daily reports between mail servers, written and read: TLS reports (RFC 8460) and DMARC reports (RFC 9990).
//!
//! Invariant: pure. No clock, file, socket or database; what others wrote is read within limits.

mod addresses;
pub mod advice;
pub mod dmarc;
mod letter;
mod pack;
pub mod received;
pub mod summary;
pub mod tls;
pub mod unpack;

pub use addresses::{ADDRESSES_MAX, HttpsAddress, ReportAddress, confirm_destination, rua_addresses, rua_mailboxes, tls_report_addresses};
pub use letter::{Attachment, Envelope, Letter, Multipart};
pub use pack::gzip;
