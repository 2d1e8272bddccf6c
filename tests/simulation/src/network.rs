//! The simulated network: delays, refused and silent addresses, connections that die on the way.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use net::{Connecting, SimulatedNetwork, SimulatedTcp};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::far_end;
use crate::scenario::Mood;
use crate::world::World;

/// Octets on the way in one direction.
const PIPE_BYTES: usize = 64 * 1024;

/// What a far end has accepted last on a connection, and we may not know of.
#[derive(Debug, Default)]
pub struct LastTaken {
    /// The copies.
    pub copies: Vec<(usize, String)>,
    /// The connection is dead: the far end may still find a whole message on its side, whose reply gets nowhere.
    pub is_cut: bool,
}

/// The same, for both ends.
pub type Unanswered = Arc<Mutex<LastTaken>>;

/// The network as our process sees it.
#[derive(Debug)]
pub struct Network(pub Arc<World>);

impl SimulatedNetwork for Network {
    fn connect(&self, target: SocketAddr, source: Option<IpAddr>) -> Connecting {
        Box::pin(dial(self.0.clone(), target, source))
    }

    fn listen(&self, address: SocketAddr) -> io::Result<mpsc::Receiver<SimulatedTcp>> {
        let (sender, receiver) = mpsc::channel(1024);
        self.0.state().doors.insert(address, sender);
        Ok(receiver)
    }
}

async fn dial(world: Arc<World>, target: SocketAddr, source: Option<IpAddr>) -> io::Result<SimulatedTcp> {
    let Some((domain, host)) = world.scenario.host(target.ip()) else { return Err(io::ErrorKind::HostUnreachable.into()) };
    sleep(Duration::from_millis(u64::try_from(host.latency_ms).unwrap_or_default())).await;
    match host.mood(world.now_ms()) {
        Mood::Refusing => return Err(io::ErrorKind::ConnectionRefused.into()),
        Mood::Unreachable => std::future::pending().await,
        _ => {}
    }
    let local = SocketAddr::new(source.unwrap_or(crate::scenario::OUR_ADDRESS), 40_000);
    let unanswered = Unanswered::default();
    let cut_after = cut(&world, domain.steady);
    let (ours, theirs) = link(&world, host.latency_ms, cut_after, unanswered.clone());
    let theirs = SimulatedTcp { stream: theirs, local: target, peer: local };
    tokio::spawn(far_end::serve(world.clone(), target.ip(), theirs, unanswered));
    Ok(SimulatedTcp { stream: ours, local, peer: target })
}

/// When a connection dies on the way, if it does.
fn cut(world: &World, steady: bool) -> Option<Duration> {
    let per_mille = world.scenario.cut_per_mille;
    if steady || !world.mishap(per_mille) {
        return None;
    }
    let after_ms = world.state().dice.between(0, 3_000);
    Some(Duration::from_millis(u64::try_from(after_ms).unwrap_or_default()))
}

/// Connects another host to our process; `None` if it does not listen.
pub async fn dial_us(world: &Arc<World>, from: IpAddr, steady: bool) -> Option<SimulatedTcp> {
    let address = SocketAddr::new(crate::scenario::OUR_ADDRESS, crate::scenario::PORT);
    let peer = SocketAddr::new(from, 50_000);
    let cut_after = cut(world, steady);
    let latency_ms = world.state().dice.between(0, 200);
    let (theirs, ours) = link(world, latency_ms, cut_after, Unanswered::default());
    let door = world.state().doors.get(&address).cloned()?;
    door.send(SimulatedTcp { stream: ours, local: address, peer }).await.ok()?;
    Some(SimulatedTcp { stream: theirs, local: peer, peer: address })
}

/// Two ends, with the way between them.
fn link(world: &Arc<World>, latency_ms: i64, cut_after: Option<Duration>, unanswered: Unanswered) -> (DuplexStream, DuplexStream) {
    let (near, near_way) = duplex(PIPE_BYTES);
    let (far, far_way) = duplex(PIPE_BYTES);
    let latency = Duration::from_millis(u64::try_from(latency_ms).unwrap_or_default());
    let world = world.clone();
    tokio::spawn(async move {
        let ((near_in, near_out), (far_in, far_out)) = (split(near_way), split(far_way));
        let both = async { tokio::try_join!(carry(near_in, far_out, latency), carry(far_in, near_out, latency)) };
        match cut_after {
            None => drop(both.await),
            Some(after) if timeout(after, both).await.is_err() => {
                let cut = LastTaken { is_cut: true, ..LastTaken::default() };
                let lost = std::mem::replace(&mut *unanswered.lock().expect("no task has panicked"), cut).copies;
                let mut state = world.state();
                state.trace(&format!("a connection dies on the way, {} copies in doubt", lost.len()));
                for (n, target) in lost {
                    state.ledger.excuse(n, &target);
                }
            }
            Some(_) => {}
        }
    });
    (near, far)
}

async fn carry(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>, latency: Duration) -> io::Result<()> {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let n = from.read(&mut piece).await?;
        if !latency.is_zero() {
            sleep(latency).await;
        }
        if n == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..n]).await?;
    }
}
