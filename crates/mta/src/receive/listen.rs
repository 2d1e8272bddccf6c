//! Stage: accepts connections, within limits.
//!
//! Invariant: every session counts against the share of its rank and of its network until it ends; out of descriptors, the
//! listener pauses and never spins.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mail::Reply;
use net::{Network, Tcp, TcpDoor};
use parking_lot::Mutex;
use socket2::{Domain as Family, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::receive::inbound::Inbound;
use crate::receive::session::SessionDriver;
use crate::receive::session_log::{self, Party};
use crate::receive::shares::{Full, Rank, RankedClient, Shares};
use crate::receive::tls_accept::handshake;
use crate::settings::{Limits, Listener, ListenerKind};
use crate::support::networks::network;
use crate::support::panic_edge::caught;
use crate::support::stream::Stream;

/// Maximum connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Pause after a failed accept (EMFILE, ENFILE, ENOBUFS).
const REST: Duration = Duration::from_millis(200);

/// Opens a listener.
pub(crate) fn bind(network: &Network, listener: &Listener) -> std::io::Result<TcpDoor> {
    network.listen(listener.address, || bind_here(listener))
}

fn bind_here(listener: &Listener) -> std::io::Result<TcpListener> {
    let family = if listener.address.is_ipv6() { Family::IPV6 } else { Family::IPV4 };
    let socket = Socket::new(family, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if listener.address.is_ipv6() {
        // Each family has a listener of its own, so that neither shadows the other.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&listener.address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Open sessions, by rank, network and client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<SessionCounts>>);

#[derive(Debug, Clone, Default)]
struct SessionCounts {
    shares: Shares,
    by_kind: HashMap<ListenerKind, usize>,
    by_client: HashMap<IpAddr, usize>,
}

impl SessionCounts {
    fn enter(&mut self, who: RankedClient, limits: &Limits) -> Result<(), Reply> {
        let client = network(who.client);
        let of_client = self.by_client.get(&client).copied().unwrap_or_default();
        if of_client >= limits.sessions_per_client {
            return Err(too_many_from_network());
        }
        match self.shares.take(who, 1, limits.sessions, limits.sessions_per_client) {
            Ok(()) => {}
            Err(Full::All) => return Err(Reply::new(421, (4, 3, 2), "too many sessions; try again later")),
            Err(Full::Network) => return Err(too_many_from_network()),
        }
        self.by_client.insert(client, of_client + 1);
        Ok(())
    }
}

/// One session's place, returned when dropped.
#[derive(Debug)]
pub(crate) struct SessionPlace {
    sessions: Sessions,
    who: RankedClient,
    kind: ListenerKind,
}

impl Sessions {
    /// Takes a place; the error is the reply to the client.
    fn enter(&self, who: RankedClient, kind: ListenerKind, limits: &Limits) -> Result<SessionPlace, Reply> {
        let mut counts = self.0.lock();
        counts.enter(who, limits)?;
        *counts.by_kind.entry(kind).or_default() += 1;
        Ok(SessionPlace { sessions: self.clone(), who, kind })
    }

    /// The reply that would refuse a session of this client now. Takes no place.
    pub fn refusal(&self, who: RankedClient, limits: &Limits) -> Option<Reply> {
        let mut counts = self.0.lock().clone();
        counts.enter(who, limits).err()
    }

    /// Number of open sessions.
    pub fn count(&self) -> usize {
        self.0.lock().shares.total()
    }

    /// Whether unknown clients use most of their share.
    pub fn is_crowded(&self, limits: &Limits) -> bool {
        let counts = self.0.lock();
        [Rank::Stranger, Rank::Newcomer].into_iter().any(|rank| counts.shares.is_crowded(rank, limits.sessions))
    }

    /// Number of open sessions of each kind of listener.
    pub fn by_kind(&self) -> [(&'static str, usize); 4] {
        let counts = self.0.lock();
        ListenerKind::ALL.map(|kind| (kind.as_str(), counts.by_kind.get(&kind).copied().unwrap_or_default()))
    }
}

fn too_many_from_network() -> Reply {
    Reply::new(421, (4, 7, 0), "too many sessions from your network; try again later")
}

impl SessionPlace {
    /// Whether clients of this rank use most of their share.
    pub fn is_crowded(&self, limits: &Limits) -> bool {
        self.sessions.0.lock().shares.is_crowded(self.who.rank, limits.sessions)
    }

    /// Counts the client among the accounts, after its login.
    pub fn logged_in(&mut self) {
        let mut counts = self.sessions.0.lock();
        counts.shares.promote(self.who, Rank::Account, 1);
        self.who.rank = Rank::Account;
    }
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        let client = network(self.who.client);
        let mut counts = self.sessions.0.lock();
        counts.shares.give_back(self.who, 1);
        if let Some(of_kind) = counts.by_kind.get_mut(&self.kind) {
            *of_kind = of_kind.saturating_sub(1);
        }
        if let Some(of_client) = counts.by_client.get_mut(&client) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                counts.by_client.remove(&client);
            }
        }
    }
}

/// Accepts connections until shutdown.
pub(crate) async fn listen(listener: TcpDoor, kind: ListenerKind, sessions: Sessions, inbound: Arc<Inbound>) {
    let mut closing = inbound.closing.subscribe();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = closing.wait_for(|c| *c) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                tokio::spawn(session(tcp, peer, kind, sessions.clone(), inbound.clone()));
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection; pausing for 200 ms");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn session(mut tcp: Tcp, peer: SocketAddr, kind: ListenerKind, sessions: Sessions, inbound: Arc<Inbound>) {
    let client = match Box::pin(inbound.proxies.client_of(&mut tcp, peer)).await {
        Ok(client) => client.ip().to_canonical(),
        Err(error) => return session_log::proxy_refused(&inbound.shared, Party::unknown(peer.ip().to_canonical(), kind), &error),
    };
    let limits = inbound.shared.settings.load().limits.clone();
    let who = inbound.known.claimant(client, kind, inbound.shared.clock.now_ms());
    let entered = match inbound.node.refusal() {
        Some(drained) => Err(drained),
        None if inbound.pressure.is_over_budget() && who.rank != Rank::Account => {
            Err(Reply::new(421, (4, 3, 2), "the server is short of memory; try again later"))
        }
        None => sessions.enter(who, kind, &limits),
    };
    let (place, refusal) = match entered {
        Ok(place) => (Some(place), None),
        Err(reply) => (None, Some(reply)),
    };
    if let Some(reply) = &refusal {
        session_log::connection_refused(&inbound.shared, Party::unknown(client, kind), reply);
    }
    // Small replies must not wait for the client's acknowledgement of the one before.
    if tcp.set_nodelay().is_err() {
        return;
    }
    let (stream, secured) = if matches!(kind, ListenerKind::Submissions | ListenerKind::ByCertificate) {
        if refusal.is_some() {
            return;
        }
        match Box::pin(handshake(tcp, Party::unknown(client, kind), &inbound)).await {
            Some((stream, secured)) => (stream, Some(secured)),
            None => return,
        }
    } else {
        (Stream::Plain(tcp), None)
    };
    let mut driver = Box::new(SessionDriver::new(stream, secured, who, kind, inbound));
    driver.place = place;
    if caught(driver.run(refusal)).await.is_none() {
        Box::pin(driver.give_up()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what a function returns.
    fn size_of_future<A, B, C, D, E, F>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_session_is_small() {
        let (task, driver) = (size_of_future(session), size_of::<SessionDriver>());
        assert!(task + driver <= 4096, "{task} octets of the task and {driver} of the driver");
    }
}
