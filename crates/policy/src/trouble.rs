//! Delivery trouble: what went wrong, how far it reaches, and whether it may pass.
//!
//! Everything that a delivery attempt can meet is written here, ordered by scope, so that there is one place to read how a
//! failure is treated. RFC 3463 for the codes.

use std::fmt;

use mail::EnhancedCode;

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
}

impl Trouble {
    fn new(scope: Scope, permanent: bool, subject: u16, detail: u16, text: impl Into<String>) -> Self {
        let class = if permanent { 5 } else { 4 };
        let text = text.into().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { scope, permanent, enhanced: EnhancedCode(class, subject, detail), text }
    }

    /// It may pass.
    pub fn temporary(scope: Scope, subject: u16, detail: u16, text: impl Into<String>) -> Self {
        Self::new(scope, false, subject, detail, text)
    }

    /// It will not pass.
    pub fn permanent(scope: Scope, subject: u16, detail: u16, text: impl Into<String>) -> Self {
        Self::new(scope, true, subject, detail, text)
    }

    // Recipient

    /// The time is up.
    pub fn expired(last: &str) -> Self {
        Self::permanent(Scope::Recipient, 4, 7, format!("given up after too many attempts; the last one said: {last}"))
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
