//! The answer: each step with its outcome, the decision, and what would leave.
//!
//! Invariant: every text is one line; it is about foreign mail and may hold anything that a stranger wrote.

use std::net::IpAddr;

use mail::{Domain, Mailbox, Reply, ReversePath, one_line};
use store::Flow;

/// The part of a session that a step belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainStage {
    /// The connection.
    Connection,
    /// MAIL: the sender.
    Sender,
    /// RCPT: the recipient.
    Recipient,
    /// The content.
    Content,
}

impl ExplainStage {
    /// The word in output and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Content => "content",
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedStep {
    /// Where in the session.
    pub stage: ExplainStage,
    /// Whether the message goes on.
    pub passed: bool,
    /// The outcome.
    pub words: String,
    /// How it came about.
    pub details: Vec<String>,
}

/// What happens to the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExplainedDecision {
    /// It is accepted.
    Accepted,
    /// It is accepted and held, for this reason.
    Held(String),
    /// It is refused with this reply.
    Refused(Reply),
    /// It is a report, which is read and not forwarded.
    ReportRead,
    /// It is an automatic reply to a return address, which is dropped.
    AutoReplyDropped,
}

/// A signature that is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedSignature {
    /// d=.
    pub domain: String,
    /// s=.
    pub selector: String,
}

/// A host of the next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedHost {
    /// Its name.
    pub name: Domain,
    /// The port.
    pub port: u16,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The TLS that it must offer, or why it gets nothing.
    pub tls: String,
}

/// The next hop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExplainedRoute {
    /// What it is: MX hosts, a smarthost, a mailbox of this machine.
    pub via: String,
    /// The hosts, in the order in which they are tried.
    pub hosts: Vec<ExplainedHost>,
    /// Why and until when it is paused.
    pub paused: Option<String>,
    /// Why there is none.
    pub trouble: Option<String>,
}

/// What would leave for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedDelivery {
    /// The address that the next hop gets.
    pub target: Mailbox,
    /// The alias that leads there.
    pub alias: Option<Mailbox>,
    /// Whose mail it is.
    pub flow: Flow,
    /// The reverse-path.
    pub sender: ReversePath,
    /// The fields that are added on top, without signatures.
    pub fields: Vec<String>,
    /// The signatures that are added.
    pub signatures: Vec<AddedSignature>,
    /// The next hop.
    pub route: ExplainedRoute,
    /// What the target probably does.
    pub prediction: String,
    /// Whether it probably accepts the message.
    pub is_likely: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What was assumed.
    pub assumptions: Vec<String>,
    /// The steps, in order; the last one may be a refusal.
    pub steps: Vec<ExplainedStep>,
    /// What happens to the message.
    pub decision: ExplainedDecision,
    /// What would leave, or would once it is released.
    pub deliveries: Vec<ExplainedDelivery>,
}

impl Explanation {
    /// Adds a step that the message passes.
    pub(super) fn pass(&mut self, stage: ExplainStage, words: impl AsRef<str>, details: Vec<String>) {
        self.step(stage, true, words.as_ref(), details);
    }

    /// Adds a step that refuses the message.
    pub(super) fn refuse(&mut self, stage: ExplainStage, words: impl AsRef<str>, details: Vec<String>, reply: Reply) {
        self.step(stage, false, words.as_ref(), details);
        self.decision = ExplainedDecision::Refused(reply);
    }

    fn step(&mut self, stage: ExplainStage, passed: bool, words: &str, details: Vec<String>) {
        let details = details.iter().map(|detail| one_line(detail)).collect();
        self.steps.push(ExplainedStep { stage, passed, words: one_line(words), details });
    }
}
