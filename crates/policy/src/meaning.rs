//! What a remote reply means: why it was said, how far that reaches, what Waypost does, and what a person can do.
//!
//! RFC 3463 and RFC 5321 s.4.2.1 give the classes; what the large providers mean by theirs stands in `data/replies.toml`.
//! Invariant: every reply has a meaning. It may be told by the text alone, so it names no key: what a pause stops is decided by the host
//! that spoke (`circuit.rs`), never by whom it claims to be.

use std::fmt;

/// What a reply means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// The row of the table that fitted; logs name it.
    pub row: &'static str,
    /// The provider's title, where it is one of those in the table.
    pub provider: Option<&'static str>,
    /// Why, in a sentence for people.
    pub cause: &'static str,
    /// What the operator does.
    pub next_step: &'static str,
    /// What Waypost does.
    pub reaction: Reaction,
    /// What the reaction is about.
    pub scopes: &'static [ReplyScope],
    /// How much it matters for mail that is forwarded.
    pub severity: Severity,
    /// The same for the owner's own mail.
    pub own_severity: Severity,
    /// Where there is more to read.
    pub link: Option<&'static str>,
    /// Whether the message waits: the reply is a 4xx, or it is a 5xx about us, which may be mended while it waits.
    pub waits: bool,
}

impl Meaning {
    /// How much it matters, for the owner's own mail or for what is forwarded.
    pub fn severity_of(&self, is_own: bool) -> Severity {
        if is_own { self.own_severity } else { self.severity }
    }

    /// Cause and next step.
    pub fn advice(&self) -> String {
        format!("{} {}", self.cause, self.next_step)
    }

    /// What Waypost does after this reply, as a sentence without its subject.
    pub fn deed(&self) -> String {
        match &self.reaction {
            Reaction::PassUpstream | Reaction::Hold | Reaction::InvalidTarget { .. } if self.waits => {
                Reaction::Retry { waits_s: Vec::new() }.to_string()
            }
            reaction => reaction.to_string(),
        }
    }
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReplyScope {
    /// One mailbox.
    Target,
    /// Our address.
    Ip,
    /// The network around it.
    Netblock,
    /// The domain of the reverse-path.
    SpfDomain,
    /// The domain that we sign with.
    DkimDomain,
    /// A domain that the content links to.
    UrlDomain,
    /// One message.
    MessageId,
    /// The host.
    MxHost,
}

/// What Waypost does after a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reaction {
    /// It is tried again after these waits in seconds, the last one repeating; none are those of the schedule.
    Retry {
        /// The waits.
        waits_s: Vec<u32>,
    },
    /// The sender is told.
    PassUpstream,
    /// Refused for its content: the sender is told while it listens; what was taken already belongs into quarantine.
    Hold,
    /// Nothing more within the scopes, then one on trial.
    Pause {
        /// For at least so long.
        at_least_s: u32,
        /// Twice as long after each trial that is refused.
        growing: bool,
    },
    /// The target takes fewer: a pause for it alone, growing.
    SlowTarget {
        /// For at least so long.
        at_least_s: u32,
    },
    /// The target takes none: a pause for it alone, each time as long.
    OpenTargetCircuit {
        /// For so long.
        for_s: u32,
    },
    /// The sender is told; after so many in a row the owner of the alias is too.
    InvalidTarget {
        /// How many.
        after: u32,
    },
    /// Again, and not without TLS.
    ForceTls,
    /// Again, over IPv4.
    ForceIpv4,
    /// This server's address is not wanted there: only another route helps.
    SwitchRoute,
    /// From has to be one that we can sign for (DMARC).
    Remedy,
    /// The same message comes again and again.
    DropDuplicate,
    /// Over a new connection, at once.
    Reconnect,
}

/// How much a reply matters to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It happens.
    Info,
    /// Worth a look.
    Warning,
    /// Mail does not arrive until somebody does something.
    Critical,
}

/// A way that is shut is tried by one message in this time, in seconds.
const SHUT_WAY_S: u32 = 4 * 3_600;

impl Reaction {
    /// For how long its scopes get nothing, and whether that grows with each refused trial.
    pub fn pause(&self) -> Option<(u32, bool)> {
        match *self {
            Self::Pause { at_least_s, growing } => Some((at_least_s, growing)),
            Self::SlowTarget { at_least_s } => Some((at_least_s, true)),
            Self::OpenTargetCircuit { for_s } => Some((for_s, false)),
            Self::SwitchRoute => Some((SHUT_WAY_S, false)),
            _ => None,
        }
    }

    /// Whether even a 5xx with it leaves the message in the queue: it is about us or the mailbox's state, not the message.
    pub(crate) fn outlives_5xx(&self) -> bool {
        self.pause().is_some() || matches!(self, Self::ForceTls | Self::ForceIpv4)
    }
}

/// What Waypost does, as a sentence.
impl fmt::Display for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { waits_s } if waits_s.is_empty() => f.write_str("tries again by the retry schedule"),
            Self::Retry { waits_s } => {
                let waits: Vec<String> = waits_s.iter().map(|s| time(*s)).collect();
                write!(f, "tries again after {}", waits.join(", "))
            }
            Self::PassUpstream => f.write_str("tells the sender"),
            Self::Hold => f.write_str("tells the sender; the content is what was refused"),
            Self::Pause { at_least_s, growing } => {
                let grows = if *growing { ", longer each time" } else { "" };
                write!(f, "stops for at least {}{grows}, then tries one message, then comes back slowly", time(*at_least_s))
            }
            Self::SlowTarget { at_least_s } => {
                write!(f, "stops for this mailbox only, for at least {}, longer each time, then comes back slowly", time(*at_least_s))
            }
            Self::OpenTargetCircuit { for_s } => write!(f, "stops for this mailbox only, for {}, then tries one message", time(*for_s)),
            Self::InvalidTarget { after: 0 | 1 } => f.write_str("tells the sender, and warns of the alias in the log"),
            Self::InvalidTarget { after } => write!(f, "tells the sender; after {after} in a row it warns of the alias in the log"),
            Self::ForceTls => f.write_str("tries again, and not without TLS"),
            Self::ForceIpv4 => f.write_str("tries again over IPv4 and keeps to it for a while"),
            Self::SwitchRoute => {
                write!(f, "keeps the mail; one message in {} is tried by this route until there is another", time(SHUT_WAY_S))
            }
            Self::Remedy => {
                f.write_str("sends a forward again under a From of ours where that may help, and does as the code says otherwise")
            }
            Self::DropDuplicate => f.write_str("tries again by the retry schedule"),
            Self::Reconnect => f.write_str("tries again at once, over a new connection"),
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
            "netblock" => Self::Netblock,
            "spf" => Self::SpfDomain,
            "dkim" => Self::DkimDomain,
            "url" => Self::UrlDomain,
            "message-id" => Self::MessageId,
            "mx-host" => Self::MxHost,
            _ => return None,
        })
    }
}

/// What is meant, after "the pause of".
impl fmt::Display for ReplyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Target => "the mailbox",
            Self::Ip => "our address",
            Self::Netblock => "our network",
            Self::SpfDomain => "the reverse-path's domain",
            Self::DkimDomain => "the signing domain",
            Self::UrlDomain => "a linked domain",
            Self::MessageId => "the message",
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
