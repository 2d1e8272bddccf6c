//! DNS: the MX records of a domain, the addresses of a host, its TLSA records, and whether they are secure.
//!
//! RFC 5321 s.5.1, RFC 7672 s.2.2. Invariant: "does not exist" (name or record) and "no answer" (SERVFAIL, timeout, bogus signatures) are never
//! confused: the first fails mail, the second defers it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use mail::Domain;
use msgauth::{Authenticator, SimulatedDns};
use policy::{MxRecord, RouteFailure};

use crate::clock::Clock;
use crate::dane::Tlsa;
use crate::lookups::{LookupCounts, Lookups};
use crate::validation::{Validate, ValidatedRecords, Validation, Validator};

/// Time limit for one query, all servers and tries included.
const DEADLINE: Duration = Duration::from_secs(20);

/// Maximum length of a CNAME chain; a longer one is a fault of the zone.
const ALIASES_MAX: usize = 8;

/// The caching resolver of the process; message authentication uses it too.
#[derive(Debug, Clone)]
pub struct Resolver {
    asks: Authenticator,
    validation: Arc<Validation>,
    lookups: Arc<Lookups>,
}

/// The resolver cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// No name servers.
    #[error("cannot set up DNS: {0}; set dns.servers in the configuration, or see /etc/resolv.conf")]
    Setup(String),
    /// A remote resolver would have to be trusted.
    #[error(
        "dns.validate = \"upstream\" trusts the name servers, so all of them must be on a loopback address; write \"here\" or \"auto\""
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

/// Records of one type, and whether all of them are secure (DNSSEC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsRecords<T> {
    /// The records.
    pub records: Vec<T>,
    /// Whether they are secure.
    pub secure: bool,
}

/// The addresses of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAddresses {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether all of them, and the CNAME records before them, are secure (DNSSEC).
    pub secure: bool,
    /// The target, if the name is a CNAME.
    pub canonical: Option<Domain>,
}

fn set(options: &mut ResolverOpts) {
    options.timeout = Duration::from_secs(4);
    options.attempts = 2;
    options.cache_size = 4096;
    options.try_tcp_on_error = true;
    options.positive_max_ttl = Some(Duration::from_secs(86_400));
    options.negative_max_ttl = Some(Duration::from_secs(900));
    // Mail is routed by DNS, not by the hosts file.
    options.use_hosts_file = ResolveHosts::Never;
}

impl Resolver {
    /// Uses these servers, or those of /etc/resolv.conf if there are none. `anchor` is a file with trust anchors instead of the root's. Reads files.
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

    /// Uses the servers of /etc/resolv.conf, without validation.
    pub fn system() -> Result<Self, ResolverError> {
        Self::new(&[], Validate::Off, None)
    }

    /// Uses these servers, without validation.
    pub fn of_servers(servers: &[SocketAddr]) -> Result<Self, ResolverError> {
        Self::new(servers, Validate::Off, None)
    }

    /// Uses a simulated DNS, without validation.
    ///
    /// # Errors
    /// If the parts that are not used cannot be set up.
    pub fn simulated(dns: Arc<dyn SimulatedDns>) -> Result<Self, ResolverError> {
        let config = ResolverConfig::from_parts(None, vec![], vec![]);
        let validation = Validation::new(Validate::Off, None, &config, &ResolverOpts::default())?;
        let asks = Authenticator::simulated(dns).map_err(|e| ResolverError::Setup(e.to_string()))?;
        Ok(Self { asks, validation, lookups: Arc::default() })
    }

    fn with(config: ResolverConfig, mut options: ResolverOpts, validate: Validate, anchor: Option<&Path>) -> Result<Self, ResolverError> {
        set(&mut options);
        let validation = Validation::new(validate, anchor, &config, &options)?;
        let asks = Authenticator::new(config, options).map_err(|e| ResolverError::Setup(e.to_string()))?;
        Ok(Self { asks, validation, lookups: Arc::default() })
    }

    /// The message authenticator on this resolver.
    pub fn authenticator(&self) -> &Authenticator {
        &self.asks
    }

    /// The lookups of this resolver since its start, without those of the message authenticator.
    pub fn lookups(&self) -> LookupCounts {
        self.lookups.read()
    }

    /// Where DNSSEC validation takes place; probes if that is not known.
    pub fn validator(&self) -> BoxFuture<'_, Validator> {
        Box::pin(self.validation.validator())
    }

    /// Where DNSSEC validation takes place, as far as known without a query.
    pub fn known_validator(&self) -> Validator {
        self.validation.known()
    }

    async fn lookup(&self, name: &Domain, kind: RecordType) -> Result<ValidatedRecords, RouteFailure> {
        self.lookup_fqdn(&format!("{name}."), kind).await
    }

    /// Boxed: otherwise each crate that awaits a lookup compiles validation and resolver again.
    fn lookup_fqdn<'a>(&'a self, name: &'a str, kind: RecordType) -> BoxFuture<'a, Result<ValidatedRecords, RouteFailure>> {
        Box::pin(self.find(name, kind))
    }

    async fn find(&self, name: &str, kind: RecordType) -> Result<ValidatedRecords, RouteFailure> {
        let fqdn = Name::from_ascii(name).map_err(|e| RouteFailure::Temporary(e.to_string()))?;
        let begin_ms = Clock::system().steady_ms();
        let found = tokio::time::timeout(DEADLINE, self.ask(&fqdn, kind)).await;
        let found = found.unwrap_or_else(|_| Err(RouteFailure::Temporary(format!("no answer within {} s", DEADLINE.as_secs()))));
        self.lookups.count(Clock::system().steady_ms() - begin_ms, !matches!(found, Err(RouteFailure::Temporary(_))));
        let found = found?;
        if found.records.iter().filter(|record| matches!(record.data, RData::CNAME(_))).count() > ALIASES_MAX {
            return Err(RouteFailure::Temporary(format!("{name} is at the start of more than {ALIASES_MAX} CNAME records in a row")));
        }
        Ok(found)
    }

    async fn ask(&self, fqdn: &Name, kind: RecordType) -> Result<ValidatedRecords, RouteFailure> {
        if let Some(found) = self.validation.ask(fqdn, kind).await {
            return found;
        }
        let lookup = self.asks.resolver().lookup(fqdn.clone(), kind).await.map_err(|e| failure_of(&e))?;
        Ok(ValidatedRecords { records: lookup.answers().to_vec(), secure: false })
    }

    /// The MX records of a domain; an empty list if the domain exists without any. Absence is accepted only if proved or in an unsigned zone, so an empty
    /// list is as secure as the domain's addresses.
    pub async fn mail_hosts(&self, domain: &Domain) -> Result<DnsRecords<MxRecord>, RouteFailure> {
        let found = match self.lookup(domain, RecordType::MX).await {
            Err(RouteFailure::NoAddress) => return Ok(DnsRecords { records: Vec::new(), secure: true }),
            other => other?,
        };
        let mut mx = Vec::with_capacity(found.records.len());
        for record in &found.records {
            let RData::MX(record) = &record.data else { continue };
            let host = if record.exchange.is_root() {
                None
            } else {
                // An invalid host name cannot be reached; the other records may be.
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
        Ok(DnsRecords { records: mx, secure: found.secure })
    }

    /// The MX records of a domain.
    pub async fn mx(&self, domain: &Domain) -> Result<Vec<MxRecord>, RouteFailure> {
        self.mail_hosts(domain).await.map(|answer| answer.records)
    }

    /// The TXT records of a name, the strings of each joined.
    pub async fn txt(&self, name: &Domain) -> Result<Vec<String>, String> {
        match self.lookup(name, RecordType::TXT).await {
            Ok(found) => Ok(found.records.iter().filter_map(text_of).collect()),
            Err(RouteFailure::Temporary(text)) => Err(text),
            Err(RouteFailure::NoAddress | RouteFailure::NoSuchDomain) => Ok(Vec::new()),
        }
    }

    /// The PTR records of an address, confirmed or not.
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

    /// The TLSA records of a host's TCP port.
    pub async fn tlsa(&self, host: &Domain, port: u16) -> Result<DnsRecords<Tlsa>, RouteFailure> {
        match self.lookup_fqdn(&format!("_{port}._tcp.{host}."), RecordType::TLSA).await {
            Ok(found) => Ok(DnsRecords { records: found.records.iter().filter_map(tlsa_of).collect(), secure: found.secure }),
            Err(RouteFailure::NoAddress | RouteFailure::NoSuchDomain) => Ok(DnsRecords { records: Vec::new(), secure: false }),
            Err(temporary) => Err(temporary),
        }
    }

    /// The addresses of a host, IPv6 first if `ipv6` is set.
    pub async fn addresses(&self, host: &Domain, ipv6: bool) -> Result<Vec<IpAddr>, RouteFailure> {
        self.host(host, ipv6).await.map(|host| host.addresses)
    }

    /// The addresses of a host, IPv6 first if `ipv6` is set, and whether they are secure.
    pub async fn host(&self, host: &Domain, ipv6: bool) -> Result<HostAddresses, RouteFailure> {
        if let Some(address) = host.address() {
            return Ok(HostAddresses { addresses: vec![address], secure: false, canonical: None });
        }
        let v6 = async { if ipv6 { self.lookup(host, RecordType::AAAA).await } else { Err(RouteFailure::NoAddress) } };
        let (v4, v6) = tokio::join!(self.lookup(host, RecordType::A), v6);
        let mut found = HostAddresses { addresses: Vec::new(), secure: true, canonical: None };
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

/// The end of the CNAME chain that begins at a name.
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
        // A referral, not a negative answer.
        RouteFailure::Temporary("the DNS server answers with a referral; set dns.servers to a resolver".into())
    } else if error.is_nx_domain() {
        RouteFailure::NoSuchDomain
    } else if error.is_no_records_found() {
        RouteFailure::NoAddress
    } else {
        RouteFailure::Temporary(error.to_string())
    }
}
