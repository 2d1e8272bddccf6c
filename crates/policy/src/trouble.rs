//! Delivery trouble: why a delivery did not succeed, how far that reaches, and what follows.
//!
//! RFC 3463, RFC 5321 s.4.5.4.1 and s.5.1. Every trouble is made here, those out of replies in `remote.rs`. What follows:
//!
//! | scope     | permanent                                       | temporary                                                              |
//! |-----------|-------------------------------------------------|------------------------------------------------------------------------|
//! | recipient | the recipient fails; its sender gets a DSN      | the recipient is deferred                                              |
//! | message   | all recipients of the message fail              | all recipients of the message are deferred                             |
//! | host      | all recipients of the message fail              | the next address, the next host, a route of last resort; then          |
//! |           |                                                 | everything that waits for the host is deferred (`defers_all_of_host`)  |
//!
//! The kind and the meaning of a reply refine the table, one method for each action:
//!
//! | `tries_next_host`        | `HostState` whatever its scope; never `Refused`, which holds at the other hosts too       |
//! | `allows_last_resort`     | only `Unreachable` and `HostState`: a host that answers about us, or about TLS, is not bypassed |
//! | `ends_list_of_hosts`     | `Loop`: the hosts behind this server would only send the mail back                        |
//! | `was_attempted`          | all but `Paused`, which does not count as an attempt and waits until `not_before_ms`      |
//! | `wants_pause`            | by meaning: an attempt at once over another connection would make it worse                |
//! | `wants_new_connection`   | by meaning: the host accepts the next message over another connection                     |
//! | `is_dmarc_refusal`       | by meaning: the From field's domain is refused; a forward can be sent again under another |
//! | `doubts_our_identity`    | by the reply's code: our DNS records are checked                                          |
//!
//! Invariant: nothing that follows depends on a code or a text of our own.

use std::fmt;
use std::sync::Arc;

use mail::{Domain, EnhancedCode, Reply, one_line};

use crate::meaning::{Meaning, Reaction, Severity};

/// How far a trouble reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// This recipient only.
    Recipient,
    /// This message, for all its recipients.
    Message,
    /// This host: every message that waits for it.
    Host,
}

/// What happened, as far as an action depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// A reply refuses a recipient, a message, or this server.
    Refused,
    /// A reply is about the state of the host itself.
    HostState,
    /// No address of the host answers, or the connection was lost.
    Unreachable,
    /// TLS is required and cannot be had.
    Tls,
    /// The next hop is this server.
    Loop,
    /// A circuit breaker is open: there was no attempt.
    Paused,
    /// DNS, protocol, login, a mailbox of this machine, our own disk, a bug.
    Other,
}

/// A reply, and the host that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostReply {
    /// The host.
    pub host: Domain,
    /// Its reply, unchanged: it may name the target behind an alias.
    pub reply: Reply,
}

/// Why a delivery did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How far it reaches.
    pub scope: Scope,
    /// What happened.
    pub kind: TroubleKind,
    /// Whether a retry cannot help.
    pub permanent: bool,
    /// The enhanced code; its class agrees with `permanent`.
    pub enhanced: EnhancedCode,
    /// One line, without control characters.
    pub text: String,
    /// The reply, if a host gave one.
    pub said: Option<Arc<HostReply>>,
    /// What the reply means, if there was one.
    pub meaning: Option<Arc<Meaning>>,
    /// No attempt before this time, Unix milliseconds.
    pub not_before_ms: Option<i64>,
}

impl Trouble {
    fn new(scope: Scope, permanent: bool, subject: u16, detail: u16, text: impl Into<String>) -> Self {
        let enhanced = EnhancedCode(if permanent { 5 } else { 4 }, subject, detail);
        let text = one_line(&text.into());
        Self { scope, kind: TroubleKind::Other, permanent, enhanced, text, said: None, meaning: None, not_before_ms: None }
    }

    pub(crate) fn of_kind(self, kind: TroubleKind) -> Self {
        Self { kind, ..self }
    }

    /// A retry may help.
    pub fn temporary(scope: Scope, subject: u16, detail: u16, text: impl Into<String>) -> Self {
        Self::new(scope, false, subject, detail, text)
    }

    /// A retry cannot help.
    pub fn permanent(scope: Scope, subject: u16, detail: u16, text: impl Into<String>) -> Self {
        Self::new(scope, true, subject, detail, text)
    }

    /// A circuit breaker is open: no attempt was made, and none is made before that time, Unix milliseconds.
    pub fn paused(scope: Scope, until_ms: i64, why: &str) -> Self {
        let (subject, detail) = if scope == Scope::Recipient { (2, 0) } else { (4, 5) };
        let trouble = Self::temporary(scope, subject, detail, format!("not tried: {why}"));
        Self { not_before_ms: Some(until_ms), ..trouble.of_kind(TroubleKind::Paused) }
    }

    /// The row of the table of replies that matched.
    pub fn row(&self) -> Option<&'static str> {
        self.meaning.as_ref().map(|meaning| meaning.row)
    }

    /// The cause in a sentence for people, if a row of the table of replies matched.
    pub fn cause(&self) -> Option<&'static str> {
        self.meaning.as_ref().map(|meaning| meaning.cause)
    }

    /// Whether there was an attempt.
    pub fn was_attempted(&self) -> bool {
        self.kind != TroubleKind::Paused
    }

    /// Whether another host of the same domain may accept what this one did not (RFC 5321 s.5.1).
    pub fn tries_next_host(&self) -> bool {
        match self.kind {
            TroubleKind::Refused | TroubleKind::Paused => false,
            TroubleKind::HostState => !self.permanent,
            _ => !self.permanent && self.scope == Scope::Host,
        }
    }

    /// Whether the mail may go by a route of last resort.
    pub fn allows_last_resort(&self) -> bool {
        let is_gone = matches!(self.kind, TroubleKind::Unreachable | TroubleKind::HostState);
        is_gone && self.tries_next_host() && !self.wants_pause()
    }

    /// Whether the hosts after this one in the list are of no use.
    pub fn ends_list_of_hosts(&self) -> bool {
        self.kind == TroubleKind::Loop
    }

    /// Whether everything that waits for the host is deferred with it.
    pub fn defers_all_of_host(&self) -> bool {
        self.scope == Scope::Host && !self.permanent
    }

    /// Whether the host refuses us because of our identity (RFC 7372 s.3, and Gmail's 5.7.25 to 5.7.27): PTR record, SPF, DKIM or DMARC. For a
    /// forward, DKIM and DMARC are the author's own, unless the host names the domain `ours` under which it left.
    pub fn doubts_our_identity(&self, ours: Option<&str>) -> bool {
        let Some(EnhancedCode(_, 7, detail)) = self.said.as_ref().and_then(|said| said.reply.enhanced) else { return false };
        match (detail, ours) {
            (23..=25 | 27, _) => true,
            (20..=22 | 26 | 30, None) => true,
            (26, Some(domain)) => self.text.to_ascii_lowercase().contains(&domain.to_ascii_lowercase()),
            _ => false,
        }
    }

    /// Whether the host asks for a pause.
    pub fn wants_pause(&self) -> bool {
        self.meaning.as_ref().is_some_and(|meaning| meaning.reaction.asks_for_time())
    }

    /// Whether the host wants another connection for the next message.
    pub fn wants_new_connection(&self) -> bool {
        self.meaning.as_ref().is_some_and(|meaning| meaning.reaction == Reaction::Reconnect)
    }

    /// Whether the target refuses the message because nothing aligned authenticates its From field: a forward of mail that had only SPF. The table
    /// lists which replies say so (RFC 7372 s.3 for 5.7.26).
    pub fn is_dmarc_refusal(&self) -> bool {
        self.permanent && self.meaning.as_ref().is_some_and(|meaning| meaning.reaction == Reaction::Remedy)
    }

    /// The reason for the operator: the host's reply, and before it what to do where only a person can help.
    pub fn reason(&self, is_own: bool) -> String {
        match &self.meaning {
            Some(meaning) if meaning.severity_of(is_own) == Severity::Critical => format!("{} ({})", meaning.advice(), self.text),
            _ => self.text.clone(),
        }
    }

    // Recipient

    /// The maximum time in the queue is over.
    pub fn expired(last: &Self) -> Self {
        let expired = Self::permanent(Scope::Recipient, 4, 7, format!("given up after too many attempts; at the last one, {}", last.text));
        Self { said: last.said.clone(), meaning: last.meaning.clone(), ..expired }
    }

    // Message

    /// The content on our disk cannot be read.
    pub fn unreadable(text: &str) -> Self {
        Self::temporary(Scope::Message, 3, 0, format!("our copy of the message cannot be read: {text}"))
    }

    /// A bug of ours, caught at the edge of a delivery.
    pub fn bug(text: impl Into<String>) -> Self {
        Self::temporary(Scope::Message, 3, 5, text)
    }

    // Host

    /// No address of the host answers.
    pub fn unreachable(text: impl Into<String>) -> Self {
        Self::temporary(Scope::Host, 4, 1, text).of_kind(TroubleKind::Unreachable)
    }

    /// The host stopped answering.
    pub fn connection_lost(text: impl Into<String>) -> Self {
        Self::temporary(Scope::Host, 4, 2, text).of_kind(TroubleKind::Unreachable)
    }

    /// The host violates SMTP.
    pub fn bad_protocol(text: impl Into<String>) -> Self {
        Self::temporary(Scope::Host, 5, 0, text)
    }

    /// TLS is required and failed.
    pub fn tls(text: impl Into<String>) -> Self {
        Self::temporary(Scope::Host, 7, 5, text).of_kind(TroubleKind::Tls)
    }

    /// DNS did not answer.
    pub fn dns(text: impl Into<String>) -> Self {
        Self::temporary(Scope::Host, 4, 3, text)
    }

    /// The next hop is this server.
    pub fn looped(text: impl Into<String>) -> Self {
        Self::permanent(Scope::Host, 4, 6, text).of_kind(TroubleKind::Loop)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.enhanced, self.text)
    }
}
