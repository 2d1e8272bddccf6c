//! Delivery trouble: what went wrong, how far it reaches, and whether it may pass.
//!
//! Everything that a delivery attempt can meet is written here, ordered by scope, so that there is one place to read how a
//! failure is treated. RFC 3463 for the codes.

use std::fmt;
use std::sync::Arc;

use mail::{Domain, EnhancedCode, Reply};

use crate::meaning::{Meaning, Reaction, Severity};

/// How far a trouble reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// This recipient only.
    Recipient,
    /// This message, for all its recipients.
    Message,
    /// This host: everything that waits for it.
    Host,
}

/// A reply, and the host that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The host.
    pub host: Domain,
    /// Its reply, word for word: it may name the target behind an alias.
    pub reply: Reply,
}

/// Why a delivery did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How far it reaches.
    pub scope: Scope,
    /// Whether trying again is pointless.
    pub permanent: bool,
    /// The enhanced code; its class agrees with `permanent`.
    pub enhanced: EnhancedCode,
    /// What was said, one line, without control characters.
    pub text: String,
    /// The reply itself, where a host gave one.
    pub said: Option<Arc<Said>>,
    /// What the reply means, where there was one.
    pub meaning: Option<Arc<Meaning>>,
    /// It is not tried again before this time, Unix milliseconds.
    pub not_before_ms: Option<i64>,
    /// Whether it was tried at all.
    pub attempted: bool,
}

impl Trouble {
    fn new(scope: Scope, permanent: bool, subject: u16, detail: u16, text: impl Into<String>) -> Self {
        let class = if permanent { 5 } else { 4 };
        let text = text.into().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let enhanced = EnhancedCode(class, subject, detail);
        Self { scope, permanent, enhanced, text, said: None, meaning: None, not_before_ms: None, attempted: true }
    }

    /// It may pass.
    pub fn temporary(scope: Scope, subject: u16, detail: u16, text: impl Into<String>) -> Self {
        Self::new(scope, false, subject, detail, text)
    }

    /// It will not pass.
    pub fn permanent(scope: Scope, subject: u16, detail: u16, text: impl Into<String>) -> Self {
        Self::new(scope, true, subject, detail, text)
    }

    /// A circuit is open: it was not tried, and is not before that time.
    pub fn held_back(scope: Scope, until_ms: i64, why: &str) -> Self {
        let (subject, detail) = if scope == Scope::Recipient { (2, 0) } else { (4, 5) };
        let trouble = Self::temporary(scope, subject, detail, format!("not tried now, {why}"));
        Self { not_before_ms: Some(until_ms), attempted: false, ..trouble }
    }

    /// The row of the table that says what the reply means.
    pub fn row(&self) -> Option<&'static str> {
        self.meaning.as_ref().map(|meaning| meaning.row)
    }

    /// Why, in a sentence for people, where the table of replies says more than the reply.
    pub fn cause(&self) -> Option<&'static str> {
        self.meaning.as_ref().map(|meaning| meaning.cause)
    }

    /// Whether another host of the same domain may take what this one did not (RFC 5321 s.5.1): it does not answer, ends the session, or speaks of its own
    /// state (RFC 3463 s.3.4 and s.3.5). What it says of a recipient or a message holds at the other hosts too.
    pub fn is_of_one_host(&self) -> bool {
        if self.permanent || !self.attempted {
            return false;
        }
        let Some(said) = &self.said else { return self.scope == Scope::Host };
        matches!((said.reply.code, said.reply.enhanced), (421, _) | (400..500, Some(EnhancedCode(4, 3 | 4, _))) | (451 | 452, None))
    }

    /// Whether the mail may go by a route of last resort: the host is there for nobody. A host that answers about us, or about TLS, is not gone round.
    pub fn leads_round(&self) -> bool {
        let is_ours_to_mend = self.said.is_none() && !matches!(self.enhanced, EnhancedCode(4, 4, 1 | 2));
        self.is_of_one_host() && !self.wants_pause() && !is_ours_to_mend
    }

    /// Whether a host says that it cannot believe who we are (RFC 7372 s.3, and Gmail's 5.7.25 to 5.7.27): name of the address, SPF, DKIM, DMARC.
    /// Of a forward, signatures and DMARC are the author's own affair, unless the host names the domain `ours` under which it left.
    pub fn doubts_us(&self, ours: Option<&str>) -> bool {
        let EnhancedCode(_, subject, detail) = self.enhanced;
        let is_ours = match (detail, ours) {
            (23..=25 | 27, _) => true,
            (20..=22 | 26 | 30, None) => true,
            (26, Some(domain)) => self.text.to_ascii_lowercase().contains(&domain.to_ascii_lowercase()),
            _ => false,
        };
        self.meaning.is_some() && subject == 7 && is_ours
    }

    /// Whether the host wants a pause, so that trying at once over another connection would only make it worse.
    pub fn wants_pause(&self) -> bool {
        self.meaning.as_ref().is_some_and(|meaning| meaning.reaction.pause().is_some())
    }

    /// Whether the host wants another connection for the next message.
    pub fn wants_new_connection(&self) -> bool {
        self.meaning.as_ref().is_some_and(|meaning| meaning.reaction == Reaction::Reconnect)
    }

    /// Why it waits, for the operator: what the host said, and before it what to do where only a person can.
    pub fn reason(&self, is_own: bool) -> String {
        match &self.meaning {
            Some(meaning) if meaning.severity_of(is_own) == Severity::Critical => format!("{} ({})", meaning.advice(), self.text),
            _ => self.text.clone(),
        }
    }

    // Recipient

    /// The time is up.
    pub fn expired(last: &Self) -> Self {
        let expired = Self::permanent(Scope::Recipient, 4, 7, format!("given up after too many attempts; at the last one, {}", last.text));
        Self { said: last.said.clone(), meaning: last.meaning.clone(), ..expired }
    }

    // Message

    /// The content on our disk cannot be read.
    pub fn unreadable(text: &str) -> Self {
        Self::temporary(Scope::Message, 3, 0, format!("our copy of the message cannot be read: {text}"))
    }

    // Host

    /// No address of the host answered.
    pub fn unreachable(text: impl Into<String>) -> Self {
        Self::temporary(Scope::Host, 4, 1, text)
    }

    /// The host stopped answering.
    pub fn connection_lost(text: impl Into<String>) -> Self {
        Self::temporary(Scope::Host, 4, 2, text)
    }

    /// The host does not speak SMTP as it should.
    pub fn bad_protocol(text: impl Into<String>) -> Self {
        Self::temporary(Scope::Host, 5, 0, text)
    }

    /// TLS is demanded and failed.
    pub fn tls(text: impl Into<String>) -> Self {
        Self::temporary(Scope::Host, 7, 5, text)
    }

    /// DNS did not answer.
    pub fn dns(text: impl Into<String>) -> Self {
        Self::temporary(Scope::Host, 4, 3, text)
    }

    /// A bug of ours was caught at the edge of a delivery.
    pub fn bug(text: impl Into<String>) -> Self {
        Self::temporary(Scope::Message, 3, 5, text)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.enhanced, self.text)
    }
}
