//! Opens a connection to the next hop: hosts by preference, addresses concurrently.
//!
//! RFC 5321 s.5.1 and s.4.5.3.2, RFC 8305 s.5 (the next address starts before the first has timed out). Invariant: we never deliver to ourselves,
//! and a host that fails its TLS requirement is skipped.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mail::Domain;
use net::{HostAddresses, Network, Tcp};
use policy::{NextHop, Scope, Trouble};
use reports::tls::FailureDetails;
use smtp::client::{ClientSession, Phase};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::deliver::connection_limit::ConnectionPermit;
use crate::deliver::open_session::SessionOpener;
use crate::deliver::outbound::Connector;
use crate::deliver::route::Plan;
use crate::deliver::tls_policy::{TlsRequirement, find_requirement};
use crate::reporting::tls_results::{self, sts_policy};
use crate::settings::Delivery;
use crate::support::stream::Stream;

/// Maximum addresses tried per host.
const ADDRESSES_MAX: usize = 6;

/// Delay before the next address is tried.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Hosts and addresses tried in one attempt.
#[derive(Debug, Default)]
pub(crate) struct TriedHosts {
    hosts: Vec<Domain>,
    addresses: Vec<(Domain, IpAddr)>,
}

impl TriedHosts {
    /// Records a host that accepted the connection but not the message. Its other addresses may be other servers.
    pub fn add(&mut self, connection: &Connection) {
        match connection.address {
            Some(address) => self.addresses.push((connection.host.clone(), address)),
            None => self.hosts.push(connection.host.clone()),
        }
    }
}

/// A connection on which transactions can begin.
#[derive(Debug)]
pub(crate) struct Connection {
    pub stream: Stream,
    pub session: ClientSession,
    /// The host's name.
    pub host: Domain,
    /// Its address; `None` for a local socket.
    pub address: Option<IpAddr>,
    /// TLS version and suite.
    pub tls: Option<String>,
    /// Why there is no TLS, where it was tried.
    pub plaintext: Option<String>,
    /// How the host was authenticated.
    pub verified: Option<&'static str>,
    /// Messages sent over it.
    pub messages: u32,
    /// Its permit at the host.
    pub permit: Option<ConnectionPermit>,
}

/// Timeout for a reply (RFC 5321 s.4.5.3.2).
pub(crate) fn reply_timeout(phase: Phase) -> Duration {
    Duration::from_secs(match phase {
        Phase::AfterDot => 600,
        Phase::Content => 180,
        Phase::Quit => 5,
        _ => 300,
    })
}

/// Connects to the first host that accepts us and was not tried yet, for mail to this domain.
pub(crate) async fn connect(connector: &Connector, plan: &Plan, domain: &Domain, tried: &mut TriedHosts) -> Result<Connection, Trouble> {
    if let Some(published) = &plan.published
        && let Some(error) = &published.sts_error
    {
        let failed = FailureDetails { result: error.result.clone(), reason: error.text.clone(), ..FailureDetails::default() };
        tls_results::count_session(
            &connector.shared,
            &connector.results,
            &sts_policy(domain, published.sts.as_ref().map(|sts| &sts.policy)),
            Some(failed),
        );
    }
    let mut worst: Option<Trouble> = None;
    for hop in plan.hops.hosts() {
        if tried.hosts.contains(&hop.host) {
            continue;
        }
        match connect_host(connector, plan, domain, hop, tried).await {
            Ok(Some(connection)) => return Ok(connection),
            Ok(None) => {}
            // Hosts after us in the list would only send the mail back.
            Err(trouble) if trouble.ends_list_of_hosts() => return Err(trouble),
            // A large provider counts attempts over all its hosts: trying the next one would only add to the count.
            Err(trouble) if trouble.wants_pause() && policy::provider_of(&hop.host).is_some() => return Err(trouble),
            Err(trouble) => {
                tried.hosts.push(hop.host.clone());
                tracing::info!(host = %hop.host, %trouble, "host does not accept mail now");
                // A temporary failure of one host is enough to defer.
                if worst.as_ref().is_none_or(|w| w.permanent && !trouble.permanent) {
                    worst = Some(trouble);
                }
            }
        }
    }
    Err(worst.unwrap_or_else(|| Trouble::unreachable("no host to connect to")))
}

/// Connects to an untried address of this host; `None` if none is left.
async fn connect_host(
    connector: &Connector,
    plan: &Plan,
    domain: &Domain,
    hop: &NextHop,
    tried: &TriedHosts,
) -> Result<Option<Connection>, Trouble> {
    let settings = connector.shared.settings.load_full();
    let delivery = &settings.delivery;
    if let Some(socket) = &plan.socket {
        let identity = settings.identity(plan.flow);
        let permit = connector.connection_limits.acquire(hop, plan.flow, connector.shared.connections_per_host()).await;
        let connected = timeout(Duration::from_secs(delivery.connect_timeout_s), UnixStream::connect(socket)).await;
        let connected = connected.map_err(|_| "no answer".to_owned()).and_then(|connected| connected.map_err(|e| e.to_string()));
        let local = connected.map_err(|e| Trouble::unreachable(format!("cannot connect to {}: {e}", socket.display())))?;
        let opener = SessionOpener { connector, plan, hop, identity: &identity, requirement: &TlsRequirement::Nothing, policy: None };
        return opener.open_local(local).await.map(|connection| Some(Connection { permit: Some(permit), ..connection }));
    }
    let found = addresses(connector, &hop.host, delivery.ipv6).await.map_err(|failure| match failure {
        policy::RouteFailure::Temporary(text) => Trouble::dns(format!("cannot look up the address of {}: {text}", hop.host)),
        _ => Trouble::permanent(Scope::Host, 4, 4, format!("the mail host {} has no address", hop.host)),
    })?;
    let mut addresses: Vec<IpAddr> = found.addresses.iter().copied().take(ADDRESSES_MAX).collect();
    let is_left = |address: &IpAddr| !tried.addresses.iter().any(|(host, tried)| *host == hop.host && tried == address);
    if !addresses.iter().any(is_left) {
        return Ok(None);
    }
    if !plan.is_fixed && !delivery.loopback && addresses.iter().any(is_this_machine) {
        return Err(looped(&hop.host));
    }
    let identity = settings.identity(plan.flow);
    if delivery.check_ipv6 && !plan.is_fixed {
        connector.ipv6.filter_addresses(connector, plan.flow, identity.source, hop.port, &mut addresses).await;
    }
    addresses.retain(is_left);
    let required = find_requirement(connector, plan, domain, hop, &found).await?;
    let permit = connector.connection_limits.acquire(hop, plan.flow, connector.shared.connections_per_host()).await;
    let mut trouble = Trouble::unreachable(format!("no address of {} answers", hop.host));
    while !addresses.is_empty() {
        let (tcp, address) = race(&connector.network, (&addresses, identity.source), hop, delivery).await?;
        if is_ourselves(&tcp, &connector.own_ports) {
            return Err(looped(&hop.host));
        }
        let opener = SessionOpener {
            connector,
            plan,
            hop,
            identity: &identity,
            requirement: &required.requirement,
            policy: required.policy.as_ref(),
        };
        match opener.open(tcp).await {
            Ok(connection) => return Ok(Some(Connection { permit: Some(permit), address: Some(address), ..connection })),
            Err(failed) => trouble = failed,
        }
        addresses.retain(|a| *a != address);
    }
    Err(trouble)
}

/// Looks up a host, without IPv6 if it refuses our IPv6 and has IPv4.
async fn addresses(connector: &Connector, host: &Domain, ipv6: bool) -> Result<HostAddresses, policy::RouteFailure> {
    if ipv6 && connector.breakers.is_ipv4_only(host, connector.shared.clock.now_ms()) {
        let found = connector.resolver.host(host, false).await;
        if found.is_ok() {
            return found;
        }
    }
    connector.resolver.host(host, ipv6).await
}

fn looped(host: &Domain) -> Trouble {
    Trouble::looped(format!("mail loops back to us: the mail host {host} is this server"))
}

fn is_this_machine(address: &IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

/// Whether both ends have the same address, and the remote port is one of ours.
fn is_ourselves(tcp: &Tcp, own_ports: &[u16]) -> bool {
    match (tcp.local_addr(), tcp.peer_addr()) {
        (Ok(local), Ok(peer)) => local.ip() == peer.ip() && own_ports.contains(&peer.port()),
        _ => false,
    }
}

/// Tries addresses concurrently, each after a short delay; the first connection wins.
async fn race(
    network: &Network,
    (addresses, source): (&[IpAddr], Option<IpAddr>),
    hop: &NextHop,
    delivery: &Delivery,
) -> Result<(Tcp, IpAddr), Trouble> {
    let limit = Duration::from_secs(delivery.connect_timeout_s);
    let mut attempts = JoinSet::new();
    let mut left = addresses.iter().copied();
    let mut last = String::from("no address to try");
    loop {
        if let Some(address) = left.next() {
            let target = SocketAddr::new(address, hop.port);
            let network = network.clone();
            attempts.spawn(async move {
                let connected = timeout(limit, network.connect(target, source)).await;
                (address, connected.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut))))
            });
        }
        let has_more = left.len() > 0;
        let wait = if has_more { NEXT_ADDRESS_AFTER } else { limit + NEXT_ADDRESS_AFTER };
        match timeout(wait, attempts.join_next()).await {
            Ok(Some(Ok((address, Ok(tcp))))) => return Ok((tcp, address)),
            Ok(Some(Ok((address, Err(error))))) => last = format!("[{address}]:{}: {error}", hop.port),
            Ok(Some(Err(_))) | Err(_) => {}
            Ok(None) if has_more => {}
            Ok(None) => return Err(Trouble::unreachable(format!("cannot connect to {}: {last}", hop.host))),
        }
    }
}

impl Connection {
    /// Returns once another delivery waits for this connection's permit.
    pub async fn needed_elsewhere(&self) {
        match &self.permit {
            Some(permit) => permit.needed().await,
            None => std::future::pending().await,
        }
    }

    /// Closes the connection, with QUIT if `politely`. The host counts it until it has closed its side (RFC 5321 s.4.1.1.10), so the
    /// permit is returned only then.
    pub async fn close(mut self, politely: bool) {
        let _ = timeout(reply_timeout(Phase::Quit), async {
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
