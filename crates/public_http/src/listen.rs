//! Accepts connections, within a limit.
//!
//! Invariant: who comes when all places are taken is turned away at once; running out of descriptors slows accepting down and never spins.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::Addresses;
use crate::connection::{Host, converse};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 256;

/// After an accept that failed (EMFILE, ENFILE, ENOBUFS) the listener rests for so long.
const REST: Duration = Duration::from_millis(200);

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
                let text =
                    format!("{address} cannot be used for {what}: {error}; free it, or name another under [listen], or none: {what} = []");
                return Err(io::Error::new(error.kind(), text));
            }
            Err(error) => {
                tracing::warn!(%address, %error, "no {what} here: another server may have the port; [listen] {what} = [] says that this is meant");
            }
        }
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Each family has a listener of its own, so that neither shadows the other.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until the task is ended.
pub(crate) async fn serve(listener: TcpListener, host: Arc<Host>, places: Arc<Semaphore>) {
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                let Ok(place) = places.clone().try_acquire_owned() else {
                    tracing::debug!(%peer, "too many connections");
                    continue;
                };
                let host = host.clone();
                tokio::spawn(async move {
                    converse(tcp, &host).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::error!(%error, "a connection could not be accepted; resting a moment");
                tokio::time::sleep(REST).await;
            }
        }
    }
}
