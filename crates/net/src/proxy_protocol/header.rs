//! How far a header has been read: how many octets surely follow, or whom it names.
//!
//! Pure. Invariant: the octets asked for belong to the header, whatever they are.

use std::net::SocketAddr;

use super::version_1;
use super::version_2;

/// Octets of the shortest header, `PROXY UNKNOWN` and CRLF.
const SHORTEST_BYTES: usize = 15;

/// What a part of a header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderStep {
    /// At most this many further octets; at least one.
    Read(u64),
    /// The header is complete, and names this client; `None` for a health check, or a client without an address.
    Client(Option<SocketAddr>),
}

impl HeaderStep {
    /// Asks for further octets.
    pub(super) fn read(octets: usize) -> Self {
        Self::Read(u64::try_from(octets).unwrap_or(u64::MAX))
    }
}

/// What is wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The octets are not the beginning of a header.
    #[error(
        "the connection does not begin with a PROXY header; let the proxy send one (haproxy: send-proxy-v2), or remove it from listen.proxy_from"
    )]
    Missing,
    /// It is longer than a header may be.
    #[error("the PROXY header is longer than {0} octets")]
    TooLong(usize),
    /// Its text or its structure is invalid.
    #[error("the PROXY header is invalid: {0}")]
    Invalid(&'static str),
    /// It is about another protocol than TCP.
    #[error("the PROXY header is about another protocol than TCP over IPv4 or IPv6")]
    NotTcp,
    /// Its checksum is wrong.
    #[error("the checksum of the PROXY header is wrong")]
    Checksum,
}

/// Returns what the octets so far ask for.
///
/// # Errors
/// They are no header, and will be none.
pub fn next_step(header: &[u8]) -> Result<HeaderStep, HeaderFault> {
    if begins(header, version_2::SIGNATURE) && !header.is_empty() {
        return version_2::next_step(header);
    }
    if !begins(header, version_1::PREFIX) {
        return Err(HeaderFault::Missing);
    }
    match SHORTEST_BYTES.checked_sub(header.len()) {
        Some(missing) if missing > 0 => Ok(HeaderStep::read(missing)),
        _ => version_1::next_step(header),
    }
}

/// Whether the octets begin with the prefix, as far as they go.
fn begins(octets: &[u8], prefix: &[u8]) -> bool {
    octets.iter().zip(prefix).all(|(octet, wanted)| octet == wanted)
}
