//! Opening a connection to the next hop: hosts by preference, addresses side by side, greeting, TLS, login.
//!
//! RFC 5321 s.5.1 and s.4.5.3.2, RFC 8305 s.5 (the next address starts before the first has timed out), RFC 7435 (TLS that fails where
//! it was only opportunistic is done without). Invariant: we never deliver to ourselves.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mail::{Domain, Reply};
use policy::{NextHop, Scope, Trouble, trouble_of_failure};
use smtp::client::{Config, Event, Failure, Phase, Session, TlsMode};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::dispatch::World;
use crate::host_places::HostPlace;
use crate::plan::Plan;
use crate::settings::{Delivery, Identity};
use crate::stream::Stream;

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 6;

/// The next address is tried when the one before has not answered for so long.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// A TLS handshake must be over in this time.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(60);

/// A connection on which transactions can begin.
#[derive(Debug)]
pub(crate) struct Connection {
    pub stream: Stream,
    pub session: Session,
    /// The host's name.
    pub host: Domain,
    /// TLS version and suite.
    pub tls: Option<String>,
    /// Messages sent over it.
    pub messages: u32,
    /// Its place at the host.
    place: Option<HostPlace>,
}

/// How long a reply may take (RFC 5321 s.4.5.3.2).
pub(crate) fn patience(phase: Phase) -> Duration {
    Duration::from_secs(match phase {
        Phase::AfterDot => 600,
        Phase::Content => 180,
        Phase::Quit => 5,
        _ => 300,
    })
}

/// Connects to the first host that takes us.
pub(crate) async fn connect(world: &World, plan: &Plan) -> Result<Connection, Trouble> {
    let mut worst: Option<Trouble> = None;
    for hop in plan.hops.hosts() {
        match connect_host(world, plan, hop).await {
            Ok(connection) => return Ok(connection),
            // Whatever stands behind us in the list would only send the mail back.
            Err(trouble) if trouble.enhanced == mail::EnhancedCode(5, 4, 6) => return Err(trouble),
            // What a large provider counts, it counts over all its hosts: to ask the next one would only be one try more.
            Err(trouble) if trouble.wants_pause() && policy::provider_of(&hop.host).is_some() => return Err(trouble),
            Err(trouble) => {
                tracing::info!(host = %hop.host, %trouble, "host does not take mail now");
                // One host that may come back is a reason to wait.
                if worst.as_ref().is_none_or(|w| w.permanent && !trouble.permanent) {
                    worst = Some(trouble);
                }
            }
        }
    }
    Err(worst.unwrap_or_else(|| Trouble::unreachable("there is no host to connect to")))
}

async fn connect_host(world: &World, plan: &Plan, hop: &NextHop) -> Result<Connection, Trouble> {
    let settings = world.settings.load_full();
    let delivery = &settings.delivery;
    if let Some(socket) = &plan.socket {
        let identity = settings.identity(plan.flow);
        let place = world.hosts.enter(hop, plan.flow, delivery.connections_per_host).await;
        let local = timeout(Duration::from_secs(delivery.connect_timeout_s), UnixStream::connect(socket)).await;
        let local = local.map_err(|_| "no answer".to_owned()).and_then(|connected| connected.map_err(|e| e.to_string()));
        let local = local.map_err(|e| Trouble::unreachable(format!("{} cannot be reached: {e}", socket.display())))?;
        let greeted = greet(world, plan, plan.tls, hop, Stream::Local(local), &identity.hello).await;
        return greeted.map(|connection| Connection { place: Some(place), ..connection }).map_err(|e| e.into_trouble(&hop.host));
    }
    let found = addresses(world, &hop.host, delivery.ipv6).await.map_err(|failure| match failure {
        policy::RouteFailure::Temporary(text) => Trouble::dns(format!("DNS gave no address of {}: {text}", hop.host)),
        _ => Trouble::permanent(Scope::Host, 4, 4, format!("the mail host {} has no address", hop.host)),
    })?;
    let mut addresses: Vec<IpAddr> = found.into_iter().take(ADDRESSES_MAX).collect();
    if !plan.is_fixed && !delivery.loopback && addresses.iter().any(is_this_machine) {
        return Err(looped(&hop.host));
    }
    let identity = settings.identity(plan.flow);
    let place = world.hosts.enter(hop, plan.flow, delivery.connections_per_host).await;
    let mut trouble = Trouble::unreachable(format!("no address of {} answers", hop.host));
    while !addresses.is_empty() {
        let (tcp, address) = race(&addresses, hop, delivery, identity.source).await?;
        if is_ourselves(&tcp, &world.own_ports) {
            return Err(looped(&hop.host));
        }
        match open(world, plan, hop, tcp, &identity).await {
            Ok(connection) => return Ok(Connection { place: Some(place), ..connection }),
            Err(failed) => trouble = failed,
        }
        addresses.retain(|a| *a != address);
    }
    Err(trouble)
}

/// A host that wants no IPv6 from us gets none, unless it has nothing else.
async fn addresses(world: &World, host: &Domain, ipv6: bool) -> Result<Vec<IpAddr>, policy::RouteFailure> {
    if ipv6 && world.circuits.is_ipv4_only(host, world.clock.now_ms()) {
        let found = world.resolver.addresses(host, false).await;
        if found.is_ok() {
            return found;
        }
    }
    world.resolver.addresses(host, ipv6).await
}

fn looped(host: &Domain) -> Trouble {
    Trouble::permanent(Scope::Host, 4, 6, format!("mail loops back to us: the mail host {host} is this machine"))
}

fn is_this_machine(address: &IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

/// Both ends on one address, and one of our own ports at the far end.
fn is_ourselves(tcp: &TcpStream, own_ports: &[u16]) -> bool {
    match (tcp.local_addr(), tcp.peer_addr()) {
        (Ok(local), Ok(peer)) => local.ip() == peer.ip() && own_ports.contains(&peer.port()),
        _ => false,
    }
}

/// Tries addresses side by side, each a little after the one before; the first that answers wins.
async fn race(addresses: &[IpAddr], hop: &NextHop, delivery: &Delivery, source: Option<IpAddr>) -> Result<(TcpStream, IpAddr), Trouble> {
    let limit = Duration::from_secs(delivery.connect_timeout_s);
    let mut attempts = JoinSet::new();
    let mut left = addresses.iter().copied();
    let mut last = String::from("no address to try");
    loop {
        if let Some(address) = left.next() {
            let target = SocketAddr::new(address, hop.port);
            attempts.spawn(async move {
                let connected = timeout(limit, dial(target, source)).await;
                (address, connected.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut))))
            });
        }
        let more = left.len() > 0;
        let wait = if more { NEXT_ADDRESS_AFTER } else { limit + NEXT_ADDRESS_AFTER };
        match timeout(wait, attempts.join_next()).await {
            Ok(Some(Ok((address, Ok(tcp))))) => return Ok((tcp, address)),
            Ok(Some(Ok((address, Err(error))))) => last = format!("[{address}]:{}: {error}", hop.port),
            Ok(Some(Err(_))) | Err(_) => {}
            Ok(None) if more => {}
            Ok(None) => return Err(Trouble::unreachable(format!("{} cannot be reached: {last}", hop.host))),
        }
    }
}

async fn dial(target: SocketAddr, source: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source.filter(|s| s.is_ipv4() == target.is_ipv4()) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let tcp = socket.connect(target).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Greets; where opportunistic TLS fails, once more without it, over a new connection.
async fn open(world: &World, plan: &Plan, hop: &NextHop, tcp: TcpStream, identity: &Identity) -> Result<Connection, Trouble> {
    let peer = tcp.peer_addr().map_err(|e| Trouble::connection_lost(e.to_string()))?;
    let is_wanted = plan.tls == TlsMode::Opportunistic && world.circuits.is_tls_only(&hop.host, world.clock.now_ms());
    let tls = if is_wanted { TlsMode::Required } else { plan.tls };
    match greet(world, plan, tls, hop, Stream::Plain(tcp), &identity.hello).await {
        Err(GreetError::Tls(error)) if tls == TlsMode::Opportunistic => {
            tracing::info!(host = %hop.host, error, "opportunistic TLS failed; going on without it");
            let tcp = dial(peer, identity.source).await.map_err(|e| Trouble::unreachable(e.to_string()))?;
            greet(world, plan, TlsMode::Never, hop, Stream::Plain(tcp), &identity.hello).await.map_err(|e| e.into_trouble(&hop.host))
        }
        other => other.map_err(|e| e.into_trouble(&hop.host)),
    }
}

enum GreetError {
    Tls(String),
    Failed(Failure),
    Late,
    Lost(std::io::Error),
}

impl GreetError {
    fn into_trouble(self, host: &Domain) -> Trouble {
        match self {
            Self::Tls(error) => Trouble::tls(format!("TLS with {host} failed: {error}")),
            Self::Failed(failure) => trouble_of(&failure, host),
            Self::Late => Trouble::connection_lost(format!("{host} did not answer in time")),
            Self::Lost(error) => Trouble::connection_lost(format!("the connection to {host} was lost: {error}")),
        }
    }
}

/// What the failure of a session means for the mail that waits.
pub(crate) fn trouble_of(failure: &Failure, host: &Domain) -> Trouble {
    let said = |reply: &Reply| {
        let trouble = trouble_of_failure(host, reply);
        Trouble { text: format!("{host} said: {}", trouble.text), ..trouble }
    };
    match failure {
        Failure::Disconnected { after_dot: true } => {
            Trouble::connection_lost(format!("{host} closed the connection before it confirmed the message; it may have been delivered"))
        }
        Failure::Disconnected { after_dot: false } => Trouble::connection_lost(format!("{host} closed the connection")),
        Failure::Protocol(text) => Trouble::bad_protocol(format!("{host} does not speak SMTP: {text}")),
        Failure::Greeting(reply) | Failure::Hello(reply) | Failure::Closing421(reply) => said(reply),
        Failure::TlsNotOffered => Trouble::tls(format!("{host} offers no TLS, and it is required")),
        Failure::TlsRefused(reply) => Trouble::tls(format!("{host} refused TLS: {reply}")),
        Failure::TlsInjected => Trouble::tls(format!("{host} sent plaintext where TLS should begin: somebody may be on the path")),
        Failure::AuthNotOffered => {
            Trouble::temporary(Scope::Host, 7, 0, format!("{host} offers no login that Waypost knows (PLAIN, LOGIN)"))
        }
        Failure::AuthRefused(reply) => Trouble::temporary(Scope::Host, 7, 8, format!("{host} refused our login: {reply}")),
    }
}

async fn greet(world: &World, plan: &Plan, tls: TlsMode, hop: &NextHop, stream: Stream, hello: &Domain) -> Result<Connection, GreetError> {
    let config = Config { protocol: plan.protocol, hello: hello.to_string(), tls, credentials: plan.credentials.clone() };
    let mut session = Session::new(config);
    let (mut stream, mut description) = (stream, None);
    if tls == TlsMode::Implicit {
        (stream, description) = handshake(world, plan, hop, stream).await?;
    }
    let mut output = Vec::new();
    loop {
        while let Some(event) = session.next_event() {
            match event {
                Event::StartTls => {
                    (stream, description) = handshake(world, plan, hop, stream).await?;
                    session.tls_established();
                }
                Event::Ready => {
                    return Ok(Connection { stream, session, host: hop.host.clone(), tls: description, messages: 0, place: None });
                }
                Event::Failed(failure) => return Err(GreetError::Failed(failure)),
                Event::SendContent | Event::Done(_) => {}
            }
        }
        session.take_output(&mut output);
        if !output.is_empty() {
            stream.send(&output).await.map_err(GreetError::Lost)?;
            output.clear();
        }
        let wait = patience(session.phase());
        let read = timeout(wait, stream.read_into(|bytes| session.receive(bytes))).await.map_err(|_| GreetError::Late)?;
        if read.map_err(GreetError::Lost)? == 0 {
            session.disconnected();
        }
    }
}

async fn handshake(world: &World, plan: &Plan, hop: &NextHop, stream: Stream) -> Result<(Stream, Option<String>), GreetError> {
    let tls = |text: String| GreetError::Tls(text);
    let tcp = stream.into_plain().ok_or_else(|| tls("TLS is on already".into()))?;
    let shaken = timeout(HANDSHAKE_WITHIN, world.tls.connect(plan.verify, &hop.host, tcp)).await;
    let stream = shaken.map_err(|_| tls("the handshake took too long".into()))?.map_err(|e| tls(e.to_string()))?;
    let description = net::describe(stream.get_ref().1);
    Ok((Stream::Tls(Box::new(stream.into())), Some(description)))
}

impl Connection {
    /// Returns once the place of this connection is of more use to somebody else.
    pub async fn wanted(&self) {
        match &self.place {
            Some(place) => place.wanted().await,
            None => std::future::pending().await,
        }
    }

    /// Ends the connection, with QUIT where the peer still listens. The host counts it until it has closed it too
    /// (RFC 5321 s.4.1.1.10), so its place is given back only then.
    pub async fn close(mut self, politely: bool) {
        let _ = timeout(patience(Phase::Quit), async {
            if politely {
                let mut output = Vec::new();
                self.session.quit();
                self.session.take_output(&mut output);
                self.stream.send(&output).await?;
                while self.stream.read_into(|_| ()).await? > 0 {}
            }
            self.stream.close().await;
            std::io::Result::Ok(())
        })
        .await;
    }
}
