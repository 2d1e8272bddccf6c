//! DNSSEC: whether an answer is secure, validated by this process or by a resolver on this machine.
//!
//! RFC 4035 s.4.3, RFC 4035 s.5, RFC 7672 s.2.1. Invariant: a bogus or indeterminate answer is no answer: neither "does not exist" nor insecure. Validation
//! ends in bounded time, whatever a zone holds (CVE-2023-50387).

use std::fmt;
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
use parking_lot::Mutex;
use policy::RouteFailure;
use tokio::time::timeout;

use crate::resolver::{ResolverError, failure_of};
use crate::stub;

/// Time limit for each question of a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(8);

/// Interval between probes if the name servers answer without signatures.
const PROBE_INTERVAL: Duration = Duration::from_secs(300);

/// Interval between probes without an answer. Until one succeeds, every lookup fails.
const PROBE_RETRY: Duration = Duration::from_secs(5);

/// Where validation should take place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validate {
    /// A resolver on this machine if it validates, this process if the name servers pass signatures on, else nowhere.
    Auto,
    /// This process.
    Here,
    /// The resolver on this machine.
    Upstream,
    /// Nowhere: no answer is secure.
    #[default]
    Off,
}

/// Where validation takes place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validator {
    /// The resolver on this machine.
    Upstream,
    /// This process.
    Here,
    /// Nowhere: turned off.
    Off,
    /// Nowhere: the name servers pass no signatures on.
    NoSignatures,
    /// Not known yet, for this reason. Until it is known, every lookup is a temporary failure: RFC 7672 s.2.1 does not allow "insecure" here.
    Unknown(String),
}

impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream => f.write_str("the resolver on this machine validates"),
            Self::Here => f.write_str("this server validates"),
            Self::Off => f.write_str("no validation: dns.validate is \"off\""),
            Self::NoSignatures => f.write_str("no validation: the name servers pass no signatures on"),
            Self::Unknown(reason) => write!(f, "not known yet whether answers can be validated: {reason}"),
        }
    }
}

impl Validator {
    /// The word by which `waypost status` names it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Here => "here",
            Self::Off => "off",
            Self::NoSignatures => "no-signatures",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// Records, and whether all of them are secure.
#[derive(Debug, Clone)]
pub(crate) struct ValidatedRecords {
    /// The answer section, including CNAME records and signatures.
    pub records: Vec<Record>,
    pub secure: bool,
}

/// Looks up records with validation.
pub(crate) struct Validation {
    wanted: Validate,
    servers: Vec<SocketAddr>,
    here: Option<TokioResolver>,
    probe_name: Name,
    /// Held during a probe, so that there is only one at a time.
    probing: tokio::sync::Mutex<()>,
    known: Arc<Mutex<ProbeState>>,
}

/// The results of the probes of [`Validate::Auto`].
#[derive(Debug, Default)]
struct ProbeState {
    /// The last result.
    last: Option<Validator>,
    /// Whether the next lookup probes again.
    is_stale: bool,
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
        let mut probe_name = Name::root();
        let here = if matches!(wanted, Validate::Here | Validate::Auto) {
            let mut builder = TokioResolver::builder_with_config(config.clone(), TokioRuntimeProvider::default());
            let mut options = options.clone();
            (options.validate, options.preserve_intermediates) = (true, true);
            builder = builder.with_options(options);
            if let Some(path) = anchor {
                let (anchors, owner) = anchors_of(path)?;
                builder = builder.with_trust_anchor(Arc::new(anchors));
                probe_name = owner;
            }
            Some(builder.build().map_err(|e| ResolverError::Setup(e.to_string()))?)
        } else {
            None
        };
        Ok(Arc::new(Self { wanted, servers, here, probe_name, probing: tokio::sync::Mutex::default(), known: Arc::default() }))
    }

    /// Asks with validation; `None` if there is none, so that the caller uses the plain resolver.
    pub async fn ask(&self, name: &Name, kind: RecordType) -> Option<Result<ValidatedRecords, RouteFailure>> {
        match self.validator().await {
            Validator::Off | Validator::NoSignatures => None,
            Validator::Upstream => Some(self.ask_upstream(name, kind).await),
            Validator::Here => Some(self.ask_here(name, kind).await),
            unknown @ Validator::Unknown(_) => Some(Err(RouteFailure::Temporary(format!("DNSSEC: {unknown}")))),
        }
    }

    /// Where validation takes place, as far as known without a query.
    pub fn known(&self) -> Validator {
        match self.wanted {
            Validate::Off => Validator::Off,
            Validate::Here => Validator::Here,
            Validate::Upstream => Validator::Upstream,
            Validate::Auto => {
                self.known.lock().last.clone().unwrap_or_else(|| Validator::Unknown("nothing has been looked up so far".into()))
            }
        }
    }

    /// Where validation takes place; probes if that is not known.
    pub async fn validator(&self) -> Validator {
        if self.wanted != Validate::Auto {
            return self.known();
        }
        let _one = self.probing.lock().await;
        if let Some(last) = self.fresh() {
            return last;
        }
        let found = self.probe().await;
        let before = std::mem::replace(&mut *self.known.lock(), ProbeState { last: Some(found.clone()), is_stale: false });
        if before.last.as_ref() != Some(&found) {
            log_validator(&found);
        }
        let next = match found {
            Validator::NoSignatures => PROBE_INTERVAL,
            Validator::Unknown(_) => PROBE_RETRY,
            _ => return found,
        };
        let known = self.known.clone();
        tokio::spawn(async move {
            tokio::time::sleep(next).await;
            known.lock().is_stale = true;
        });
        found
    }

    fn fresh(&self) -> Option<Validator> {
        let known = self.known.lock();
        known.last.clone().filter(|_| !known.is_stale)
    }

    /// Probes with the SOA record of the trust anchor's zone, which is signed.
    async fn probe(&self) -> Validator {
        let unknown = Validator::Unknown;
        let answer = match timeout(PROBE_TIMEOUT, stub::ask(&self.servers, &self.probe_name, RecordType::SOA)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return unknown(format!("the name servers did not answer ({error})")),
            Err(_) => return unknown(format!("the name servers did not answer within {} s", PROBE_TIMEOUT.as_secs())),
        };
        let is_local = self.servers.iter().all(|server| server.ip().is_loopback());
        let has = |kind| answer.answers.iter().any(|record| record.record_type() == kind);
        match answer.metadata.response_code {
            ResponseCode::NoError if !has(RecordType::SOA) => {
                unknown(format!("the name servers answer without the SOA record of {}; set dns.servers to a resolver", self.probe_name))
            }
            ResponseCode::NoError if is_local && answer.metadata.authentic_data => Validator::Upstream,
            ResponseCode::NoError if has(RecordType::RRSIG) => self.probe_here().await,
            // A server without EDNS supports no signatures (RFC 6891 s.7).
            ResponseCode::NoError | ResponseCode::NXDomain | ResponseCode::FormErr | ResponseCode::NotImp => Validator::NoSignatures,
            code => unknown(format!("the name servers answer {code}")),
        }
    }

    /// Signatures pass: checks whether they are valid.
    async fn probe_here(&self) -> Validator {
        let Some(here) = &self.here else { return Validator::NoSignatures };
        // The cache may hold answers from a time without signatures.
        here.clear_cache();
        let unknown = |reason: String| {
            Validator::Unknown(format!(
                "the signature of {} is not valid: {reason}; check the clock of this machine (timedatectl)",
                self.probe_name
            ))
        };
        match timeout(PROBE_TIMEOUT, self.ask_here(&self.probe_name, RecordType::SOA)).await {
            Ok(Ok(found)) if found.secure => Validator::Here,
            Ok(Ok(_)) => unknown("it is not secure".into()),
            Ok(Err(failure)) => unknown(failure.to_string()),
            Err(_) => unknown(format!("no answer with its keys within {} s", PROBE_TIMEOUT.as_secs())),
        }
    }

    async fn ask_upstream(&self, name: &Name, kind: RecordType) -> Result<ValidatedRecords, RouteFailure> {
        let temporary = |text: String| RouteFailure::Temporary(text);
        let message = stub::ask(&self.servers, name, kind).await.map_err(|e| temporary(e.to_string()))?;
        match message.metadata.response_code {
            ResponseCode::NoError if message.answers.iter().any(|record| record.record_type() == kind) => {
                Ok(ValidatedRecords { records: message.answers, secure: message.metadata.authentic_data })
            }
            ResponseCode::NoError if message.answers.is_empty() && is_referral(&message.authorities) => {
                Err(temporary("the DNS server answers with a referral; set dns.servers to a resolver".into()))
            }
            ResponseCode::NoError => Err(RouteFailure::NoAddress),
            ResponseCode::NXDomain => Err(RouteFailure::NoSuchDomain),
            ResponseCode::ServFail => Err(temporary("the resolver answers SERVFAIL, perhaps for bogus DNSSEC signatures".into())),
            code => Err(temporary(format!("the resolver answers {code}"))),
        }
    }

    async fn ask_here(&self, name: &Name, kind: RecordType) -> Result<ValidatedRecords, RouteFailure> {
        let Some(here) = &self.here else { return Err(RouteFailure::Temporary("this process does not validate".into())) };
        match here.lookup(name.clone(), kind).await {
            Ok(lookup) => checked(lookup.answers().to_vec(), kind),
            Err(NetError::Dns(DnsError::Nsec { response, proof: Proof::Insecure, .. })) => {
                // Absence is not proved, in a zone that is proved to be unsigned.
                if response.answers.iter().any(|record| record.record_type() == kind) {
                    return checked(response.answers.clone(), kind).map(|found| ValidatedRecords { secure: false, ..found });
                }
                Err(if response.response_code == ResponseCode::NXDomain { RouteFailure::NoSuchDomain } else { RouteFailure::NoAddress })
            }
            Err(NetError::Dns(DnsError::DnssecBogus | DnsError::Nsec { .. })) => {
                Err(RouteFailure::Temporary("its DNSSEC signatures are bogus".into()))
            }
            Err(error) => Err(failure_of(&error)),
        }
    }
}

fn log_validator(found: &Validator) {
    match found {
        Validator::Upstream | Validator::Off => tracing::info!("DNSSEC: {found}"),
        Validator::Here => {
            tracing::info!("DNSSEC: this server validates; a validating resolver on this machine, such as unbound, is better")
        }
        Validator::NoSignatures => tracing::warn!(
            "DNSSEC: the name servers pass no signatures on, so TLSA records are not used; install a validating resolver such as unbound and set dns.servers to it"
        ),
        Validator::Unknown(_) => tracing::warn!(
            "DNSSEC: {found}; mail whose route needs DNS waits; next probe in {} s; dns.validate = \"off\" sends it without DANE",
            PROBE_RETRY.as_secs()
        ),
    }
}

fn is_referral(authorities: &[Record]) -> bool {
    let has = |kind| authorities.iter().any(|record| record.record_type() == kind);
    has(RecordType::NS) && !has(RecordType::SOA)
}

/// The verdict on records that this process validated.
fn checked(records: Vec<Record>, kind: RecordType) -> Result<ValidatedRecords, RouteFailure> {
    let counts = |record: &&Record| record.record_type() == kind || record.record_type() == RecordType::CNAME;
    let proofs = || records.iter().filter(counts).map(|record| record.proof);
    if proofs().any(|proof| matches!(proof, Proof::Bogus | Proof::Indeterminate)) {
        return Err(RouteFailure::Temporary("its DNSSEC signatures are bogus or missing".into()));
    }
    let secure = proofs().next().is_some() && proofs().all(|proof| proof == Proof::Secure);
    Ok(ValidatedRecords { records, secure })
}

/// The trust anchors of a file, and the zone of the first.
fn anchors_of(path: &Path) -> Result<(TrustAnchors, Name), ResolverError> {
    let bad = |reason: String| ResolverError::Anchor { path: PathBuf::from(path), reason };
    let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
    let anchors = text.parse::<TrustAnchors>().map_err(|e| bad(e.to_string()))?;
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with(';')).and_then(|line| line.split_whitespace().next());
    let owner = first.and_then(|name| Name::from_ascii(name).ok());
    owner.map(|owner| (anchors, owner)).ok_or_else(|| bad("no DNSKEY record in it".into()))
}

#[cfg(test)]
#[path = "validation_tests.rs"]
mod tests;
