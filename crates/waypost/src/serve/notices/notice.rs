//! A notice: what it is about, its text, and how soon it must be read.
//!
//! Invariant: subject and lines of the text are one line each, whatever a stranger put into them.

use mail::one_line_at_most;
use serde::{Deserialize, Serialize};

/// Maximum characters of a subject.
const SUBJECT_MAX_CHARS: usize = 160;

/// Maximum characters of a line, and maximum lines of a text.
const LINE_MAX_CHARS: usize = 500;
const LINES_MAX: usize = 200;

/// One day, in milliseconds.
pub const DAY_MS: i64 = 86_400_000;

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    Certificate,
    Dns,
    Paused,
    QueueOld,
    DiskLow,
    FilterDown,
    AccountSuspended,
    NewNetwork,
    NewSender,
    Bug,
    Digest,
    Test,
}

impl NoticeKind {
    /// The name in webhooks.
    pub fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Dns => "dns",
            Self::Paused => "paused",
            Self::QueueOld => "queue-old",
            Self::DiskLow => "disk-low",
            Self::FilterDown => "filter-down",
            Self::AccountSuspended => "account-suspended",
            Self::NewNetwork => "new-network",
            Self::NewSender => "new-sender",
            Self::Bug => "bug",
            Self::Digest => "digest",
            Self::Test => "test",
        }
    }
}

/// A notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub kind: NoticeKind,
    /// What it is about, so that the same is not told twice.
    pub key: String,
    /// The subject, one line.
    pub subject: String,
    /// The text; lines end with LF.
    pub text: String,
    /// Whether it goes at once; otherwise in the digest.
    pub is_urgent: bool,
    /// How long the same is not told again, in milliseconds.
    pub quiet_ms: i64,
    /// Whether the postmaster gets a letter about it in any case.
    pub has_letter: bool,
}

impl Notice {
    /// A notice that goes at once, and not again within a day. `about` tells it from others of its kind.
    pub fn urgent(kind: NoticeKind, about: &str, subject: &str, text: &str) -> Self {
        let lines: Vec<String> = text.lines().take(LINES_MAX).map(|line| one_line_at_most(line, LINE_MAX_CHARS)).collect();
        Self {
            kind,
            key: format!("{} {}", kind.name(), one_line_at_most(about, SUBJECT_MAX_CHARS)),
            subject: one_line_at_most(subject, SUBJECT_MAX_CHARS),
            text: lines.join("\n") + "\n",
            is_urgent: true,
            quiet_ms: DAY_MS,
            has_letter: false,
        }
    }

    /// A notice for the digest.
    pub fn daily(kind: NoticeKind, about: &str, subject: &str, text: &str) -> Self {
        Self { is_urgent: false, ..Self::urgent(kind, about, subject, text) }
    }
}
