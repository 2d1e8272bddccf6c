//! What DNS was asked and answered, and what was found.
//!
//! RFC 2181 s.5 (a set of records has one answer), RFC 2308 s.2 (no such name, no such record). Invariant: "no" and "no answer" are never mixed up.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{DnsSeverity, PlannedRecord, RecordType};

/// Who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A server that the zone is kept on.
    Authoritative(IpAddr),
    /// A resolver, which may still have an older answer.
    Resolver(IpAddr),
    /// The resolver that the configuration names.
    Configured,
}

impl Source {
    /// Whether its answers are the zone's own.
    pub fn is_authoritative(self) -> bool {
        matches!(self, Self::Authoritative(_))
    }
}

/// A name and a type; the name has its dot and is in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// The name.
    pub name: String,
    /// The type.
    pub record_type: RecordType,
}

impl Question {
    /// Asks for the type at the name.
    pub fn new(name: &str, record_type: RecordType) -> Self {
        let mut name = name.trim_end_matches('.').to_ascii_lowercase();
        name.push('.');
        Self { name, record_type }
    }
}

/// What a record holds. Names are in lower case, with their dot.
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
    /// SRV: priority, weight, port, target; TLSA and CAA: as a zone file has them, in lower case but for what is quoted.
    Other(String),
}

impl Data {
    /// As a zone file has it, what is not plain ASCII escaped.
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

/// A stranger's text, safe to show; characters that look like others are named.
pub(super) fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if c == ' ' || c.is_ascii_graphic() { vec![c] } else { c.escape_default().collect() }).take(600).collect()
}

/// A record that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it holds.
    pub data: Data,
    /// How long it may still be kept, in seconds.
    pub ttl_s: u32,
}

/// What one source says to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These records; an alias (CNAME) on the way is among them.
    Records(Vec<Found>),
    /// There is none; for so many seconds that is remembered.
    Nothing(u32),
    /// It did not answer, or not sensibly.
    Failed(String),
}

impl Answer {
    /// The records.
    pub fn records(&self) -> &[Found] {
        match self {
            Self::Records(records) => records,
            Self::Nothing(_) | Self::Failed(_) => &[],
        }
    }

    /// How long it is remembered.
    pub(super) fn ttl_s(&self) -> u32 {
        match self {
            Self::Records(records) => records.iter().map(|r| r.ttl_s).max().unwrap_or(0),
            Self::Nothing(ttl_s) => *ttl_s,
            Self::Failed(_) => 0,
        }
    }
}

/// All answers so far.
#[derive(Debug, Clone, Default)]
pub struct Answers(HashMap<Question, Vec<(Source, Answer)>>);

impl Answers {
    /// Adds what a source said.
    pub fn add(&mut self, question: Question, source: Source, answer: Answer) {
        self.0.entry(question).or_default().push((source, answer));
    }

    /// What everybody said to a question.
    pub fn to(&self, question: &Question) -> &[(Source, Answer)] {
        self.0.get(question).map_or(&[], Vec::as_slice)
    }

    /// Whether it has been asked.
    pub fn has(&self, question: &Question) -> bool {
        self.0.contains_key(question)
    }

    /// The best answer: of a server of the zone, or else of a resolver. A failure is the last choice.
    pub fn best(&self, question: &Question) -> Option<&Answer> {
        let rank = |(source, answer): &&(Source, Answer)| (matches!(answer, Answer::Failed(_)), !source.is_authoritative());
        self.to(question).iter().min_by_key(rank).map(|(_, answer)| answer)
    }
}

/// What is said of a record that is missing, and was not mistyped.
pub(super) const NOT_THERE: &str = "it is not there";

/// How a record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// As planned.
    Ok,
    /// Not there.
    Missing,
    /// There, and not as planned.
    Differs,
    /// There, and not in the plan.
    Extra,
    /// Right where the zone is kept; others have an older answer for at most so many seconds.
    Propagating(u32),
    /// Nobody answered.
    Unknown,
}

impl State {
    /// The word.
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

/// What was found about a record of the plan, or about one beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The record; of what is too much, the planned one that it stands beside.
    pub record: PlannedRecord,
    /// How it stands.
    pub state: State,
    /// What is there, escaped.
    pub found: Vec<String>,
    /// How much hangs on it.
    pub severity: DnsSeverity,
    /// What is wrong, and why it matters.
    pub why: String,
    /// What to do, with the record to publish.
    pub fix: Option<String>,
}

impl Finding {
    /// Whether something required is wrong. What nobody answers about is not known to be.
    pub fn is_red(&self) -> bool {
        self.severity == DnsSeverity::Required && !matches!(self.state, State::Ok | State::Propagating(_) | State::Unknown)
    }

    /// Whether something required could not be looked up.
    pub fn is_open(&self) -> bool {
        self.severity == DnsSeverity::Required && self.state == State::Unknown
    }

    /// Whether it is not there and nothing else is to be said about that.
    pub fn is_plainly_missing(&self) -> bool {
        self.state == State::Missing && self.found.is_empty() && self.why.starts_with(NOT_THERE)
    }

    /// Whether all is well.
    pub fn is_ok(&self) -> bool {
        self.state == State::Ok
    }
}
