//! The TLS that a host must offer before it gets mail, by its TLSA records or the domain's MTA-STS policy.
//!
//! RFC 7672 s.2.2, RFC 7672 s.2.2.2, RFC 8461 s.5, RFC 8461 s.2 (TLSA records come first). Invariant: if a published requirement cannot be met,
//! the host gets nothing, with TLS or without.

use std::sync::Arc;

use mail::Domain;
use net::{Dane, HostAddresses, Tlsa};
use policy::{NextHop, RouteFailure, StsMode, Trouble, TroubleKind};
use reports::tls::{Policy, ResultType};

use crate::deliver::mta_sts::{StsError, StsInForce};
use crate::deliver::outbound::Connector;
use crate::deliver::route::Plan;
use crate::reporting::tls_results::{self, failure, no_policy, sts_policy, tlsa_policy};

/// What a domain publishes about the TLS of its hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// The domain.
    pub domain: Domain,
    /// Whether its MX records, or their absence, are secure.
    pub is_secure: bool,
    /// Its MTA-STS policy.
    pub sts: Option<Arc<StsInForce>>,
    /// Why there is none, or an outdated one.
    pub sts_error: Option<Arc<StsError>>,
}

impl Published {
    /// Whether other domains with the same hosts may have other requirements.
    pub fn is_specific(&self) -> bool {
        self.is_secure || self.sts.is_some() || self.sts_error.is_some()
    }
}

/// The TLS requirement for a host.
#[derive(Debug, Clone)]
pub(crate) enum TlsRequirement {
    /// None.
    Nothing,
    /// TLS without authentication: no TLSA record is usable.
    Encryption,
    /// The key or certificate that its TLSA records name.
    Dane(Arc<Dane>),
    /// A certificate for its name; in testing mode a failure is only counted.
    Certificate { is_testing: bool },
}

impl TlsRequirement {
    /// The name of the method that authenticates the host.
    pub fn method(&self) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::Encryption => None,
            Self::Dane(_) => Some("dane"),
            Self::Certificate { .. } => Some("mta-sts"),
        }
    }

    /// Adds to the trouble why TLS is required.
    pub fn with_reason(&self, trouble: Trouble, domain: &Domain) -> Trouble {
        if trouble.kind != TroubleKind::Tls {
            return trouble;
        }
        let why = match self {
            Self::Nothing => return trouble,
            Self::Encryption | Self::Dane(_) => "its TLSA records (DANE) require it".to_owned(),
            Self::Certificate { .. } => format!("the MTA-STS policy of {domain} requires it"),
        };
        Trouble { text: format!("{}; {why}", trouble.text), ..trouble }
    }
}

/// The TLS requirement, and the policy under which sessions are counted.
#[derive(Debug)]
pub(crate) struct HostRequirement {
    /// The requirement.
    pub requirement: TlsRequirement,
    /// The policy; `None` if nothing is counted.
    pub policy: Option<Policy>,
}

impl HostRequirement {
    fn of(requirement: TlsRequirement, policy: Policy) -> Self {
        Self { requirement, policy: Some(policy) }
    }
}

/// Finds the TLS requirement for a host and a domain.
pub(crate) async fn find_requirement(
    connector: &Connector,
    plan: &Plan,
    domain: &Domain,
    hop: &NextHop,
    host: &HostAddresses,
) -> Result<HostRequirement, Trouble> {
    let Some(published) = &plan.published else { return Ok(HostRequirement { requirement: TlsRequirement::Nothing, policy: None }) };
    if published.is_secure && host.secure {
        let found = tlsa(connector, hop, host).await;
        let (base, records) = found.inspect_err(|trouble| {
            let failure = failure(ResultType::DnssecInvalid, &hop.host, &trouble.text);
            tls_results::count_session(&connector.shared, &connector.results, &tlsa_policy(domain, std::iter::empty()), Some(failure));
        })?;
        if !records.is_empty() {
            let policy = tlsa_policy(domain, records.iter().map(|record| format!("_{}._tcp.{base}. IN TLSA {}", hop.port, record.text())));
            let dane = Dane::new(records, base, &published.domain);
            if dane.is_none() {
                tracing::info!(host = %hop.host, "none of the host's TLSA records is usable: TLS is required, without authentication");
            }
            return Ok(HostRequirement::of(dane.map_or(TlsRequirement::Encryption, |dane| TlsRequirement::Dane(Arc::new(dane))), policy));
        }
    }
    let Some(sts) = &published.sts else { return Ok(HostRequirement::of(TlsRequirement::Nothing, no_policy(domain))) };
    let policy = sts_policy(domain, Some(&sts.policy));
    let is_testing = sts.policy.mode == StsMode::Testing;
    if sts.policy.names(&hop.host) {
        return Ok(HostRequirement::of(TlsRequirement::Certificate { is_testing }, policy));
    }
    let text = format!("the MTA-STS policy of {} does not name the mail host {}", published.domain, hop.host);
    tls_results::count_session(
        &connector.shared,
        &connector.results,
        &policy,
        Some(failure(ResultType::ValidationFailure, &hop.host, &text)),
    );
    if !is_testing {
        return Err(Trouble::tls(text));
    }
    tracing::warn!(domain = %published.domain, host = %hop.host, "{text}; it is in testing mode; sending anyway");
    connector.sts.count_testing_failure();
    Ok(HostRequirement { requirement: TlsRequirement::Nothing, policy: None })
}

/// The DNSSEC-secure TLSA records of a host and their owner: its canonical name, or its own.
async fn tlsa(connector: &Connector, hop: &NextHop, host: &HostAddresses) -> Result<(Domain, Vec<Tlsa>), Trouble> {
    for name in host.canonical.iter().chain([&hop.host]) {
        let answer = connector.resolver.tlsa(name, hop.port).await.map_err(|failure| {
            let text = if let RouteFailure::Temporary(text) = failure { text } else { "no answer".into() };
            Trouble::dns(format!("cannot look up the TLSA records of {name}, which would authenticate it: {text}"))
        })?;
        if answer.secure && !answer.records.is_empty() {
            return Ok((name.clone(), answer.records));
        }
    }
    Ok((hop.host.clone(), Vec::new()))
}
