//! Results of TLS sessions with other domains' hosts, in the terms of TLS reports.
//!
//! RFC 8460 s.4.3. Invariant: policies and failures are cut to bounded sizes; the delivery of reports is not counted.

use std::net::SocketAddr;

use mail::Domain;
use net::TlsFault;
use policy::StsReceived;
use reports::tls::{FailureDetails, Policy, PolicyType, ResultType};
use store::{DailyCount, DailyKind, DailyResult};

use crate::context::Shared;
use crate::reporting::tally::{Results, period};

/// Maximum lines of a policy, and maximum characters of a line.
const LINES_MAX: usize = 30;
const LINE_MAX_CHARS: usize = 300;

/// Maximum characters of a failure's reason.
const REASON_MAX_CHARS: usize = 300;

/// Counts a session with a domain's host: successful, or failed.
pub(crate) fn count_session(shared: &Shared, results: &Results, policy: &Policy, failure: Option<FailureDetails>) {
    let settings = shared.settings.load();
    if !settings.reporting.tls {
        return;
    }
    let cut = |failure: FailureDetails| FailureDetails { reason: mail::one_line_at_most(&failure.reason, REASON_MAX_CHARS), ..failure };
    results.push(DailyCount {
        period: period(DailyKind::Tls, shared.clock.now_s(), settings.reporting.every_s, policy.domain.clone()),
        result: DailyResult::Tls { policy: policy.clone(), failure: failure.map(cut) },
        times: 1,
    });
}

fn bounded(lines: impl Iterator<Item = String>) -> Vec<String> {
    lines.take(LINES_MAX).map(|line| line.chars().take(LINE_MAX_CHARS).collect()).collect()
}

/// The policy of a domain that publishes none.
pub(crate) fn no_policy(domain: &Domain) -> Policy {
    Policy { kind: PolicyType::NoPolicyFound, domain: domain.to_string(), ..Policy::default() }
}

/// The policy of a domain whose host has TLSA records, each in presentation format.
pub(crate) fn tlsa_policy(domain: &Domain, records: impl Iterator<Item = String>) -> Policy {
    let mut lines = bounded(records);
    // DNS returns them in any order.
    lines.sort();
    Policy { kind: PolicyType::Tlsa, lines, domain: domain.to_string(), mx_hosts: Vec::new() }
}

/// The policy of a domain with MTA-STS; without text if it could not be fetched.
pub(crate) fn sts_policy(domain: &Domain, sts: Option<&StsReceived>) -> Policy {
    let text = sts.map(StsReceived::text).unwrap_or_default();
    let mx_hosts = sts.map(|sts| bounded(sts.mx.iter().cloned())).unwrap_or_default();
    Policy { kind: PolicyType::Sts, lines: bounded(text.lines().map(str::to_owned)), domain: domain.to_string(), mx_hosts }
}

/// A failure at a host, with its reason.
pub(crate) fn failure(result: ResultType, host: &Domain, reason: &str) -> FailureDetails {
    FailureDetails { result, mx_host: host.to_string(), reason: reason.to_owned(), ..FailureDetails::default() }
}

/// The RFC 8460 result type of a TLS fault.
pub(crate) fn result_of(fault: TlsFault) -> ResultType {
    match fault {
        TlsFault::HostMismatch => ResultType::CertificateHostMismatch,
        TlsFault::Expired => ResultType::CertificateExpired,
        TlsFault::NotTrusted => ResultType::CertificateNotTrusted,
        TlsFault::Other => ResultType::ValidationFailure,
    }
}

/// The addresses of a connection, as text.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionAddresses {
    sending: String,
    receiving: String,
}

impl ConnectionAddresses {
    pub fn of(tcp: &net::Tcp) -> Self {
        let shown =
            |address: std::io::Result<SocketAddr>| address.map(|address| address.ip().to_canonical().to_string()).unwrap_or_default();
        Self { sending: shown(tcp.local_addr()), receiving: shown(tcp.peer_addr()) }
    }

    /// Adds the addresses to a failure.
    pub fn add_to(self, failure: FailureDetails) -> FailureDetails {
        FailureDetails { sending_ip: self.sending, receiving_ip: self.receiving, ..failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_policies_are_cut_to_the_limits() {
        let policy = tlsa_policy(&"far.test".parse().unwrap(), (0..100).rev().map(|n| format!("{n:03}{}", "x".repeat(5000))));
        assert_eq!((policy.lines.len(), policy.lines[0].len()), (LINES_MAX, LINE_MAX_CHARS));
        assert!(policy.lines.is_sorted());
    }
}
