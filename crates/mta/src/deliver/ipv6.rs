//! Decides whether to send over IPv6: only from an address with reverse DNS that SPF allows. Otherwise IPv4 is used.
//!
//! RFC 8601 s.2.7.3 (iprev), RFC 7208. Invariant: a host with only IPv6 addresses is tried anyway; if DNS fails, the address is unfit.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

use mail::Mailbox;
use mail::evidence::{IprevResult, SpfResult};
use msgauth::Input;
use parking_lot::{Mutex, MutexGuard};
use store::Flow;

use crate::deliver::outbound::Connector;

/// Time after which a fit address is checked again, in milliseconds.
const FIT_MS: i64 = 3_600_000;

/// The same for an unfit one, which the operator may be fixing.
const UNFIT_MS: i64 = 600_000;

/// Maximum addresses; privacy extensions change them.
const CHECKED_MAX: usize = 100;

/// Maximum hosted domains whose SPF is checked.
const DOMAINS_MAX: usize = 50;

/// Our IPv6 addresses, and whether they are fit.
#[derive(Debug, Default)]
pub(crate) struct Ipv6Fitness(Mutex<HashMap<(Ipv6Addr, Flow), CheckedAddress>>);

#[derive(Debug)]
struct CheckedAddress {
    is_fit: bool,
    until_ms: i64,
}

impl Ipv6Fitness {
    fn checked(&self) -> MutexGuard<'_, HashMap<(Ipv6Addr, Flow), CheckedAddress>> {
        self.0.lock()
    }

    /// Removes a host's IPv6 addresses if it has others and ours is unfit.
    pub async fn filter_addresses(
        &self,
        connector: &Connector,
        flow: Flow,
        source: Option<IpAddr>,
        port: u16,
        addresses: &mut Vec<IpAddr>,
    ) {
        let has_ipv4 = addresses.iter().any(IpAddr::is_ipv4);
        let Some(target) = addresses.iter().copied().find(IpAddr::is_ipv6).filter(|_| has_ipv4) else { return };
        let ours = match source {
            // The system chooses for a family without a configured source.
            Some(IpAddr::V6(source)) => Some(source),
            _ => source_towards(SocketAddr::new(target, port)),
        };
        let is_fit = match ours {
            Some(ours) => self.is_fit(connector, ours, flow).await,
            None => false,
        };
        if !is_fit {
            addresses.retain(IpAddr::is_ipv4);
        }
    }

    async fn is_fit(&self, connector: &Connector, ours: Ipv6Addr, flow: Flow) -> bool {
        let now_ms = connector.shared.clock.now_ms();
        if let Some(checked) = self.checked().get(&(ours, flow)).filter(|checked| now_ms < checked.until_ms) {
            return checked.is_fit;
        }
        let fault = find_fault(connector, ours, flow).await;
        match &fault {
            None => {
                tracing::info!(address = %ours, flow = flow.as_str(), "sending over IPv6: the address has a valid name and passes SPF")
            }
            Some(fault) => {
                tracing::warn!(address = %ours, flow = flow.as_str(), fault, "preferring IPv4; `waypost doctor` says what to do");
            }
        }
        let is_fit = fault.is_none();
        let mut checked = self.checked();
        checked.retain(|_, checked| now_ms < checked.until_ms);
        if checked.len() < CHECKED_MAX {
            checked.insert((ours, flow), CheckedAddress { is_fit, until_ms: now_ms + if is_fit { FIT_MS } else { UNFIT_MS } });
        }
        is_fit
    }
}

/// The fault of the address, if any.
async fn find_fault(connector: &Connector, ours: Ipv6Addr, flow: Flow) -> Option<String> {
    let authenticator = connector.resolver.authenticator();
    let (address, settings) = (IpAddr::V6(ours), connector.shared.settings.load_full());
    match authenticator.confirmed_name(address).await {
        (IprevResult::Pass, _) => {}
        (result, _) => return Some(format!("it has no forward-confirmed reverse DNS name ({result:?})")),
    }
    let hello = settings.identity(flow).hello;
    let domains = match flow {
        Flow::Own => {
            let directory = connector.shared.directory.current();
            let enabled = directory.contents().domains.iter().filter(|domain| domain.enabled);
            enabled.map(|domain| domain.name.clone()).take(DOMAINS_MAX).collect()
        }
        Flow::Forward => vec![settings.forward.srs.domain.clone()],
        // With a null reverse-path, SPF checks the EHLO name.
        Flow::Report | Flow::TlsReport | Flow::DmarcReport => vec![hello.clone()],
    };
    for domain in domains {
        let path = Mailbox::postmaster(&domain).to_string();
        let input = Input { client: address, hello: hello.as_str(), reverse_path: Some(&path), recipients: &[], message: b"" };
        let (_, spf) = authenticator.check_spf(&input).await;
        if spf.result != SpfResult::Pass {
            return Some(format!("SPF of {domain} does not allow it ({:?})", spf.result));
        }
    }
    None
}

/// The source address that the system would choose. Sends no packet.
fn source_towards(target: SocketAddr) -> Option<Ipv6Addr> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(target).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V6(ours) => Some(ours),
        IpAddr::V4(_) => None,
    }
}
