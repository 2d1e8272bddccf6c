//! Opens the ports of the listeners.

use std::net::SocketAddr;

use net::{Network, TcpDoor};
use store::StoreError;

use crate::receive::listen::bind;
use crate::settings::{Listener, ListenerKind};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Cannot listen on a port.
    #[error("cannot listen on {address} ({kind}): {error}{hint}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The kind of listener.
        kind: &'static str,
        /// The system's error.
        error: std::io::Error,
        /// The remedy.
        hint: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens every port, before any mail is accepted.
pub(super) fn bind_all(network: &Network, listeners: &[Listener]) -> Result<Vec<(ListenerKind, TcpDoor)>, StartError> {
    let mut bound = Vec::with_capacity(listeners.len());
    for listener in listeners {
        match bind(network, listener) {
            Ok(socket) => bound.push((listener.kind, socket)),
            Err(error) if is_family_missing(listener, &error) => {
                tracing::warn!(address = %listener.address, "this host has no IPv6; not listening there");
            }
            Err(error) => return Err(refused(listener, error)),
        }
    }
    Ok(bound)
}

/// "All IPv6 addresses" on a host without IPv6 is not an error: there are none to listen on.
fn is_family_missing(listener: &Listener, error: &std::io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    let all_v6 = listener.address.is_ipv6() && listener.address.ip().is_unspecified();
    all_v6 && (error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == std::io::ErrorKind::AddrNotAvailable)
}

fn refused(listener: &Listener, error: std::io::Error) -> StartError {
    let hint = match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another mail server has the port: stop it (`ss -ltnp` names it), or change [listen]",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need root or CAP_NET_BIND_SERVICE",
        _ => "",
    };
    StartError::Listen { address: listener.address, kind: listener.kind.as_str(), error, hint }
}
