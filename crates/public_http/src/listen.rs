//! Accepts connections, up to the maximum.
//!
//! Invariant: connections beyond the maximum are closed at once; running out of descriptors slows down accepting, without a busy loop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use net::ProxyError;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::Addresses;
use crate::connection::{Listener, converse};
use crate::places::{Place, Places};

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
                // A load balancer brings many clients, which have their own places; its header comes at once.
                if shared.proxies.contains(peer.ip()) {
                    tokio::spawn(proxied(tcp, peer, shared.clone(), places.clone()));
                } else if let Some(place) = places.take(peer.ip()) {
                    tokio::spawn(in_place(tcp, peer, shared.clone(), place));
                } else {
                    tracing::debug!(%peer, "too many connections");
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection; pausing");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection of a load balancer's client.
async fn proxied(mut tcp: TcpStream, proxy: SocketAddr, shared: Arc<Listener>, places: Places) {
    match shared.proxies.client_of(&mut tcp, proxy).await {
        Ok(client) => match places.take(client.ip()) {
            Some(place) => in_place(tcp, client, shared, place).await,
            None => tracing::debug!(%client, "too many connections"),
        },
        Err(ProxyError::Closed) => {}
        Err(error) => tracing::warn!(%proxy, %error, "a proxy's connection was closed: no valid PROXY header"),
    }
}

/// Serves a connection, and holds its place until the end.
async fn in_place(tcp: TcpStream, client: SocketAddr, shared: Arc<Listener>, place: Place) {
    converse(tcp, client, &shared).await;
    drop(place);
}
