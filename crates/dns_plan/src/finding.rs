//! Questions to DNS, answers, and findings.
//!
//! RFC 2181 s.5 (a set of records has one answer), RFC 2308 s.2 (no such name, no such record). Invariant: "no" and "no answer" are never mixed up.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{DnsSeverity, PlannedRecord, RecordType};

/// The source of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A name server of the zone.
    Authoritative(IpAddr),
    /// A resolver, which may still have an old answer.
    Resolver(IpAddr),
    /// The configured resolver.
    Configured,
}

impl Source {
    /// Whether its answers are the zone's own.
    pub fn is_authoritative(self) -> bool {
        matches!(self, Self::Authoritative(_))
    }
}

/// A name and a type; the name is in lower case with its final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// The name.
    pub name: String,
    /// The type.
    pub record_type: RecordType,
}

impl Question {
    /// A question about this type at this name.
    pub fn new(name: &str, record_type: RecordType) -> Self {
        let mut name = name.trim_end_matches('.').to_ascii_lowercase();
        name.push('.');
        Self { name, record_type }
    }
}

/// The data of a record. Names are in lower case, with their final dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// A or AAAA.
    Address(IpAddr),
    /// CNAME.
    Alias(String),
    /// PTR.
    Name(String),
    /// MX.
    Mx(u16, String),
    /// TXT, its strings joined.
    Text(String),
    /// SRV: priority, weight, port, target; TLSA and CAA: as in a zone file, in lower case except inside quotes.
    Other(String),
}

impl Data {
    /// As in a zone file, with characters that are not plain ASCII escaped.
    pub fn shown(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Alias(name) => format!("CNAME {}", escaped(name)),
            Self::Name(name) => escaped(name),
            Self::Mx(preference, host) => format!("{preference} {}", escaped(host)),
            Self::Text(text) => format!("\"{}\"", escaped(text)),
            Self::Other(text) => escaped(text),
        }
    }
}

/// Text from DNS, safe to show: characters that are not plain ASCII are escaped.
pub(super) fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if c == ' ' || c.is_ascii_graphic() { vec![c] } else { c.escape_default().collect() }).take(600).collect()
}

/// A record in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its data.
    pub data: Data,
    /// Its remaining TTL, in seconds.
    pub ttl_s: u32,
}

/// The answer of one source to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These records, including an alias (CNAME) on the way.
    Records(Vec<Found>),
    /// No such record; the TTL of that answer in seconds.
    Nothing(u32),
    /// The name does not exist (NXDOMAIN).
    NoName {
        /// The zone whose servers say so.
        zone: String,
        /// The TTL of that answer, in seconds.
        ttl_s: u32,
    },
    /// No valid answer.
    Failed(String),
}

impl Answer {
    /// The records.
    pub fn records(&self) -> &[Found] {
        match self {
            Self::Records(records) => records,
            Self::Nothing(_) | Self::NoName { .. } | Self::Failed(_) => &[],
        }
    }

    /// How long it is cached, in seconds.
    pub(super) fn ttl_s(&self) -> u32 {
        match self {
            Self::Records(records) => records.iter().map(|r| r.ttl_s).max().unwrap_or(0),
            Self::Nothing(ttl_s) | Self::NoName { ttl_s, .. } => *ttl_s,
            Self::Failed(_) => 0,
        }
    }
}

/// All answers so far.
#[derive(Debug, Clone, Default)]
pub struct Answers(HashMap<Question, Vec<(Source, Answer)>>);

impl Answers {
    /// Adds the answer of a source.
    pub fn add(&mut self, question: Question, source: Source, answer: Answer) {
        self.0.entry(question).or_default().push((source, answer));
    }

    /// All answers to a question.
    pub fn to(&self, question: &Question) -> &[(Source, Answer)] {
        self.0.get(question).map_or(&[], Vec::as_slice)
    }

    /// Whether the question has been asked.
    pub fn has(&self, question: &Question) -> bool {
        self.0.contains_key(question)
    }

    /// The best answer: from a server of the zone, otherwise from a resolver. A failure is the last choice.
    pub fn best(&self, question: &Question) -> Option<&Answer> {
        let rank = |(source, answer): &&(Source, Answer)| (matches!(answer, Answer::Failed(_)), !source.is_authoritative());
        self.to(question).iter().min_by_key(rank).map(|(_, answer)| answer)
    }
}

/// The explanation for a record that is missing without a visible mistake.
pub(super) const NOT_THERE: &str = "it is not there";

/// The state of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordState {
    /// As planned.
    Ok,
    /// Not there.
    Missing,
    /// There, and not as planned.
    Differs,
    /// There, and not in the plan.
    Extra,
    /// Right at the zone's servers; resolvers have an old answer for at most this many seconds.
    Propagating(u32),
    /// No server answered.
    Unknown,
}

impl RecordState {
    /// Its name in JSON and output.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Differs => "differs",
            Self::Extra => "extra",
            Self::Propagating(_) => "propagating",
            Self::Unknown => "unknown",
        }
    }
}

/// How a hosted domain was lost: its mail does not come here any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainLoss {
    /// The zone above it says that it does not exist: its registration has lapsed, or it never had one.
    Unregistered,
    /// Its MX records name other servers.
    Elsewhere,
}

impl DomainLoss {
    /// Its name in events and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unregistered => "unregistered",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// In a sentence.
    pub fn sentence(self, domain: &str) -> String {
        match self {
            Self::Unregistered => format!("the domain {domain} does not exist any more"),
            Self::Elsewhere => format!("mail for {domain} goes to another server"),
        }
    }
}

/// The result for a record of the plan, or for an extra record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The record; for an extra record, the planned one at the same name.
    pub record: PlannedRecord,
    /// Its state.
    pub state: RecordState,
    /// What is there, escaped.
    pub found: Vec<String>,
    /// How important it is.
    pub severity: DnsSeverity,
    /// What is wrong, and why it matters.
    pub why: String,
    /// What to do, with the record to publish.
    pub fix: Option<String>,
    /// How its domain was lost, if it was.
    pub loss: Option<DomainLoss>,
}

impl Finding {
    /// Whether a required record is wrong. Without an answer that is not known.
    pub fn is_red(&self) -> bool {
        self.severity == DnsSeverity::Required
            && !matches!(self.state, RecordState::Ok | RecordState::Propagating(_) | RecordState::Unknown)
    }

    /// Whether a required record could not be looked up.
    pub fn is_open(&self) -> bool {
        self.severity == DnsSeverity::Required && self.state == RecordState::Unknown
    }

    /// Whether it is missing, without a visible mistake.
    pub fn is_plainly_missing(&self) -> bool {
        self.state == RecordState::Missing && self.found.is_empty() && self.why.starts_with(NOT_THERE)
    }

    /// Whether it is as planned.
    pub fn is_ok(&self) -> bool {
        self.state == RecordState::Ok
    }
}
