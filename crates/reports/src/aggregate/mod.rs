//! Aggregate reports of DMARC: what a receiver saw of the mail of a domain in a day.
//!
//! RFC 9990 and RFC 7489 s.7.2, whose reports are the same but for a few words. Invariant: a value here is bounded, and no text in it has a
//! control character, whoever wrote it.

mod classify;
mod mail;
mod read;
#[cfg(test)]
pub(crate) mod samples;
mod tree;
mod write;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use classify::{Class, Own};
pub use read::{ReadError, read};
pub use write::write;

/// At most this many rows of a report are kept; what the others hold is counted.
pub const ROWS_MAX: usize = 10_000;

/// At most this many signatures, SPF checks and reasons of a row are kept, of each.
pub const CHECKS_MAX: usize = 16;

/// The longest text that is kept, in characters.
pub const TEXT_MAX_CHARS: usize = 256;

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AggregateReport {
    /// Who reports, as they call themselves.
    pub organisation: String,
    /// Whom to ask about it.
    pub contact: String,
    /// More about whom to ask.
    pub extra_contact: Option<String>,
    /// What tells this report from others of theirs.
    pub report_id: String,
    /// From when on, Unix seconds.
    pub begin_s: i64,
    /// Until when.
    pub end_s: i64,
    /// What was wrong with the record.
    pub errors: Vec<String>,
    /// The program that wrote it.
    pub generator: Option<String>,
    /// The policy that was found.
    pub policy: PublishedPolicy,
    /// What was seen.
    pub rows: Vec<Row>,
    /// Rows that are not in `rows`: too many, or without an address or a number that can be read.
    pub rows_left_out: u64,
    /// The messages of those rows, as far as they can be read.
    pub messages_left_out: u64,
}

/// The policy that a receiver found in DNS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PublishedPolicy {
    /// The domain whose record it is; in lower case.
    pub domain: String,
    /// p=.
    pub p: Disposition,
    /// sp=.
    pub sp: Option<Disposition>,
    /// np=.
    pub np: Option<Disposition>,
    /// Whether DKIM must align strictly.
    pub strict_dkim: bool,
    /// Whether SPF must align strictly.
    pub strict_spf: bool,
    /// t=: whether the policy is only tried.
    pub testing: bool,
    /// fo=.
    pub failure_options: Option<String>,
}

/// What a policy asks, or what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Disposition {
    /// Nothing.
    #[default]
    None,
    /// Nothing, since the mail passed.
    Pass,
    /// It is distrusted.
    Quarantine,
    /// It is refused.
    Reject,
}

impl Disposition {
    const ALL: [Self; 4] = [Self::None, Self::Pass, Self::Quarantine, Self::Reject];

    /// The word in XML.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.as_str().eq_ignore_ascii_case(text))
    }
}

/// What was seen of mail of one kind from one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Where it came from.
    pub source: IpAddr,
    /// How many messages.
    pub count: u64,
    /// What was done with them.
    pub disposition: Disposition,
    /// Whether a DKIM signature of an aligned domain held.
    pub dkim_aligned: bool,
    /// Whether SPF passed for an aligned domain.
    pub spf_aligned: bool,
    /// Why something else was done than the policy asks.
    pub reasons: Vec<Reason>,
    /// The domain of the From field; in lower case.
    pub header_from: String,
    /// The domain of the reverse-path; empty where that is null or not told.
    pub envelope_from: String,
    /// The domain that the mail went to; empty where it is not told.
    pub envelope_to: String,
    /// The signatures.
    pub dkim: Vec<DkimSeen>,
    /// The SPF checks.
    pub spf: Vec<SpfSeen>,
}

/// A signature, as a receiver saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimSeen {
    /// d=.
    pub domain: String,
    /// s=; empty where it is not told.
    pub selector: String,
    /// Whether it held.
    pub result: Outcome,
}

/// An SPF check, as a receiver made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpfSeen {
    /// The domain that was checked.
    pub domain: String,
    /// What came of it.
    pub result: Outcome,
}

/// What came of a check (RFC 8601 s.2.7.1 and s.2.7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs)] // the words of the RFC
pub enum Outcome {
    #[default]
    None,
    Pass,
    Fail,
    SoftFail,
    Neutral,
    Policy,
    TempError,
    PermError,
}

impl Outcome {
    const WORDS: [(Self, &'static str); 8] = [
        (Self::None, "none"),
        (Self::Pass, "pass"),
        (Self::Fail, "fail"),
        (Self::SoftFail, "softfail"),
        (Self::Neutral, "neutral"),
        (Self::Policy, "policy"),
        (Self::TempError, "temperror"),
        (Self::PermError, "permerror"),
    ];

    /// The word in XML.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(outcome, _)| *outcome == self).map_or("none", |(_, word)| word)
    }

    /// Reads the word, also those that older programs write; what is unknown is no result.
    pub fn parse(text: &str) -> Self {
        let word = text.to_ascii_lowercase();
        match word.as_str() {
            "hardfail" => Self::Fail,
            "unknown" => Self::TempError,
            "error" => Self::PermError,
            _ => Self::WORDS.iter().find(|(_, known)| *known == word).map_or(Self::None, |(outcome, _)| *outcome),
        }
    }
}

/// Why something else was done than the policy asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The kind.
    pub kind: Override,
    /// More about it; empty where nothing is told.
    pub comment: String,
}

/// The kinds of reasons (RFC 9990; the last two: RFC 7489 s.7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Override {
    /// The receiver's own rules.
    LocalPolicy,
    /// A mailing list changed the mail.
    MailingList,
    /// Something else.
    #[default]
    Other,
    /// t=y.
    PolicyTestMode,
    /// A forwarder that the receiver believes.
    TrustedForwarder,
    /// It was forwarded.
    Forwarded,
    /// pct= left it out.
    SampledOut,
}

impl Override {
    const WORDS: [(Self, &'static str); 7] = [
        (Self::LocalPolicy, "local_policy"),
        (Self::MailingList, "mailing_list"),
        (Self::Other, "other"),
        (Self::PolicyTestMode, "policy_test_mode"),
        (Self::TrustedForwarder, "trusted_forwarder"),
        (Self::Forwarded, "forwarded"),
        (Self::SampledOut, "sampled_out"),
    ];

    /// The word in XML.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(kind, _)| *kind == self).map_or("other", |(_, word)| word)
    }

    /// Reads the word; what is unknown is something else.
    pub fn parse(text: &str) -> Self {
        Self::WORDS.iter().find(|(_, word)| word.eq_ignore_ascii_case(text)).map_or(Self::Other, |(kind, _)| *kind)
    }
}

/// A text of a stranger as it is kept: without what a terminal or a line would act on, and no longer than [`TEXT_MAX_CHARS`].
pub fn tame(text: &str) -> String {
    // Characters that turn text around or cannot be seen are of no use in a report, and of much use to a forger.
    let is_inert = |c: &char| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let shown: String = text.trim().chars().filter(is_inert).collect();
    ::mail::one_line_at_most(&shown, TEXT_MAX_CHARS)
}

/// A name of a stranger as it is kept: one word in lower case, without the dot at its end.
pub fn word(text: &str) -> String {
    let kept: String = tame(text).chars().filter(|c| !c.is_whitespace()).collect();
    kept.trim_end_matches('.').to_lowercase()
}
