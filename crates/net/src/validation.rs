//! Whether an answer of DNS is secure, and who finds that out: this process, or a resolver on this machine.
//!
//! RFC 4035 s.4.3, RFC 4035 s.5, RFC 7672 s.2.1. Invariant: what is bogus, or of which nobody can say whether it is signed, is no answer at all: neither
//! "there is none" nor an insecure one. Validation ends in bounded time, whatever a zone holds (CVE-2023-50387).

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use policy::RouteFailure;
use tokio::time::timeout;

use crate::resolver::{ResolverError, failure_of};
use crate::stub;

/// At most this long for each question by which the process finds out which way of validation works.
const PROBE: Duration = Duration::from_secs(8);

/// Where the name servers answer and pass no signatures on, the next probe comes after this time.
const PROBE_AGAIN: Duration = Duration::from_secs(300);

/// Where a probe got no answer, the next one comes after this time. Until then no lookup succeeds.
const PROBE_SOON: Duration = Duration::from_secs(5);

/// Which way of validation is wanted.
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

/// Which way of validation is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validator {
    /// The resolver on this machine.
    Upstream,
    /// This process.
    Here,
    /// Nobody, since validation is turned off.
    Off,
    /// Nobody: the name servers answer, and pass no signatures on.
    NoSignatures,
    /// It is not known yet, for this reason. RFC 7672 s.2.1: no answer is not "no", so every lookup is a temporary failure until it is known.
    Unknown(String),
}

impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream => f.write_str("the resolver on this machine validates"),
            Self::Here => f.write_str("this server validates"),
            Self::Off => f.write_str("nobody validates: dns.validate is \"off\""),
            Self::NoSignatures => f.write_str("nobody validates: the name servers answer and pass no signatures on"),
            Self::Unknown(reason) => write!(f, "it is not known yet who validates: {reason}"),
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
    /// Held during a probe, so that one at a time is made.
    probing: tokio::sync::Mutex<()>,
    known: Arc<Mutex<Known>>,
}

/// What the probes of [`Validate::Auto`] found.
#[derive(Debug, Default)]
struct Known {
    /// The last result.
    last: Option<Validator>,
    /// Whether the next lookup probes anew.
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
        Ok(Arc::new(Self { wanted, servers, here, probe, probing: tokio::sync::Mutex::default(), known: Arc::default() }))
    }

    /// Asks, where somebody validates; `None` where nobody does, and any answer is as good as another.
    pub async fn ask(&self, name: &Name, kind: RecordType) -> Option<Result<Found, RouteFailure>> {
        match self.validator().await {
            Validator::Off | Validator::NoSignatures => None,
            Validator::Upstream => Some(self.ask_upstream(name, kind).await),
            Validator::Here => Some(self.ask_here(name, kind).await),
            unknown @ Validator::Unknown(_) => Some(Err(RouteFailure::Temporary(format!("DNSSEC: {unknown}")))),
        }
    }

    /// Which way is in force as far as that is known without a question to DNS.
    pub fn known(&self) -> Validator {
        match self.wanted {
            Validate::Off => Validator::Off,
            Validate::Here => Validator::Here,
            Validate::Upstream => Validator::Upstream,
            Validate::Auto => self.lock().last.clone().unwrap_or_else(|| Validator::Unknown("nothing was looked up so far".into())),
        }
    }

    /// Which way is in force; finds it out where it is not known.
    pub async fn validator(&self) -> Validator {
        if self.wanted != Validate::Auto {
            return self.known();
        }
        let _one = self.probing.lock().await;
        if let Some(last) = self.fresh() {
            return last;
        }
        let found = self.find().await;
        let before = std::mem::replace(&mut *self.lock(), Known { last: Some(found.clone()), is_stale: false });
        if before.last.as_ref() != Some(&found) {
            report(&found);
        }
        let next = match found {
            Validator::NoSignatures => PROBE_AGAIN,
            Validator::Unknown(_) => PROBE_SOON,
            _ => return found,
        };
        let known = self.known.clone();
        tokio::spawn(async move {
            tokio::time::sleep(next).await;
            known.lock().unwrap_or_else(PoisonError::into_inner).is_stale = true;
        });
        found
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> Option<Validator> {
        let known = self.lock();
        known.last.clone().filter(|_| !known.is_stale)
    }

    /// One probe: the SOA record of the zone whose key is trusted, which is signed.
    async fn find(&self) -> Validator {
        let unknown = Validator::Unknown;
        let answer = match timeout(PROBE, stub::ask(&self.servers, &self.probe, RecordType::SOA)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return unknown(format!("the name servers did not answer ({error})")),
            Err(_) => return unknown(format!("the name servers did not answer within {} s", PROBE.as_secs())),
        };
        let is_local = self.servers.iter().all(|server| server.ip().is_loopback());
        let has = |kind| answer.answers.iter().any(|record| record.record_type() == kind);
        match answer.metadata.response_code {
            ResponseCode::NoError if !has(RecordType::SOA) => {
                unknown(format!("the name servers answer without the SOA record of {}; name a resolver with dns.servers", self.probe))
            }
            ResponseCode::NoError if is_local && answer.metadata.authentic_data => Validator::Upstream,
            ResponseCode::NoError if has(RecordType::RRSIG) => self.try_here().await,
            // A server without EDNS knows no signatures (RFC 6891 s.7).
            ResponseCode::NoError | ResponseCode::NXDomain | ResponseCode::FormErr | ResponseCode::NotImp => Validator::NoSignatures,
            code => unknown(format!("the name servers answer {code}")),
        }
    }

    /// Signatures come through: whether they hold.
    async fn try_here(&self) -> Validator {
        let Some(here) = &self.here else { return Validator::NoSignatures };
        // An answer without signatures may be kept from a time when none came through.
        here.clear_cache();
        let unknown = |reason: String| {
            Validator::Unknown(format!(
                "signatures come through, and that of {} does not hold: {reason}; see whether the clock of this machine is right (timedatectl)",
                self.probe
            ))
        };
        match timeout(PROBE, self.ask_here(&self.probe, RecordType::SOA)).await {
            Ok(Ok(found)) if found.secure => Validator::Here,
            Ok(Ok(_)) => unknown("it is not secure".into()),
            Ok(Err(failure)) => unknown(failure.to_string()),
            Err(_) => unknown(format!("its keys did not come within {} s", PROBE.as_secs())),
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
        let Some(here) = &self.here else { return Err(RouteFailure::Temporary("this process does not validate".into())) };
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

fn report(found: &Validator) {
    match found {
        Validator::Upstream | Validator::Off => tracing::info!("DNSSEC: {found}"),
        Validator::Here => {
            tracing::info!("DNSSEC: this process validates; a validating resolver on this machine, such as unbound, is better")
        }
        Validator::NoSignatures => tracing::warn!(
            "DNSSEC: the name servers pass no signatures on, so TLSA records of others are not seen; install a validating resolver such as unbound and name it with dns.servers"
        ),
        Validator::Unknown(_) => tracing::warn!(
            "DNSSEC: {found}; mail that must be looked up waits, and the next probe comes in {} s; with dns.validate = \"off\" it leaves without DANE",
            PROBE_SOON.as_secs()
        ),
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

#[cfg(test)]
#[path = "validation_tests.rs"]
mod tests;
