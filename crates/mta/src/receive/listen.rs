//! Stage: accepts connections, within limits.
//!
//! Invariant: every session counts against the share of its kind of client and against its client's network until it ends; running out of
//! descriptors slows accepting down and never spins.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mail::Reply;
use parking_lot::Mutex;
use socket2::{Domain as Family, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::receive::session::{Driver, Reception};
use crate::receive::shares::{Claimant, Full, Rank, Shares};
use crate::receive::tls_accept::handshake;
use crate::settings::{Limits, Listener, ListenerKind};
use crate::support::panic_edge::caught;
use crate::support::stream::Stream;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// After an accept that failed (EMFILE, ENFILE, ENOBUFS) the listener rests for so long.
const REST: Duration = Duration::from_millis(200);

/// Opens a listener.
pub(crate) fn bind(listener: &Listener) -> std::io::Result<TcpListener> {
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

/// Sessions under way: how many, and from where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    shares: Shares,
    by_client: HashMap<IpAddr, usize>,
}

/// One session's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    sessions: Sessions,
    who: Claimant,
}

/// An IPv4 address, or the /64 of an IPv6 address: what one client can easily change its address within.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

impl Sessions {
    /// Takes a place, or says why there is none.
    fn enter(&self, who: Claimant, limits: &Limits) -> Result<Place, Reply> {
        let client = network(who.client);
        let mut counts = self.0.lock();
        let of_client = counts.by_client.get(&client).copied().unwrap_or_default();
        if of_client >= limits.sessions_per_client {
            return Err(too_many_from_network());
        }
        match counts.shares.take(who, 1, limits.sessions, limits.sessions_per_client) {
            Ok(()) => {}
            Err(Full::All) => return Err(Reply::new(421, (4, 3, 2), "too many sessions; try again later")),
            Err(Full::Network) => return Err(too_many_from_network()),
        }
        counts.by_client.insert(client, of_client + 1);
        Ok(Place { sessions: self.clone(), who })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.lock().shares.total()
    }
}

fn too_many_from_network() -> Reply {
    Reply::new(421, (4, 7, 0), "too many sessions from your network; try again later")
}

impl Place {
    /// Whether clients like this one leave hardly a place for others.
    pub fn is_crowded(&self, limits: &Limits) -> bool {
        self.sessions.0.lock().shares.is_crowded(self.who.rank, limits.sessions)
    }

    /// The client has logged in: it counts among the accounts from now on.
    pub fn logged_in(&mut self) {
        let mut counts = self.sessions.0.lock();
        counts.shares.promote(self.who, Rank::Account, 1);
        self.who.rank = Rank::Account;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let client = network(self.who.client);
        let mut counts = self.sessions.0.lock();
        counts.shares.give_back(self.who, 1);
        if let Some(of_client) = counts.by_client.get_mut(&client) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                counts.by_client.remove(&client);
            }
        }
    }
}

/// Accepts until the server closes.
pub(crate) async fn listen(listener: TcpListener, kind: ListenerKind, sessions: Sessions, reception: Arc<Reception>) {
    let mut closing = reception.closing.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.wait_for(|c| *c) => return,
        };
        match accepted {
            Ok((tcp, peer)) => {
                tokio::spawn(session(tcp, peer, kind, sessions.clone(), reception.clone()));
            }
            Err(error) => {
                tracing::error!(%error, "a connection could not be accepted; resting a moment");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn session(tcp: TcpStream, peer: SocketAddr, kind: ListenerKind, sessions: Sessions, reception: Arc<Reception>) {
    let client = peer.ip().to_canonical();
    let limits = reception.settings.load().limits.clone();
    let who = reception.known.claimant(client, kind, reception.clock.now_ms());
    let (place, refusal) = match sessions.enter(who, &limits) {
        Ok(place) => (Some(place), None),
        Err(reply) => (None, Some(reply)),
    };
    // Small replies must not wait for the client's acknowledgement of the one before.
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let (stream, secured) = if matches!(kind, ListenerKind::Submissions | ListenerKind::ByCertificate) {
        if refusal.is_some() {
            return;
        }
        match Box::pin(handshake(tcp, client, kind, &reception)).await {
            Some((stream, secured)) => (stream, Some(secured)),
            None => return,
        }
    } else {
        (Stream::Plain(tcp), None)
    };
    let mut driver = Box::new(Driver::new(stream, secured, who, kind, reception));
    driver.place = place;
    if caught(driver.run(refusal)).await.is_none() {
        driver.give_up().await;
    }
}
