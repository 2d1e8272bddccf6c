//! The reports that mail servers send each other once a day: of TLS (RFC 8460) and of DMARC (RFC 9990), written and read.
//!
//! Invariant: pure. No clock, file, socket or database is known here; what strangers wrote is read within a limit.

pub mod aggregate;
pub mod received;
pub mod unpack;
