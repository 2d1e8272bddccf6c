//! Whether an answer of DNS is secure, and who finds that out: this process, or a resolver on this machine.
//!
//! RFC 4035 s.4.3, RFC 4035 s.5, RFC 7672 s.2.1. Invariant: what is bogus, or of which nobody can say whether it is signed, is no answer at all: neither
//! "there is none" nor an insecure one. Validation ends in bounded time, whatever a zone holds (CVE-2023-50387).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use policy::RouteFailure;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::resolver::{ResolverError, failure_of};
use crate::stub;

/// A signed name must be there in this time, where it is to be found out who can validate.
const PROBE: Duration = Duration::from_secs(8);

/// Where nobody can, it is tried again after this time.
const PROBE_AGAIN: Duration = Duration::from_secs(300);

/// Who says whether an answer is secure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validate {
    /// A resolver on this machine where it validates, this process where the name servers pass signatures on, or else nobody.
    Auto,
    /// This process.
    Here,
    /// The resolver on this machine.
    Upstream,
    /// Nobody: no answer is secure.
    #[default]
    Off,
}

/// Who does, once that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Here,
    Upstream,
    Off,
}

/// What was found out about who validates.
#[derive(Debug, Default)]
struct Known {
    way: Option<Way>,
    /// What the log says.
    said: Option<Way>,
}

/// What was found, and whether all of it is secure.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The answer section, aliases (CNAME) and signatures included.
    pub records: Vec<Record>,
    pub secure: bool,
}

/// Finds out whether answers are secure.
pub(crate) struct Validation {
    wanted: Validate,
    servers: Vec<SocketAddr>,
    here: Option<TokioResolver>,
    probe: Name,
    way: Arc<Mutex<Known>>,
}

impl std::fmt::Debug for Validation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Validation").field("wanted", &self.wanted).field("servers", &self.servers).finish_non_exhaustive()
    }
}

/// The servers' addresses, of connections over UDP or TCP.
fn addresses(config: &ResolverConfig) -> Vec<SocketAddr> {
    let of_one = |server: &hickory_resolver::config::NameServerConfig| {
        server.connections.first().map(|connection| SocketAddr::new(server.ip, connection.port))
    };
    config.name_servers().iter().filter_map(of_one).collect()
}

impl Validation {
    pub fn new(
        wanted: Validate,
        anchor: Option<&Path>,
        config: &ResolverConfig,
        options: &ResolverOpts,
    ) -> Result<Arc<Self>, ResolverError> {
        let servers = addresses(config);
        if wanted == Validate::Upstream && !servers.iter().all(|server| server.ip().is_loopback()) {
            return Err(ResolverError::NotLocal);
        }
        let mut probe = Name::root();
        let here = if matches!(wanted, Validate::Here | Validate::Auto) {
            let mut builder = TokioResolver::builder_with_config(config.clone(), TokioRuntimeProvider::default());
            let mut options = options.clone();
            (options.validate, options.preserve_intermediates) = (true, true);
            builder = builder.with_options(options);
            if let Some(path) = anchor {
                let (anchors, owner) = anchors_of(path)?;
                builder = builder.with_trust_anchor(Arc::new(anchors));
                probe = owner;
            }
            Some(builder.build().map_err(|e| ResolverError::Setup(e.to_string()))?)
        } else {
            None
        };
        Ok(Arc::new(Self { wanted, servers, here, probe, way: Arc::default() }))
    }

    /// Asks, where somebody validates; `None` where nobody does, and any answer is as good as another.
    pub async fn ask(&self, name: &Name, kind: RecordType) -> Option<Result<Found, RouteFailure>> {
        match self.way().await {
            Way::Off => None,
            Way::Upstream => Some(self.ask_upstream(name, kind).await),
            Way::Here => Some(self.ask_here(name, kind).await),
        }
    }

    async fn way(&self) -> Way {
        match self.wanted {
            Validate::Off => return Way::Off,
            Validate::Here => return Way::Here,
            Validate::Upstream => return Way::Upstream,
            Validate::Auto => {}
        }
        let mut known = self.way.lock().await;
        if let Some(way) = known.way {
            return way;
        }
        let found = self.find_way().await;
        if known.said != Some(found) {
            match found {
                Way::Upstream => tracing::info!("DNSSEC: the resolver on this machine validates"),
                Way::Here => {
                    tracing::info!("DNSSEC: this process validates; a validating resolver on this machine, such as unbound, is better")
                }
                Way::Off => tracing::warn!(
                    "DNSSEC: the name servers pass no signatures on, so TLSA records of others are not seen; install a validating resolver such as unbound and name it with dns.servers"
                ),
            }
        }
        *known = Known { way: Some(found), said: Some(found) };
        if found == Way::Off {
            let known = self.way.clone();
            tokio::spawn(async move {
                tokio::time::sleep(PROBE_AGAIN).await;
                known.lock().await.way = None;
            });
        }
        found
    }

    async fn find_way(&self) -> Way {
        let is_local = !self.servers.is_empty() && self.servers.iter().all(|server| server.ip().is_loopback());
        let secure = |answer: Result<Result<Found, RouteFailure>, _>| answer.is_ok_and(|answer| answer.is_ok_and(|found| found.secure));
        if is_local && secure(timeout(PROBE, self.ask_upstream(&self.probe, RecordType::SOA)).await) {
            Way::Upstream
        } else if secure(timeout(PROBE, self.ask_here(&self.probe, RecordType::SOA)).await) {
            Way::Here
        } else {
            Way::Off
        }
    }

    async fn ask_upstream(&self, name: &Name, kind: RecordType) -> Result<Found, RouteFailure> {
        let temporary = |text: String| RouteFailure::Temporary(text);
        let message = stub::ask(&self.servers, name, kind).await.map_err(|e| temporary(e.to_string()))?;
        match message.metadata.response_code {
            ResponseCode::NoError if message.answers.iter().any(|record| record.record_type() == kind) => {
                Ok(Found { records: message.answers, secure: message.metadata.authentic_data })
            }
            ResponseCode::NoError if message.answers.is_empty() && is_referral(&message.authorities) => {
                Err(temporary("the DNS server refers to others instead of answering; name a resolver with dns.servers".into()))
            }
            ResponseCode::NoError => Err(RouteFailure::NoAddress),
            ResponseCode::NXDomain => Err(RouteFailure::NoSuchDomain),
            ResponseCode::ServFail => {
                Err(temporary("the resolver answers SERVFAIL, as it does where the signatures (DNSSEC) are bogus".into()))
            }
            code => Err(temporary(format!("the resolver answers {code}"))),
        }
    }

    async fn ask_here(&self, name: &Name, kind: RecordType) -> Result<Found, RouteFailure> {
        let Some(here) = &self.here else { return Err(RouteFailure::Temporary("nobody validates".into())) };
        match here.lookup(name.clone(), kind).await {
            Ok(lookup) => judged(lookup.answers().to_vec(), kind),
            Err(NetError::Dns(DnsError::Nsec { response, proof: Proof::Insecure, .. })) => {
                // Nothing proves that there is none, in a zone of which it is proved that nothing need to.
                if response.answers.iter().any(|record| record.record_type() == kind) {
                    return judged(response.answers.clone(), kind).map(|found| Found { secure: false, ..found });
                }
                Err(if response.response_code == ResponseCode::NXDomain { RouteFailure::NoSuchDomain } else { RouteFailure::NoAddress })
            }
            Err(NetError::Dns(DnsError::DnssecBogus | DnsError::Nsec { .. })) => {
                Err(RouteFailure::Temporary("its signatures (DNSSEC) are bogus".into()))
            }
            Err(error) => Err(failure_of(&error)),
        }
    }
}

fn is_referral(authorities: &[Record]) -> bool {
    let has = |kind| authorities.iter().any(|record| record.record_type() == kind);
    has(RecordType::NS) && !has(RecordType::SOA)
}

/// Records that were validated here, as one answer.
fn judged(records: Vec<Record>, kind: RecordType) -> Result<Found, RouteFailure> {
    let counts = |record: &&Record| record.record_type() == kind || record.record_type() == RecordType::CNAME;
    let proofs = || records.iter().filter(counts).map(|record| record.proof);
    if proofs().any(|proof| matches!(proof, Proof::Bogus | Proof::Indeterminate)) {
        return Err(RouteFailure::Temporary("its signatures (DNSSEC) are bogus, or missing where they should be".into()));
    }
    let secure = proofs().next().is_some() && proofs().all(|proof| proof == Proof::Secure);
    Ok(Found { records, secure })
}

/// The keys of a file, and the zone of the first.
fn anchors_of(path: &Path) -> Result<(TrustAnchors, Name), ResolverError> {
    let bad = |reason: String| ResolverError::Anchor { path: PathBuf::from(path), reason };
    let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
    let anchors = text.parse::<TrustAnchors>().map_err(|e| bad(e.to_string()))?;
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with(';')).and_then(|line| line.split_whitespace().next());
    let owner = first.and_then(|name| Name::from_ascii(name).ok());
    owner.map(|owner| (anchors, owner)).ok_or_else(|| bad("it holds no DNSKEY record".into()))
}
