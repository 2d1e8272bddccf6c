//! Accepts connections, up to the maximum.
//!
//! Invariant: connections beyond the maximum are closed at once; running out of descriptors slows down accepting, without a busy loop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::Addresses;
use crate::connection::{Listener, converse};
use crate::places::Places;

/// Maximum connections waiting to be accepted.
const BACKLOG: i32 = 256;

/// Pause after a failed accept (EMFILE, ENFILE, ENOBUFS).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Opens the listeners.
pub(crate) fn bind(what: &str, addresses: &Addresses) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(addresses.list.len());
    for address in &addresses.list {
        match bind_one(*address) {
            Ok(listener) => {
                tracing::info!(%address, kind = what, "listening");
                listeners.push(listener);
            }
            Err(error) if addresses.must => {
                let text = format!(
                    "cannot listen on {address} for {what}: {error}; free it, or set another address under [listen], or none: {what} = []"
                );
                return Err(io::Error::new(error.kind(), text));
            }
            Err(error) => {
                tracing::warn!(%address, %error, "cannot listen for {what}: another server may use the port; if so, set {what} = [] under [listen]");
            }
        }
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Each address family has its own listener.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until the task is aborted.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Listener>, places: Places) {
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                let Some(place) = places.take(peer.ip()) else {
                    tracing::debug!(%peer, "too many connections");
                    continue;
                };
                let shared = shared.clone();
                tokio::spawn(async move {
                    converse(tcp, peer, &shared).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection; pausing");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
