//! DNS: the MX records of a domain, the addresses of a host, its TLSA records, and whether they are secure.
//!
//! RFC 5321 s.5.1, RFC 7672 s.2.2. Invariant: "no" (the name or the record does not exist) and "no answer" (SERVFAIL, timeout, bogus signatures) are
//! never mixed up: the first fails mail, the second defers it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use mail::Domain;
use msgauth::Authenticator;
use policy::{MxRecord, RouteFailure};

use crate::dane::Tlsa;
use crate::validation::{Found, Validate, Validation, Validator};

/// At most this long for one query, all servers and tries included.
const DEADLINE: Duration = Duration::from_secs(20);

/// A chain of more aliases (CNAME) than this is taken for a fault of the zone.
const ALIASES_MAX: usize = 8;

/// A caching resolver, the only one of the process: message authentication asks through it too.
#[derive(Debug, Clone)]
pub struct Resolver {
    asks: Authenticator,
    validation: Arc<Validation>,
}

/// The resolver cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// There are no servers to ask.
    #[error("DNS is not usable: {0}; name servers with dns.servers in the configuration, or see /etc/resolv.conf")]
    Setup(String),
    /// A resolver far away is to be believed.
    #[error(
        "dns.validate = \"upstream\" believes the name servers, so all of them must be on a loopback address; write \"here\" or \"auto\""
    )]
    NotLocal,
    /// The trust anchor cannot be used.
    #[error("{path}: {reason}; dns.trust_anchor names a file with DNSKEY records")]
    Anchor {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The records of a kind, and whether DNSSEC vouches for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The records.
    pub records: Vec<T>,
    /// Whether they are secure.
    pub secure: bool,
}

/// The addresses of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether DNSSEC vouches for all of them, and for the aliases on the way to them.
    pub secure: bool,
    /// What the name is an alias of, where it is one.
    pub canonical: Option<Domain>,
}

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
    /// These servers; where there are none, those that the machine uses (/etc/resolv.conf). `anchor` is a file with the keys that are trusted instead
    /// of those of the root.
    pub fn new(servers: &[SocketAddr], validate: Validate, anchor: Option<&Path>) -> Result<Self, ResolverError> {
        if servers.is_empty() {
            let (config, options) = read_system_conf().map_err(|e| ResolverError::Setup(e.to_string()))?;
            return Self::with(config, options, validate, anchor);
        }
        let of_server = |address: &SocketAddr| {
            let with_port = |mut connection: ConnectionConfig| {
                connection.port = address.port();
                connection
            };
            NameServerConfig::new(address.ip(), true, vec![with_port(ConnectionConfig::udp()), with_port(ConnectionConfig::tcp())])
        };
        let config = ResolverConfig::from_parts(None, vec![], servers.iter().map(of_server).collect());
        Self::with(config, ResolverOpts::default(), validate, anchor)
    }

    /// The servers that the machine uses; nothing is validated.
    pub fn system() -> Result<Self, ResolverError> {
        Self::new(&[], Validate::Off, None)
    }

    /// These servers; nothing is validated.
    pub fn of_servers(servers: &[SocketAddr]) -> Result<Self, ResolverError> {
        Self::new(servers, Validate::Off, None)
    }

    fn with(config: ResolverConfig, mut options: ResolverOpts, validate: Validate, anchor: Option<&Path>) -> Result<Self, ResolverError> {
        set(&mut options);
        let validation = Validation::new(validate, anchor, &config, &options)?;
        let asks = Authenticator::new(config, options).map_err(|e| ResolverError::Setup(e.to_string()))?;
        Ok(Self { asks, validation })
    }

    /// What finds out who sent a message.
    pub fn authenticator(&self) -> &Authenticator {
        &self.asks
    }

    /// Which way of DNSSEC validation is in force; finds it out where it is not known.
    pub async fn validator(&self) -> Validator {
        self.validation.validator().await
    }

    /// Which way of DNSSEC validation is in force, as far as that is known without a question to DNS.
    pub fn known_validator(&self) -> Validator {
        self.validation.known()
    }

    async fn lookup(&self, name: &Domain, kind: RecordType) -> Result<Found, RouteFailure> {
        self.lookup_fqdn(&format!("{name}."), kind).await
    }

    async fn lookup_fqdn(&self, name: &str, kind: RecordType) -> Result<Found, RouteFailure> {
        let fqdn = Name::from_ascii(name).map_err(|e| RouteFailure::Temporary(e.to_string()))?;
        let found = tokio::time::timeout(DEADLINE, self.ask(&fqdn, kind)).await;
        let found = found.unwrap_or_else(|_| Err(RouteFailure::Temporary(format!("no answer within {} s", DEADLINE.as_secs()))))?;
        if found.records.iter().filter(|record| matches!(record.data, RData::CNAME(_))).count() > ALIASES_MAX {
            return Err(RouteFailure::Temporary(format!("{name} is an alias of an alias, more than {ALIASES_MAX} times over")));
        }
        Ok(found)
    }

    async fn ask(&self, fqdn: &Name, kind: RecordType) -> Result<Found, RouteFailure> {
        if let Some(found) = self.validation.ask(fqdn, kind).await {
            return found;
        }
        let lookup = self.asks.resolver().lookup(fqdn.clone(), kind).await.map_err(|e| failure_of(&e))?;
        Ok(Found { records: lookup.answers().to_vec(), secure: false })
    }

    /// The MX records of a domain; none where it has none but exists. That it has none is believed only where it is proved or nothing need be, so
    /// no records are as secure as the addresses of the domain itself.
    pub async fn mail_hosts(&self, domain: &Domain) -> Result<Answer<MxRecord>, RouteFailure> {
        let found = match self.lookup(domain, RecordType::MX).await {
            Err(RouteFailure::NoAddress) => return Ok(Answer { records: Vec::new(), secure: true }),
            other => other?,
        };
        let mut mx = Vec::with_capacity(found.records.len());
        for record in &found.records {
            let RData::MX(record) = &record.data else { continue };
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
        if mx.is_empty() && found.records.iter().any(|r| matches!(r.data, RData::MX(_))) {
            return Err(RouteFailure::Temporary("none of its MX records holds a valid host name".into()));
        }
        Ok(Answer { records: mx, secure: found.secure })
    }

    /// The MX records of a domain.
    pub async fn mx(&self, domain: &Domain) -> Result<Vec<MxRecord>, RouteFailure> {
        self.mail_hosts(domain).await.map(|answer| answer.records)
    }

    /// The texts of the TXT records of a name, each with its strings joined; none where there are none.
    pub async fn txt(&self, name: &Domain) -> Result<Vec<String>, String> {
        match self.lookup(name, RecordType::TXT).await {
            Ok(found) => Ok(found.records.iter().filter_map(text_of).collect()),
            Err(RouteFailure::Temporary(text)) => Err(text),
            Err(RouteFailure::NoAddress | RouteFailure::NoSuchDomain) => Ok(Vec::new()),
        }
    }

    /// The names of an address (PTR), whether they lead back to it or not; none where there are none.
    pub async fn names_of(&self, address: IpAddr) -> Result<Vec<Domain>, String> {
        match self.lookup_fqdn(&Name::from(address).to_ascii(), RecordType::PTR).await {
            Ok(found) => {
                let name = |data: &RData| if let RData::PTR(ptr) = data { Domain::parse(&ptr.to_ascii()).ok() } else { None };
                Ok(found.records.iter().filter_map(|record| name(&record.data)).collect())
            }
            Err(RouteFailure::Temporary(text)) => Err(text),
            Err(RouteFailure::NoAddress | RouteFailure::NoSuchDomain) => Ok(Vec::new()),
        }
    }

    /// The TLSA records of a TCP port of a host; none where there are none.
    pub async fn tlsa(&self, host: &Domain, port: u16) -> Result<Answer<Tlsa>, RouteFailure> {
        match self.lookup_fqdn(&format!("_{port}._tcp.{host}."), RecordType::TLSA).await {
            Ok(found) => Ok(Answer { records: found.records.iter().filter_map(tlsa_of).collect(), secure: found.secure }),
            Err(RouteFailure::NoAddress | RouteFailure::NoSuchDomain) => Ok(Answer { records: Vec::new(), secure: false }),
            Err(temporary) => Err(temporary),
        }
    }

    /// The addresses of a host, IPv6 first where `ipv6` allows them.
    pub async fn addresses(&self, host: &Domain, ipv6: bool) -> Result<Vec<IpAddr>, RouteFailure> {
        self.host(host, ipv6).await.map(|host| host.addresses)
    }

    /// The addresses of a host, IPv6 first where `ipv6` allows them, and whether they are secure.
    pub async fn host(&self, host: &Domain, ipv6: bool) -> Result<Host, RouteFailure> {
        if let Some(address) = host.address() {
            return Ok(Host { addresses: vec![address], secure: false, canonical: None });
        }
        let v6 = async { if ipv6 { self.lookup(host, RecordType::AAAA).await } else { Err(RouteFailure::NoAddress) } };
        let (v4, v6) = tokio::join!(self.lookup(host, RecordType::A), v6);
        let mut found = Host { addresses: Vec::new(), secure: true, canonical: None };
        for answer in [&v6, &v4].into_iter().flatten() {
            found.secure &= answer.secure;
            found.canonical = found.canonical.or_else(|| canonical(host, &answer.records));
            found.addresses.extend(answer.records.iter().filter_map(|record| match &record.data {
                RData::A(a) => Some(IpAddr::V4(a.0)),
                RData::AAAA(a) => Some(IpAddr::V6(a.0)),
                _ => None,
            }));
        }
        if !found.addresses.is_empty() {
            return Ok(found);
        }
        match (v4, v6) {
            (Err(temporary @ RouteFailure::Temporary(_)), _) | (_, Err(temporary @ RouteFailure::Temporary(_))) => Err(temporary),
            (Err(RouteFailure::NoSuchDomain), _) => Err(RouteFailure::NoSuchDomain),
            _ => Err(RouteFailure::NoAddress),
        }
    }
}

fn text_of(record: &Record) -> Option<String> {
    let RData::TXT(txt) = &record.data else { return None };
    Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect())
}

fn tlsa_of(record: &Record) -> Option<Tlsa> {
    let RData::TLSA(tlsa) = &record.data else { return None };
    let (usage, selector, matching) = (tlsa.cert_usage.into(), tlsa.selector.into(), tlsa.matching.into());
    Some(Tlsa { usage, selector, matching, data: tlsa.cert_data.clone() })
}

/// The end of the chain of aliases that begins at a name.
fn canonical(host: &Domain, records: &[Record]) -> Option<Domain> {
    let mut end = None;
    let mut name = Name::from_ascii(format!("{host}.")).ok()?;
    for _ in 0..ALIASES_MAX {
        let next = records.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == name => Some(target.0.clone()),
            _ => None,
        });
        let Some(next) = next else { break };
        end = Domain::parse(next.to_ascii().trim_end_matches('.')).ok();
        name = next;
    }
    end
}

pub(crate) fn failure_of(error: &NetError) -> RouteFailure {
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
