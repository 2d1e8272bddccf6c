//! The PROXY protocol: a load balancer in front of the server says whose connection it passes on.
//!
//! haproxy's doc/proxy-protocol.txt, versions 1 and 2. Invariants: only the proxies that the operator names are believed, and each of their connections must
//! begin with a header; the header is read to its last octet and no further.

mod header;
mod ip_range;
#[cfg(test)]
mod tests;
mod version_1;
mod version_2;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

pub use header::{HeaderFault, HeaderStep, next_step};
pub use ip_range::{InvalidRange, IpRange};

/// Maximum time to receive a header. The protocol asks for at least 3 seconds, so that one lost packet does no harm.
const HEADER_WITHIN: Duration = Duration::from_secs(5);

/// What a server's own check sends first where it connects from the address of a proxy: a header that names nobody.
pub const NO_CLIENT: &[u8] = b"PROXY UNKNOWN\r\n";

/// The proxies in front of this server. Clones share the list.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpRange]>);

/// Why a proxy's connection cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It was closed before its first octet, as by a check whether the port is open.
    #[error("the proxy closed the connection without sending anything")]
    Closed,
    /// The header did not arrive in time.
    #[error("no complete PROXY header within {} s", HEADER_WITHIN.as_secs())]
    Late,
    /// The header is invalid.
    #[error(transparent)]
    Header(#[from] HeaderFault),
    /// The connection broke within the header.
    #[error("the connection ended within the PROXY header: {0}")]
    Broken(io::Error),
}

impl TrustedProxies {
    /// The proxies with these addresses.
    pub fn new(ranges: impl IntoIterator<Item = IpRange>) -> Self {
        Self(ranges.into_iter().collect())
    }

    /// Whether connections from this address must begin with a header.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }

    /// Returns the address of the client: of the peer itself, or, if that is one of the proxies, of the header that it must send first. A header
    /// without a client (a health check) leaves the proxy's own address.
    ///
    /// # Errors
    /// A proxy sent no valid header; no reply may be sent.
    pub async fn client_of<S: AsyncRead + Unpin>(&self, stream: &mut S, peer: SocketAddr) -> Result<SocketAddr, ProxyError> {
        if !self.contains(peer.ip()) {
            return Ok(peer);
        }
        match tokio::time::timeout(HEADER_WITHIN, read_header(stream)).await {
            Ok(client) => Ok(client?.unwrap_or(peer)),
            Err(_) => Err(ProxyError::Late),
        }
    }
}

/// Reads a header; `None` if it names no client.
async fn read_header<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, ProxyError> {
    let mut header = Vec::new();
    loop {
        let missing = match next_step(&header)? {
            HeaderStep::Read(missing) => missing,
            HeaderStep::Client(client) => return Ok(client),
        };
        // Exactly as much as surely belongs to the header: what follows is the client's.
        match stream.take(missing).read_buf(&mut header).await {
            Ok(0) if header.is_empty() => return Err(ProxyError::Closed),
            Ok(0) => return Err(ProxyError::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            Err(_) if header.is_empty() => return Err(ProxyError::Closed),
            Err(error) => return Err(ProxyError::Broken(error)),
        }
    }
}
