//! DNS: the MX records of a domain, the addresses of a host.
//!
//! RFC 5321 s.5.1. Invariant: "no" (the name or the record does not exist) and "no answer" (SERVFAIL, timeout) are never
//! mixed up: the first fails mail, the second defers it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use mail::Domain;
use msgauth::Authenticator;
use policy::{MxRecord, RouteFailure};

/// At most this long for one query, all servers and tries included.
const DEADLINE: Duration = Duration::from_secs(20);

/// A chain of more aliases (CNAME) than this is taken for a fault of the zone.
const ALIASES_MAX: usize = 8;

/// A caching resolver, the only one of the process: message authentication asks through it too.
#[derive(Debug, Clone)]
pub struct Resolver(Authenticator);

/// The resolver cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("DNS is not usable: {0}; name servers with dns.servers in the configuration, or see /etc/resolv.conf")]
pub struct ResolverError(String);

fn set(options: &mut ResolverOpts) {
    options.timeout = Duration::from_secs(4);
    options.attempts = 2;
    options.cache_size = 4096;
    options.try_tcp_on_error = true;
    options.positive_max_ttl = Some(Duration::from_secs(86_400));
    options.negative_max_ttl = Some(Duration::from_secs(900));
    // Mail is routed by DNS, not by this machine's hosts file.
    options.use_hosts_file = ResolveHosts::Never;
}

impl Resolver {
    /// The servers that the machine uses (/etc/resolv.conf).
    pub fn system() -> Result<Self, ResolverError> {
        let (config, options) = read_system_conf().map_err(|e| ResolverError(e.to_string()))?;
        Self::with(config, options)
    }

    /// These servers.
    pub fn of_servers(servers: &[SocketAddr]) -> Result<Self, ResolverError> {
        let of_server = |address: &SocketAddr| {
            let with_port = |mut connection: ConnectionConfig| {
                connection.port = address.port();
                connection
            };
            NameServerConfig::new(address.ip(), true, vec![with_port(ConnectionConfig::udp()), with_port(ConnectionConfig::tcp())])
        };
        let config = ResolverConfig::from_parts(None, vec![], servers.iter().map(of_server).collect());
        Self::with(config, ResolverOpts::default())
    }

    fn with(config: ResolverConfig, mut options: ResolverOpts) -> Result<Self, ResolverError> {
        set(&mut options);
        Authenticator::new(config, options).map(Self).map_err(|e| ResolverError(e.to_string()))
    }

    /// What finds out who sent a message; it shares the cache.
    pub fn authenticator(&self) -> &Authenticator {
        &self.0
    }

    async fn lookup(&self, name: &Domain, kind: RecordType) -> Result<Vec<RData>, RouteFailure> {
        let fqdn = Name::from_ascii(format!("{name}.")).map_err(|e| RouteFailure::Temporary(e.to_string()))?;
        let answer = tokio::time::timeout(DEADLINE, self.0.resolver().lookup(fqdn, kind)).await;
        match answer {
            Err(_) => Err(RouteFailure::Temporary(format!("no answer within {} s", DEADLINE.as_secs()))),
            Ok(Ok(lookup)) => {
                let aliases = lookup.answers().iter().filter(|record| matches!(record.data, RData::CNAME(_))).count();
                if aliases > ALIASES_MAX {
                    return Err(RouteFailure::Temporary(format!("{name} is an alias of an alias, more than {ALIASES_MAX} times over")));
                }
                Ok(lookup.answers().iter().map(|record| record.data.clone()).collect())
            }
            Ok(Err(e)) => Err(failure_of(&e)),
        }
    }

    /// The MX records of a domain; none where it has none but exists.
    pub async fn mx(&self, domain: &Domain) -> Result<Vec<MxRecord>, RouteFailure> {
        let records = match self.lookup(domain, RecordType::MX).await {
            Err(RouteFailure::NoAddress) => return Ok(Vec::new()),
            other => other?,
        };
        let mut mx = Vec::with_capacity(records.len());
        for record in &records {
            let RData::MX(record) = record else { continue };
            let host = if record.exchange.is_root() {
                None
            } else {
                // A name that no host can have cannot be reached; the other records still can.
                match Domain::parse(&record.exchange.to_ascii()) {
                    Ok(host) => Some(host),
                    Err(_) => continue,
                }
            };
            mx.push(MxRecord { preference: record.preference, host });
        }
        if mx.is_empty() && records.iter().any(|r| matches!(r, RData::MX(_))) {
            return Err(RouteFailure::Temporary("none of its MX records holds a valid host name".into()));
        }
        Ok(mx)
    }

    /// The texts of the TXT records of a name, each with its strings joined; none where there are none.
    pub async fn txt(&self, name: &Domain) -> Result<Vec<String>, String> {
        match self.lookup(name, RecordType::TXT).await {
            Ok(records) => Ok(records
                .iter()
                .filter_map(|record| match record {
                    RData::TXT(txt) => Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect()),
                    _ => None,
                })
                .collect()),
            Err(RouteFailure::Temporary(text)) => Err(text),
            Err(RouteFailure::NoAddress | RouteFailure::NoSuchDomain) => Ok(Vec::new()),
        }
    }

    /// The names of an address (PTR), whether they lead back to it or not; none where there are none.
    pub async fn names_of(&self, address: IpAddr) -> Result<Vec<Domain>, String> {
        let fqdn = Name::from(address);
        match tokio::time::timeout(DEADLINE, self.0.resolver().lookup(fqdn, RecordType::PTR)).await {
            Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
            Ok(Ok(lookup)) => {
                let name = |data: &RData| if let RData::PTR(ptr) = data { Domain::parse(&ptr.to_ascii()).ok() } else { None };
                Ok(lookup.answers().iter().filter_map(|record| name(&record.data)).collect())
            }
            Ok(Err(e)) => match failure_of(&e) {
                RouteFailure::Temporary(text) => Err(text),
                RouteFailure::NoAddress | RouteFailure::NoSuchDomain => Ok(Vec::new()),
            },
        }
    }

    /// The addresses of a host, IPv6 first where `ipv6` allows them.
    pub async fn addresses(&self, host: &Domain, ipv6: bool) -> Result<Vec<IpAddr>, RouteFailure> {
        if let Some(address) = host.address() {
            return Ok(vec![address]);
        }
        let v6 = async { if ipv6 { self.lookup(host, RecordType::AAAA).await } else { Err(RouteFailure::NoAddress) } };
        let (v4, v6) = tokio::join!(self.lookup(host, RecordType::A), v6);
        let mut found = Vec::new();
        for answer in [&v6, &v4] {
            for record in answer.as_deref().unwrap_or_default() {
                match record {
                    RData::A(a) => found.push(IpAddr::V4(a.0)),
                    RData::AAAA(a) => found.push(IpAddr::V6(a.0)),
                    _ => {}
                }
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        match (v4, v6) {
            (Err(temporary @ RouteFailure::Temporary(_)), _) | (_, Err(temporary @ RouteFailure::Temporary(_))) => Err(temporary),
            (Err(RouteFailure::NoSuchDomain), _) => Err(RouteFailure::NoSuchDomain),
            _ => Err(RouteFailure::NoAddress),
        }
    }
}

fn failure_of(error: &NetError) -> RouteFailure {
    if let NetError::Dns(DnsError::NoRecordsFound(NoRecords { soa: None, ns: Some(servers), .. })) = error
        && !servers.is_empty()
    {
        // A referral: "ask them", not "there is none".
        RouteFailure::Temporary("the DNS server refers to others instead of answering; name a resolver with dns.servers".into())
    } else if error.is_nx_domain() {
        RouteFailure::NoSuchDomain
    } else if error.is_no_records_found() {
        RouteFailure::NoAddress
    } else {
        RouteFailure::Temporary(error.to_string())
    }
}
