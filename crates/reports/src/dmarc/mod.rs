//! DMARC reports (aggregate reports): what a receiver saw of a domain's mail in a day.
//!
//! RFC 9990 and RFC 7489 s.7.2, whose format differs in a few words. Invariant: every value is bounded, and no text has a control character.

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
pub use read::{DmarcReadError, read};
pub use write::write;

/// Maximum rows of a report that are kept; the messages of the others are counted.
pub const ROWS_MAX: usize = 10_000;

/// Maximum signatures, SPF checks and reasons of a row that are kept, of each.
pub const CHECKS_MAX: usize = 16;

/// Maximum length of a text, in characters.
pub const TEXT_MAX_CHARS: usize = 256;

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DmarcReport {
    /// The reporter's name for itself.
    pub organisation: String,
    /// The reporter's contact address.
    pub contact: String,
    /// Further contact information.
    pub extra_contact: Option<String>,
    /// Unique among the reporter's reports.
    pub report_id: String,
    /// Start of the period, Unix seconds.
    pub begin_s: i64,
    /// End of the period, Unix seconds.
    pub end_s: i64,
    /// Errors in the DMARC record.
    pub errors: Vec<String>,
    /// The program that wrote it.
    pub generator: Option<String>,
    /// The policy that was found.
    pub policy: PublishedPolicy,
    /// The rows.
    pub rows: Vec<Row>,
    /// Number of rows left out: too many, or without a valid address or count.
    pub rows_left_out: u64,
    /// Messages of those rows, as far as readable.
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
    /// t=: whether the policy is in test mode.
    pub testing: bool,
    /// fo=.
    pub failure_options: Option<String>,
}

/// What a policy requests, or what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Disposition {
    /// No action.
    #[default]
    None,
    /// No action, since the mail passed.
    Pass,
    /// Treated as suspicious.
    Quarantine,
    /// Refused.
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

/// Messages from one address with the same results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The client's address.
    pub source: IpAddr,
    /// Number of messages.
    pub count: u64,
    /// What was done with them.
    pub disposition: Disposition,
    /// Whether an aligned DKIM signature is valid.
    pub dkim_aligned: bool,
    /// Whether SPF passed for an aligned domain.
    pub spf_aligned: bool,
    /// Why the disposition differs from the policy.
    pub reasons: Vec<Reason>,
    /// The domain of the From field; in lower case.
    pub header_from: String,
    /// The domain of the reverse-path; empty if null or not given.
    pub envelope_from: String,
    /// The recipient's domain; empty if not given.
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
    /// s=; empty if not given.
    pub selector: String,
    /// The result of its verification.
    pub result: Outcome,
}

/// An SPF check, as a receiver made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpfSeen {
    /// The domain that was checked.
    pub domain: String,
    /// The result.
    pub result: Outcome,
}

/// The result of a check (RFC 8601 s.2.7.1 and s.2.7.2).
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

    /// Reads the word, also those of older programs; an unknown word is `none`.
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

/// Why the disposition differs from the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The kind.
    pub kind: Override,
    /// Explanation; may be empty.
    pub comment: String,
}

/// The kinds of reasons (RFC 9990; the last two: RFC 7489 s.7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Override {
    /// The receiver's own rules.
    LocalPolicy,
    /// The mail came through a mailing list.
    MailingList,
    /// Something else.
    #[default]
    Other,
    /// t=y.
    PolicyTestMode,
    /// A forwarder that the receiver trusts.
    TrustedForwarder,
    /// It was forwarded.
    Forwarded,
    /// Excluded by pct=.
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

    /// Reads the word; an unknown word is `other`.
    pub fn parse(text: &str) -> Self {
        Self::WORDS.iter().find(|(_, word)| word.eq_ignore_ascii_case(text)).map_or(Self::Other, |(kind, _)| *kind)
    }
}

/// Sanitizes a text: no control, bidirectional or invisible characters, at most [`TEXT_MAX_CHARS`].
pub fn tame(text: &str) -> String {
    // A forger can use bidirectional and invisible characters; reports do not need them. XML does not allow the last two.
    let is_inert = |c: &char| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    let shown: String = text.trim().chars().filter(is_inert).collect();
    ::mail::one_line_at_most(&shown, TEXT_MAX_CHARS).trim().to_owned()
}

/// Sanitizes a name: one word in lower case, without a final dot.
pub fn word(text: &str) -> String {
    let kept: String = tame(&text.to_lowercase()).chars().filter(|c| !c.is_whitespace()).collect();
    kept.trim_end_matches('.').to_owned()
}
