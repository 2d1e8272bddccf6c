//! The simulated DNS: one zone for the world, with delays and times without an answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, MX, PTR, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use msgauth::{Answering, SimulatedDns};
use tokio::time::sleep;

use crate::scenario::{FarDomain, OUR_ADDRESS, OURS, Scenario};
use crate::world::World;

const TTL_S: u32 = 300;

/// The DNS of a world.
#[derive(Debug)]
pub struct Zone(pub Arc<World>);

impl SimulatedDns for Zone {
    fn lookup(&self, name: Name, kind: RecordType) -> Answering {
        Box::pin(answer(self.0.clone(), name, kind))
    }
}

async fn answer(world: Arc<World>, name: Name, kind: RecordType) -> Result<Lookup, NetError> {
    let text = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let domain = domain_of(&world.scenario, &text);
    let (delay_ms, fails) = {
        let mut state = world.state();
        let now_ms = state.now_ms();
        let fails = domain.is_some_and(|domain| domain.dns_faults.iter().any(|(begin, end)| (*begin..*end).contains(&now_ms)));
        let most_ms = if fails && state.dice.chance(500) { 25_000 } else { 60 };
        let delay_ms = state.dice.between(0, most_ms);
        state.trace(&format!("DNS {text} {kind}: after {delay_ms} ms, fails {fails}"));
        (delay_ms, fails)
    };
    sleep(Duration::from_millis(u64::try_from(delay_ms).unwrap_or_default())).await;
    if fails {
        return Err(NetError::Timeout);
    }
    let query = Query::query(name.clone(), kind);
    let records: Vec<Record> =
        records(&world.scenario, &text, kind).into_iter().map(|data| Record::from_rdata(name.clone(), TTL_S, data)).collect();
    if records.is_empty() {
        let code = if exists(&world.scenario, &text) { ResponseCode::NoError } else { ResponseCode::NXDomain };
        return Err(NetError::Dns(DnsError::NoRecordsFound(NoRecords::new(query, code))));
    }
    Ok(Lookup::new_with_max_ttl(query, records))
}

fn domain_of<'a>(scenario: &'a Scenario, name: &str) -> Option<&'a FarDomain> {
    let is_reverse = |domain: &FarDomain| reverse(domain.sends_from) == name;
    scenario.domains.iter().find(|domain| name == domain.name || name.ends_with(&format!(".{}", domain.name)) || is_reverse(domain))
}

fn reverse(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return String::new() };
    let [a, b, c, d] = address.octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}

fn exists(scenario: &Scenario, name: &str) -> bool {
    [RecordType::A, RecordType::MX, RecordType::TXT, RecordType::PTR].iter().any(|kind| !records(scenario, name, *kind).is_empty())
}

fn records(scenario: &Scenario, name: &str, kind: RecordType) -> Vec<RData> {
    let a = |address: IpAddr| if let IpAddr::V4(address) = address { vec![RData::A(A(address))] } else { Vec::new() };
    let spf = |network: &str| vec![RData::TXT(TXT::new(vec![format!("v=spf1 ip4:{network} -all")]))];
    if name == OURS || name == "fwd.ours.test" || name == "mx.ours.test" {
        return match kind {
            RecordType::A => a(OUR_ADDRESS),
            RecordType::TXT => spf("203.0.113.1"),
            _ => Vec::new(),
        };
    }
    let Some(domain) = domain_of(scenario, name) else { return Vec::new() };
    let is_domain = name == domain.name;
    let out = format!("out.{}", domain.name);
    match kind {
        RecordType::MX if is_domain => {
            let mx = |(n, name): (usize, &String)| {
                let preference = u16::try_from(n * 10 + 10).unwrap_or(10);
                Some(RData::MX(MX::new(preference, Name::from_ascii(format!("{name}.")).ok()?)))
            };
            domain.hosts.iter().map(|host| &host.name).enumerate().filter_map(mx).collect()
        }
        RecordType::A if name == out => a(domain.sends_from),
        RecordType::A => domain.hosts.iter().filter(|host| host.name == name).flat_map(|host| a(host.address)).collect(),
        RecordType::TXT if is_domain => spf(&domain.sends_from.to_string()),
        RecordType::PTR if name == reverse(domain.sends_from) => {
            Name::from_ascii(format!("{out}.")).map(|name| RData::PTR(PTR(name))).into_iter().collect()
        }
        _ => Vec::new(),
    }
}
