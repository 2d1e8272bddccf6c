//! The route of a domain: a fixed next hop from the settings, or its MX hosts.
//!
//! RFC 5321 s.5.1, RFC 8460 s.3. Invariant: the first matching fixed route is used; without one, DNS decides, with the
//! last-resort route as a fallback.

use std::path::PathBuf;
use std::sync::Arc;

use mail::Domain;
use net::{Dane, Verify};
use policy::{MaildirPlace, NextHop, NextHops, Trouble, rank_mx_hosts};
use smtp::client::{Credentials, Protocol, TlsMode};
use store::Flow;

use crate::deliver::outbound::Connector;
use crate::deliver::tls_policy::Published;
use crate::settings::{Route, Settings};

/// Interval at which hosts of equal preference rotate, in seconds (RFC 5321 s.5.1 asks to spread the load); between rotations, domains
/// with the same hosts share a lane.
const SPREAD_S: i64 = 600;

/// How to reach the next hop of a domain.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The hosts, in order.
    pub hops: NextHops,
    /// The flow.
    pub flow: Flow,
    /// The TLS mode.
    pub tls: TlsMode,
    /// What is verified of the host.
    pub verify: Verify,
    /// The credentials.
    pub credentials: Option<Credentials>,
    /// The protocol.
    pub protocol: Protocol,
    /// The Unix socket of the next hop, if any.
    pub socket: Option<PathBuf>,
    /// Local mailboxes, if it leads there.
    pub maildir: Option<MaildirPlace>,
    /// The public keys of which the host must present one.
    pub pin: Option<Arc<Dane>>,
    /// Whether the operator chose the host, which may then be a loopback one.
    pub is_fixed: bool,
    /// What the domain publishes about its hosts, if DNS named them.
    pub published: Option<Published>,
    /// The fallback if no host is reachable.
    pub last_resort: Option<Arc<Plan>>,
}

impl Plan {
    /// Whether connections of the other plan can be used for this one.
    pub fn is_compatible(&self, other: &Self) -> bool {
        (self.tls, self.verify, &self.credentials, self.is_fixed, self.protocol, &self.socket)
            == (other.tls, other.verify, &other.credentials, other.is_fixed, other.protocol, &other.socket)
            && (self.own_policy(), &self.pin, &self.maildir) == (other.own_policy(), &other.pin, &other.maildir)
            && match (&self.last_resort, &other.last_resort) {
                (Some(one), Some(two)) => one.hops == two.hops && one.is_compatible(two),
                (one, two) => one.is_none() && two.is_none(),
            }
    }

    /// What distinguishes the domain from others with the same hosts.
    pub fn own_policy(&self) -> Option<&Published> {
        self.published.as_ref().filter(|published| published.is_specific())
    }
}

/// Finds the route of a domain. `is_relaxed` ignores what the domain publishes about TLS, for mail with TLS-Required: No.
pub(crate) async fn find_route(connector: &Connector, domain: &Domain, flow: Flow, is_relaxed: bool) -> Result<Arc<Plan>, Trouble> {
    let settings = connector.shared.settings.load_full();
    let find = |is_last_resort| settings.delivery.routes.iter().find(|r| r.is_last_resort == is_last_resort && fits(r, domain, flow));
    if let Some(route) = find(false) {
        return Ok(Arc::new(fixed_plan(route, flow)));
    }
    let last_resort = find(true).map(|route| Arc::new(fixed_plan(route, flow)));
    let (hops, published) = match domain.address() {
        Some(_) => (NextHops::only(NextHop { host: domain.clone(), port: settings.delivery.port }), None),
        // A domain's TLS policy must not stop the report about its failure (RFC 8460 s.3).
        None if is_relaxed || flow == Flow::TlsReport => (hosts(connector, &settings, domain).await?.0, None),
        None => by_mx(connector, &settings, domain).await.map(|(hops, published)| (hops, Some(published)))?,
    };
    Ok(Arc::new(Plan {
        hops,
        flow,
        tls: TlsMode::Opportunistic,
        verify: Verify::Nothing,
        credentials: None,
        protocol: Protocol::Smtp,
        socket: None,
        maildir: None,
        pin: None,
        is_fixed: false,
        published,
        last_resort,
    }))
}

fn fits(route: &Route, domain: &Domain, flow: Flow) -> bool {
    let flow = if flow.is_daily() { Flow::Report } else { flow };
    (route.domains.is_empty() || route.domains.contains(domain)) && (route.flows.is_empty() || route.flows.contains(&flow))
}

/// The hosts of a domain, and whether DNSSEC secures them.
async fn hosts(connector: &Connector, settings: &Settings, domain: &Domain) -> Result<(NextHops, bool), Trouble> {
    let rotation = u32::try_from(connector.shared.clock.now_s() / SPREAD_S % i64::from(u32::MAX)).unwrap_or(0);
    let answer = connector.resolver.mail_hosts(domain).await.map_err(|failure| failure.into_trouble(domain))?;
    let own_names = std::slice::from_ref(&settings.hostname);
    let hops = rank_mx_hosts(domain, answer.records, own_names, settings.delivery.port, connector.spread.wrapping_add(rotation))?;
    Ok((hops, answer.secure))
}

async fn by_mx(connector: &Connector, settings: &Settings, domain: &Domain) -> Result<(NextHops, Published), Trouble> {
    let (hops, is_secure) = hosts(connector, settings, domain).await?;
    let (sts, sts_error) = connector.sts.policy_of(connector, domain).await;
    Ok((hops, Published { domain: domain.clone(), is_secure, sts, sts_error }))
}

pub(crate) fn fixed_plan(route: &Route, flow: Flow) -> Plan {
    Plan {
        hops: NextHops::only(NextHop { host: route.host.clone(), port: route.port }),
        flow,
        tls: route.tls,
        verify: if route.verify { Verify::Name } else { Verify::Nothing },
        credentials: route.credentials.clone(),
        protocol: route.protocol,
        socket: route.socket.clone(),
        maildir: route.maildir.clone(),
        pin: Dane::pinned(&route.pins, &route.host).map(Arc::new),
        is_fixed: true,
        published: None,
        last_resort: None,
    }
}
