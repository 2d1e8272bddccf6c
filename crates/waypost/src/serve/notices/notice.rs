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
    /// Whether it is about one node, not about what all nodes of a database share.
    #[serde(default)]
    pub is_of_node: bool,
    /// The node that it comes from, where nodes share a database.
    #[serde(default)]
    pub node: Option<String>,
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
            is_of_node: false,
            node: None,
        }
    }

    /// The same notice about one node.
    pub fn of_node(self) -> Self {
        Self { is_of_node: true, ..self }
    }

    /// The same notice, with the name of the node that it comes from. One that is about the node is told once for each node.
    pub fn at_node(self, node: &str) -> Self {
        let text = format!("{}\nThis comes from node {node}.\n", self.text);
        let (key, subject) = match self.is_of_node {
            true => (format!("{} at {node}", self.key), one_line_at_most(&format!("node {node}: {}", self.subject), SUBJECT_MAX_CHARS)),
            false => (self.key, self.subject),
        };
        Self { key, subject, text, node: Some(node.to_owned()), ..self }
    }

    /// A notice for the digest.
    pub fn daily(kind: NoticeKind, about: &str, subject: &str, text: &str) -> Self {
        Self { is_urgent: false, ..Self::urgent(kind, about, subject, text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_names_its_node_and_only_what_is_about_a_node_is_told_for_each() {
        let of = |notice: Notice, node| notice.at_node(node);
        let shared = || Notice::urgent(NoticeKind::Paused, "host x", "host is paused: x", "why");
        let own = || Notice::urgent(NoticeKind::DiskLow, "", "the disk is nearly full", "free some").of_node();
        let (a, b) = (of(shared(), "a"), of(shared(), "b"));
        assert_eq!((&a.key, a.subject.as_str()), (&b.key, "host is paused: x"));
        assert_eq!((a.text.as_str(), a.node.as_deref()), ("why\n\nThis comes from node a.\n", Some("a")));
        let (a, b) = (of(own(), "a"), of(own(), "b"));
        assert_ne!(a.key, b.key);
        assert_eq!(b.subject, "node b: the disk is nearly full");
    }
}
