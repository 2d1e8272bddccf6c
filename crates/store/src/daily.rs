//! The results for DMARC and TLS reports to other domains, and the reports that are due.
//!
//! RFC 8460 s.4.3, RFC 9990. Invariant: two results are added up if their rows are equal; only this file knows how a result is written into
//! a row.

use std::collections::HashMap;

use reports::dmarc::{PublishedPolicy, Row};
use reports::tls::{FailureDetails, Policy};
use serde::de::DeserializeOwned;

use crate::message::NewMessage;

/// The kind of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DailyKind {
    /// A TLS report.
    Tls,
    /// A DMARC report.
    Dmarc,
}

/// Maximum rows of results; further ones are left out.
pub(crate) struct Bounds {
    /// In all.
    pub rows: i64,
    /// Of one domain and period.
    pub domain_rows: i64,
    /// Domains of one period.
    pub domains: i64,
}

impl DailyKind {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Dmarc => "dmarc",
        }
    }

    /// Returns the bounds. They are lower for DMARC, since any client can choose the From domain; the domains that TLS results are about
    /// are those that we send to.
    pub(crate) fn bounds(self) -> Bounds {
        match self {
            Self::Tls => Bounds { rows: 200_000, domain_rows: 200, domains: 200_000 },
            Self::Dmarc => Bounds { rows: 50_000, domain_rows: 1000, domains: 5000 },
        }
    }
}

/// What one report covers: a domain and a period.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DailyPeriod {
    /// The kind of the report.
    pub kind: DailyKind,
    /// Start, in Unix seconds.
    pub begin_s: i64,
    /// End, in Unix seconds.
    pub end_s: i64,
    /// The policy domain.
    pub domain: String,
}

/// A result, and the number of sessions or messages that had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyCount {
    /// The report that it belongs to; of the kind of the result.
    pub period: DailyPeriod,
    /// The result.
    pub result: DailyResult,
    /// Number of sessions or messages.
    pub times: u64,
}

/// The result of a session (TLS) or a message (DMARC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DailyResult {
    /// A session with a mail host of the domain.
    Tls {
        /// The domain's policy.
        policy: Policy,
        /// The failure; `None` for a successful session. Failures that differ only in `reason` are added up, and the last reason is kept;
        /// `sessions` is ignored.
        failure: Option<FailureDetails>,
    },
    /// A message with the domain in From.
    Dmarc {
        /// The domain's policy.
        policy: PublishedPolicy,
        /// What the report says about it; `count` is ignored.
        row: Box<Row>,
        /// When the last such message came, in Unix seconds.
        seen_s: i64,
    },
}

impl DailyCount {
    fn into_row(self) -> DailyRow {
        let Self { period, result, times } = self;
        let (policy, detail, note) = match result {
            DailyResult::Tls { policy, failure: None } => (json(&policy), String::new(), String::new()),
            DailyResult::Tls { policy, failure: Some(failure) } => {
                let detail = json(&FailureDetails { sessions: 0, reason: String::new(), ..failure.clone() });
                (json(&policy), detail, failure.reason)
            }
            DailyResult::Dmarc { policy, row, seen_s } => (json(&policy), json(&Row { count: 0, ..*row }), seen_s.to_string()),
        };
        DailyRow { period, policy, detail, note, times }
    }
}

/// A result as a row of the table `daily_result`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DailyRow {
    pub period: DailyPeriod,
    /// The policy, as JSON.
    pub policy: String,
    /// What distinguishes results of one policy, as JSON: the failure without its reason, empty for success (TLS); the row (DMARC).
    pub detail: String,
    /// The last reason (TLS), or when the last message came (DMARC).
    pub note: String,
    pub times: u64,
}

impl DailyRow {
    /// Returns the rows of results; equal ones are added up.
    pub fn add_up(counts: Vec<DailyCount>) -> Vec<Self> {
        let mut sums: HashMap<(DailyPeriod, String, String), Self> = HashMap::new();
        for count in counts {
            let row = count.into_row();
            let place = (row.period.clone(), row.policy.clone(), row.detail.clone());
            let before = sums.get(&place).map_or(0, |sum| sum.times);
            sums.insert(place, Self { times: before + row.times, ..row });
        }
        sums.into_values().collect()
    }

    /// Returns the result; `None` if the row is unreadable.
    pub fn read(self) -> Option<DailyCount> {
        let Self { period, policy, detail, note, times } = self;
        let result = match period.kind {
            DailyKind::Tls if detail.is_empty() => DailyResult::Tls { policy: parse(&policy)?, failure: None },
            DailyKind::Tls => {
                let failure = FailureDetails { reason: note, ..parse(&detail)? };
                DailyResult::Tls { policy: parse(&policy)?, failure: Some(failure) }
            }
            DailyKind::Dmarc => {
                let row = Box::new(parse(&detail)?);
                DailyResult::Dmarc { policy: parse(&policy)?, row, seen_s: note.parse().unwrap_or(0) }
            }
        };
        Some(DailyCount { period, result, times })
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn parse<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_json::from_str(json).ok()
}

/// A report that is due.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DailyReportDue {
    /// What it covers.
    pub period: DailyPeriod,
    /// Its destination; empty until the destinations are looked up.
    pub target: String,
    /// When it is given up, Unix milliseconds.
    pub give_up_ms: i64,
}

/// A change of the reports that are due.
#[derive(Debug, Clone)]
pub enum DailyChange {
    /// Makes a report due for each period that ended before `ended_s`, at a random time within `spread_ms` from now; removes those that ended before
    /// `old_s`.
    Plan {
        /// The kind of the reports.
        kind: DailyKind,
        /// Unix seconds.
        ended_s: i64,
        /// Unix seconds.
        old_s: i64,
        /// Now, Unix milliseconds.
        now_ms: i64,
        /// Milliseconds.
        spread_ms: i64,
    },
    /// Ends a report: queues its messages (none if it is given up), and makes it due for further targets.
    Done {
        /// The report.
        due: DailyReportDue,
        /// The messages.
        messages: Vec<NewMessage>,
        /// Further targets, due now.
        more: Vec<String>,
        /// Now, Unix milliseconds.
        now_ms: i64,
    },
    /// Retries a report later.
    Later {
        /// The report.
        due: DailyReportDue,
        /// When, Unix milliseconds.
        next_ms: i64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::dmarc::Disposition;
    use reports::tls::ResultType;

    fn period(kind: DailyKind) -> DailyPeriod {
        DailyPeriod { kind, begin_s: 0, end_s: 1, domain: "far.test".into() }
    }

    fn tls(failure: Option<(ResultType, &str)>, times: u64) -> DailyCount {
        let failure = failure.map(|(result, reason)| FailureDetails { result, reason: reason.into(), ..FailureDetails::default() });
        DailyCount { period: period(DailyKind::Tls), result: DailyResult::Tls { policy: Policy::default(), failure }, times }
    }

    #[test]
    fn results_that_differ_only_in_reason_add_up_under_the_last_reason() {
        let fault = |reason| Some((ResultType::CertificateExpired, reason));
        let mut rows = DailyRow::add_up(vec![tls(None, 1), tls(fault("first"), 2), tls(None, 3), tls(fault("last"), 4)]);
        rows.sort_by_key(|row| row.times);
        let read: Vec<_> = rows.into_iter().filter_map(DailyRow::read).collect();
        assert_eq!(read, [tls(None, 4), tls(fault("last"), 6)]);
    }

    #[test]
    fn a_result_is_read_as_it_was_written() {
        let row = Row {
            source: "192.0.2.1".parse().unwrap(),
            count: 0,
            disposition: Disposition::None,
            dkim_aligned: true,
            spf_aligned: false,
            reasons: Vec::new(),
            header_from: "far.test".into(),
            envelope_from: String::new(),
            envelope_to: String::new(),
            dkim: Vec::new(),
            spf: Vec::new(),
        };
        let result = DailyResult::Dmarc { policy: PublishedPolicy::default(), row: Box::new(row), seen_s: 7 };
        let count = DailyCount { period: period(DailyKind::Dmarc), result, times: 1 };
        assert_eq!(count.clone().into_row().read(), Some(count.clone()));
        assert_eq!(DailyRow { detail: "{".into(), ..count.into_row() }.read(), None);
    }
}
