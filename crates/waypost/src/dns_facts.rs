//! The facts for the DNS plan: from configuration, domains, keys, certificate and the addresses of this machine.
//!
//! RFC 6376 s.3.6.1 (an empty p= revokes a key). Invariant: the same with and without a server, DNS or network.

use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};

use anyhow::Result;
use control_api::api::{CertificatesView, DomainView, KeyView, NodeView};
use control_api::{DnsInputs, ReportFacts};
use dns_plan::{DkimFact, DmarcStage, DnsFacts, KeyStage};
use mail::Domain;
use net::DnsCheck;
use net::acme::{LETS_ENCRYPT, LETS_ENCRYPT_STAGING};

use crate::config::{Config, DmarcWord, FlowWord};
use crate::transport::Transport;

/// How long mail signed with a retired key may be in transit.
const RETIRED_MS: i64 = 7 * 86_400_000;

/// The facts of all hosted domains.
pub async fn read(config: &Config, api: &mut Transport) -> Result<DnsFacts> {
    let domains: Vec<DomainView> = api.list("/api/v1/domains", &[]).await?;
    let domains = domains.into_iter().filter(|domain| domain.enabled).filter_map(|domain| domain.name.parse().ok()).collect();
    let keys: Vec<KeyView> = api.list("/api/v1/keys", &[]).await?;
    let nodes: Vec<NodeView> = api.list("/api/v1/nodes", &[]).await?;
    let mut facts = beside(of_keys(config, domains, &keys), config, &nodes);
    if config.file.dns.tlsa {
        let certificates: CertificatesView = api.get("/api/v1/certificates").await?;
        let hostname = facts.hostname.to_string();
        let shown = certificates.certificates.into_iter().filter(|certificate| certificate.shown_for.contains(&hostname));
        let keys = shown.flat_map(|certificate| [Some(certificate.spki_sha256), certificate.next_spki_sha256]).flatten();
        facts.tlsa = keys.map(|digest| digest.to_ascii_lowercase()).collect();
        facts.tlsa.sort();
        facts.tlsa.dedup();
    }
    Ok(facts)
}

/// The facts that reports of other servers are judged by.
pub fn report_facts(config: &Config) -> ReportFacts {
    let mut addresses = addresses(config);
    addresses.extend(config.settings.forward.source);
    ReportFacts { addresses, forwarding: config.settings.forward.srs.domain.clone() }
}

fn addresses(config: &Config) -> Vec<IpAddr> {
    let named: Vec<IpAddr> = config.file.dns.addresses.iter().map(|address| address.0).collect();
    if named.is_empty() { public_addresses() } else { named }
}

/// The facts of what the running server, or a command without one, has.
pub fn of_inputs(config: &Config, inputs: DnsInputs) -> DnsFacts {
    let mut facts = beside(of_keys(config, inputs.domains, &inputs.keys), config, &inputs.nodes);
    if config.file.dns.tlsa {
        let hostname = facts.hostname.to_string();
        let shown = inputs.tlsa.into_iter().filter(|(names, _)| names.contains(&hostname));
        facts.tlsa = shown.map(|(_, digest)| digest.to_ascii_lowercase()).collect();
        facts.tlsa.sort();
        facts.tlsa.dedup();
    }
    facts
}

/// The same facts, of a server that shares its mail with these.
pub fn beside(facts: DnsFacts, config: &Config, nodes: &[NodeView]) -> DnsFacts {
    let other_hosts = other_hosts(config, nodes);
    DnsFacts { sts: config.sts_policy(&other_hosts), other_hosts, ..facts }
}

/// The host names of the other servers that share the mail, each once.
pub fn other_hosts(config: &Config, nodes: &[NodeView]) -> Vec<Domain> {
    let hosts = nodes.iter().filter_map(|node| Domain::parse(node.hostname.as_deref()?).ok());
    hosts.filter(|host| *host != config.settings.hostname).collect::<BTreeSet<Domain>>().into_iter().collect()
}

/// The facts of these domains, of a server that shares its mail with no other.
pub fn of_keys(config: &Config, domains: Vec<Domain>, keys: &[KeyView]) -> DnsFacts {
    let (dns, settings) = (&config.file.dns, &config.settings);
    let addresses = addresses(config);
    let authority = config.acme().is_some_and(|acme| [LETS_ENCRYPT, LETS_ENCRYPT_STAGING].contains(&acme.directory.as_str()));
    let now_ms = net::Clock::system().now_ms();
    DnsFacts {
        hostname: settings.hostname.clone(),
        other_hosts: Vec::new(),
        forward_addresses: settings.forward.source.map_or_else(|| addresses.clone(), |source| vec![source]),
        addresses,
        domains,
        forwarding: settings.forward.srs.domain.clone(),
        keys: keys.iter().filter_map(|key| fact(key, now_ms)).collect(),
        sts: config.sts_policy(&[]),
        ports: config.submission_ports(),
        imap_host: config.file.client_config.imap_host.as_ref().map(|host| host.0.clone()),
        tlsa: Vec::new(),
        includes: includes(config, FlowWord::Own),
        forward_includes: includes(config, FlowWord::Forward),
        authority: authority.then(|| "letsencrypt.org".to_owned()),
        dmarc: match dns.dmarc {
            DmarcWord::None => DmarcStage::None,
            DmarcWord::Quarantine => DmarcStage::Quarantine,
            DmarcWord::Reject => DmarcStage::Reject,
        },
        dmarc_user: policy::DMARC_USER.into(),
        tls_user: policy::TLS_USER.into(),
        no_mail: dns.no_mail.iter().map(|name| name.0.clone()).collect(),
    }
}

/// The DNS check that the configuration describes.
pub fn checker(config: &Config, quick: bool) -> DnsCheck {
    let dns = &config.file.dns;
    DnsCheck {
        configured: dns.servers.iter().map(|server| server.0).collect(),
        others: dns.public_resolvers.iter().map(|server| server.0).collect(),
        port: u16::try_from(dns.port.0).unwrap_or(53),
        quick,
    }
}

/// The SPF includes of the relays that send this kind of mail for us.
fn includes(config: &Config, flow: FlowWord) -> Vec<String> {
    let file = &config.file;
    let routes = file.route.iter().map(|route| route.get_ref()).filter(|route| route.flows.is_empty() || route.flows.contains(&flow));
    let mut names: Vec<String> = Vec::new();
    for name in file.dns.spf_includes.iter().chain(routes.filter_map(|route| route.spf_include.as_ref())) {
        let name = name.0.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn fact(key: &KeyView, now_ms: i64) -> Option<DkimFact> {
    let stage = match key.state.as_str() {
        "next" => KeyStage::Next,
        "active" => KeyStage::Active,
        _ if now_ms - key.since_ms < RETIRED_MS => KeyStage::Retired,
        _ => KeyStage::Revoked,
    };
    Some(DkimFact {
        domain: key.domain.parse().ok()?,
        selector: key.selector.clone(),
        key_type: key.key_type.clone(),
        record: key.record.clone(),
        stage,
    })
}

/// The public addresses that this machine connects from.
pub fn public_addresses() -> Vec<IpAddr> {
    [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")].into_iter().filter_map(|(from, towards)| public(from, towards)).collect()
}

/// Sends no packet.
fn public(from: &str, towards: &str) -> Option<IpAddr> {
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(towards).ok()?;
    let address = socket.local_addr().ok()?.ip();
    let public = match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets().first() == Some(&100) && v4.octets().get(1).is_some_and(|b| b & 0xc0 == 64);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || v4.is_documentation() || shared)
        }
        IpAddr::V6(v6) => v6.segments().first().is_some_and(|s| s & 0xe000 == 0x2000),
    };
    public.then_some(address)
}
