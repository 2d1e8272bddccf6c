//! The meaning of a remote reply: its cause, what it is about, what Waypost does, and what the operator can do.
//!
//! RFC 3463 and RFC 5321 s.4.2.1 define the classes; the meaning that the large providers give theirs is in `data/replies.toml`.
//! Invariant: every reply has a meaning. Its text alone can decide that, so it names no key: which deliveries a pause stops is decided by the host
//! that sent the reply (`breaker.rs`), never by a provider that its text names.

use std::fmt;

/// The meaning of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// The row of the table that matched, for logs.
    pub row: &'static str,
    /// The provider's title, if the table knows the provider.
    pub provider: Option<&'static str>,
    /// The cause, in a sentence for people.
    pub cause: &'static str,
    /// What the operator can do.
    pub next_step: &'static str,
    /// What Waypost does.
    pub reaction: Reaction,
    /// What the reply is about, and a pause with it.
    pub scopes: &'static [ReplyScope],
    /// How much it matters for forwarded mail.
    pub severity: Severity,
    /// How much it matters for mail of accounts.
    pub own_severity: Severity,
    /// A page of the provider with details.
    pub link: Option<&'static str>,
    /// Whether the message is deferred: the reply is a 4xx, or a 5xx about this server, which may be mended while the message waits.
    pub waits: bool,
}

impl Meaning {
    /// The severity for mail of accounts, or for forwarded mail.
    pub fn severity_of(&self, is_own: bool) -> Severity {
        if is_own { self.own_severity } else { self.severity }
    }

    /// Cause and next step.
    pub fn advice(&self) -> String {
        format!("{} {}", self.cause, self.next_step)
    }

    /// What Waypost does after this reply, as a sentence without its subject.
    pub fn action(&self) -> String {
        match &self.reaction {
            Reaction::Fail | Reaction::InvalidTarget { .. } if self.waits => Reaction::Retry { waits_s: Vec::new() }.to_string(),
            reaction => reaction.to_string(),
        }
    }
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReplyScope {
    /// One mailbox.
    Target,
    /// Our address, or the network around it.
    Ip,
    /// The domain of the reverse-path.
    SpfDomain,
    /// The domain of our DKIM signature.
    DkimDomain,
    /// The host.
    MxHost,
}

/// What Waypost does after a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reaction {
    /// Retries after these waits in seconds, the last one repeated; if empty, by the retry schedule.
    Retry {
        /// The waits.
        waits_s: Vec<u32>,
    },
    /// Fails the recipient: the sender gets the refusal while it is connected, or a DSN.
    Fail,
    /// Pauses deliveries within the scopes, then sends a probe.
    Pause(PauseRule),
    /// Fails the recipient, and warns the operator after this many failures in a row.
    InvalidTarget {
        /// How many.
        after: u32,
    },
    /// Retries, only over TLS.
    ForceTls,
    /// Retries over IPv4.
    ForceIpv4,
    /// Keeps the message: the host accepts none from our address, and only another route helps.
    SwitchRoute,
    /// Sends a forward again under a From field that we can sign for (DMARC).
    Remedy,
    /// Retries at once over a new connection.
    Reconnect,
}

/// How long a pause lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PauseRule {
    /// Minimum, in seconds.
    pub at_least_s: u32,
    /// Whether each refused probe doubles it.
    pub growing: bool,
}

/// How much a reply matters to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Normal operation.
    Info,
    /// Should be looked into.
    Warning,
    /// Mail does not arrive until the operator acts.
    Critical,
}

/// Interval between probes by a route that the host refuses, in seconds.
const REFUSED_ROUTE_PROBE_S: u32 = 4 * 3_600;

impl Reaction {
    /// The pause that it causes within its scopes, if any.
    pub fn pause(&self) -> Option<PauseRule> {
        match *self {
            Self::Pause(rule) => Some(rule),
            Self::SwitchRoute => Some(PauseRule { at_least_s: REFUSED_ROUTE_PROBE_S, growing: false }),
            _ => None,
        }
    }

    /// Whether the host wants time to pass before the next attempt, over any of its connections.
    pub(crate) fn asks_for_time(&self) -> bool {
        self.pause().is_some() || matches!(self, Self::Retry { waits_s } if !waits_s.is_empty())
    }

    /// Whether the message is deferred even after a 5xx: the reply is about this server or the mailbox's state, not about the message.
    pub(crate) fn defers_after_5xx(&self) -> bool {
        self.pause().is_some() || matches!(self, Self::ForceTls | Self::ForceIpv4)
    }
}

/// What Waypost does, as a sentence without its subject.
impl fmt::Display for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { waits_s } if waits_s.is_empty() => f.write_str("retries by the retry schedule"),
            Self::Retry { waits_s } => {
                let waits: Vec<String> = waits_s.iter().map(|s| time(*s)).collect();
                write!(f, "retries after {}", waits.join(", "))
            }
            Self::Fail => f.write_str("fails the recipient; the sender gets the refusal or a DSN"),
            Self::Pause(PauseRule { at_least_s, growing }) => {
                let grows = if *growing { ", longer each time" } else { "" };
                write!(
                    f,
                    "pauses such deliveries for at least {}{grows}, then sends one as a probe, then resumes slowly",
                    time(*at_least_s)
                )
            }
            Self::InvalidTarget { after: 0 | 1 } => f.write_str("fails the recipient, and warns about the alias in the log"),
            Self::InvalidTarget { after } => {
                write!(f, "fails the recipient; after {after} failures in a row it warns about the alias in the log")
            }
            Self::ForceTls => f.write_str("retries, only over TLS"),
            Self::ForceIpv4 => f.write_str("retries over IPv4, and stays with it for a day"),
            Self::SwitchRoute => {
                write!(f, "keeps the mail; sends one message in {} by this route until there is another", time(REFUSED_ROUTE_PROBE_S))
            }
            Self::Remedy => {
                f.write_str("sends a forward again under a From field of ours where that can help; otherwise as the reply code says")
            }
            Self::Reconnect => f.write_str("retries at once over a new connection"),
        }
    }
}

fn time(s: u32) -> String {
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min", s / 60),
        _ => format!("{} h", s / 3_600),
    }
}

impl ReplyScope {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "target" => Self::Target,
            "ip" => Self::Ip,
            "spf" => Self::SpfDomain,
            "dkim" => Self::DkimDomain,
            "mx-host" => Self::MxHost,
            _ => return None,
        })
    }
}

/// What is paused.
impl fmt::Display for ReplyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Target => "the mailbox",
            Self::Ip => "our address",
            Self::SpfDomain => "the reverse-path's domain",
            Self::DkimDomain => "the signing domain",
            Self::MxHost => "the host",
        })
    }
}

impl Severity {
    /// `info`, `warning` or `critical`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Critical].into_iter().find(|s| s.as_str() == name)
    }
}
