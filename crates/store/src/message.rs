//! The contents of the queue: messages, their recipients, and the results of deliveries.
//!
//! Invariant: [`Committed`] has no public constructor; only a successful commit makes one.

use bytes::Bytes;
use mail::{Body, EnhancedCode, Mailbox, Notify, OriginalRecipient, QueueId, Ret, ReversePath};

use crate::content::Content;
use crate::engine::{FromValue, ToValue, Value};
use crate::recipient_state::RecipientState;

/// The kind of mail; flows never share lanes or limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Sent by one of our accounts.
    Own,
    /// Received for an alias and forwarded.
    Forward,
    /// A DSN or another message of this server.
    Report,
    /// A TLS report, which is sent even if TLS fails.
    TlsReport,
    /// A DMARC report.
    DmarcReport,
}

impl Flow {
    /// The word for logs, JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Forward => "forward",
            Self::Report => "report",
            Self::TlsReport => "tls-report",
            Self::DmarcReport => "dmarc-report",
        }
    }

    /// Returns whether it is a daily report to another domain, whose loss does no harm.
    pub fn is_daily(self) -> bool {
        matches!(self, Self::TlsReport | Self::DmarcReport)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Own, Self::Forward, Self::Report, Self::TlsReport, Self::DmarcReport].into_iter().find(|flow| flow.as_str() == text)
    }
}

/// The sender's TLS request for the whole path (RFC 8689).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum TlsWish {
    /// The receiver's published policy applies.
    #[default]
    AsPublished = 0,
    /// Verified TLS is required (REQUIRETLS).
    Required = 1,
    /// Delivery matters more: the receiver's published policy is ignored (`TLS-Required: No`).
    Optional = 2,
}

impl ToValue for TlsWish {
    fn to_value(&self) -> Value<'_> {
        Value::Int((*self as u8).into())
    }
}

impl FromValue for TlsWish {
    fn from_value(value: Value<'_>) -> Result<Self, String> {
        let number = i64::from_value(value)?;
        let all = [Self::AsPublished, Self::Required, Self::Optional];
        all.into_iter().find(|wish| i64::from(*wish as u8) == number).ok_or_else(|| format!("{number} is no TLS request"))
    }
}

/// A message's facts, without its content and recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The queue ID.
    pub id: QueueId,
    /// The kind of mail.
    pub flow: Flow,
    /// The reverse-path as received; DSNs go there.
    pub reverse_path: ReversePath,
    /// The reverse-path for MAIL if it differs (SRS).
    pub rewritten_path: Option<ReversePath>,
    /// Whether the sender is authenticated, so that a DSN may be sent: to a forged sender it would be backscatter.
    pub may_report: bool,
    /// Whether its From field may be rewritten if the target refuses the message for that field's domain.
    pub mendable: bool,
    /// The declared encoding.
    pub body: Body,
    /// Whether it came with SMTPUTF8.
    pub smtputf8: bool,
    /// RET.
    pub ret: Option<Ret>,
    /// ENVID.
    pub envid: Option<String>,
    /// The sender's TLS request.
    pub tls: TlsWish,
    /// When it arrived, Unix milliseconds.
    pub arrived_ms: i64,
    /// When it is given up, Unix milliseconds.
    pub expires_ms: i64,
    /// Whether a DSN about its delay was sent.
    pub delay_reported: bool,
    /// Header fields that are sent before the content.
    pub prefix: Bytes,
}

/// A message to be committed.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Its facts.
    pub message: Message,
    /// Its content; messages of one commit may share it.
    pub content: Content,
    /// Its recipients, at least one.
    pub recipients: Vec<NewRecipient>,
    /// Whether it is committed as claimed, for delivery at once.
    pub claimed: bool,
    /// Why it is held until the operator releases it; a held message is never claimed.
    pub held: Option<String>,
}

impl Message {
    /// Returns the reverse-path for MAIL.
    pub fn envelope_from(&self) -> &ReversePath {
        self.rewritten_path.as_ref().unwrap_or(&self.reverse_path)
    }
}

/// A recipient to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecipient {
    /// The target.
    pub mailbox: Mailbox,
    /// NOTIFY.
    pub notify: Notify,
    /// ORCPT.
    pub orcpt: Option<OriginalRecipient>,
    /// The address in RCPT TO if it is not the target but an alias: DSNs name only this one.
    pub known_as: Option<Mailbox>,
}

impl NewRecipient {
    /// Returns a key of the alias and the target, without case.
    pub fn recipient_key(&self) -> String {
        let alias = self.known_as.as_ref().map(Mailbox::key).unwrap_or_default();
        format!("{alias}>{}", self.mailbox.key())
    }
}

/// The key of a recipient in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecipientKey {
    /// The message.
    pub message: QueueId,
    /// Its place in the message, from 0.
    pub index: u32,
}

/// Proof that messages are on disk, synced: this server is responsible for them.
#[derive(Debug)]
pub struct Committed(pub(crate) Lease);

impl Committed {
    /// The lease under which messages were committed as claimed.
    pub fn lease(&self) -> Lease {
        self.0
    }
}

/// Under which stay of this node in the cluster a recipient was claimed. A node that could not reach the database for too long has lost its claims:
/// another one may deliver them. The default one never ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lease(pub(crate) Option<i64>);

/// A recipient claimed for delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedRecipient {
    /// Its key in the queue.
    pub key: RecipientKey,
    /// The recipient.
    pub recipient: NewRecipient,
    /// Number of earlier attempts.
    pub attempts: u32,
}

/// A message with its claimed recipients of one lane.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The message.
    pub message: Message,
    /// Its content if it is in memory; otherwise it is read from disk.
    pub content: Option<Content>,
    /// The recipients.
    pub recipients: Vec<ClaimedRecipient>,
    /// Until when they may be delivered.
    pub lease: Lease,
}

/// How times in the queue are moved after the wall clock was set, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStep {
    /// Shift of arrivals and expiries, so that a step does not age mail.
    pub ages_by_ms: i64,
    /// Shift of next attempts and leases.
    pub waits_by_ms: i64,
    /// The latest next attempt, Unix milliseconds.
    pub latest_ms: i64,
}

/// The result of an attempt for a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Delivered, failed permanently, or dropped: it leaves the queue.
    Done,
    /// Deferred.
    Deferred {
        /// Next attempt, Unix milliseconds.
        next_attempt_ms: i64,
        /// The enhanced status code.
        status: EnhancedCode,
        /// The reply or error.
        reason: String,
        /// Whether the attempt counts (an interrupted one does not).
        counts: bool,
    },
    /// Set aside until the operator retries it.
    SetAside {
        /// Why.
        reason: String,
    },
}

/// The end of a delivery attempt: the results and the DSNs that follow, in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Settlement {
    /// The results by recipient.
    pub recipients: Vec<(RecipientKey, Disposition)>,
    /// Messages about whose delay a DSN follows.
    pub delay_reported: Vec<QueueId>,
    /// New messages: DSNs, or the same message in another form.
    pub follow: Vec<NewMessage>,
    /// Permanent failures without a DSN, for the list of them.
    pub failed: Vec<FailedDelivery>,
    /// The lease of the claim.
    pub lease: Lease,
}

/// A delivery that failed permanently without a DSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDelivery {
    /// The message.
    pub message: QueueId,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The reverse-path as received, without brackets.
    pub from: String,
    /// The alias, or the recipient if there is none.
    pub to: String,
    /// Where the message went.
    pub target: String,
    /// The enhanced status code.
    pub status: String,
    /// The reply or error.
    pub reason: String,
}

/// Failures and held messages since the last notice to the postmaster.
#[derive(Debug, Clone, Default)]
pub struct Unnoticed {
    /// When the last notice was sent, Unix milliseconds.
    pub last_told_ms: i64,
    /// Number of deliveries that failed without a DSN.
    pub failed_count: u64,
    /// The newest of them.
    pub failed: Vec<FailedDelivery>,
    /// Number of held messages.
    pub held_count: u64,
    /// The oldest of them.
    pub held: Vec<ListedMessage>,
    /// The last of them.
    pub up_to: NoticeMark,
}

/// The last failure and the last held message of a notice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoticeMark {
    /// The number of the failure.
    pub(crate) failed_n: i64,
    /// The id of the held message.
    pub(crate) held: i64,
}

/// Which messages to list.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only messages after this one.
    pub after: Option<QueueId>,
    /// Maximum number.
    pub limit: u32,
    /// Only this message.
    pub only: Option<QueueId>,
    /// Only messages with this text in an address.
    pub address: Option<String>,
    /// Only held messages, or only others.
    pub held: Option<bool>,
}

/// A message as a list shows it.
#[derive(Debug, Clone)]
pub struct ListedMessage {
    /// Its facts.
    pub message: Message,
    /// The size of prefix and content, in octets.
    pub size_bytes: u64,
    /// Its recipients.
    pub recipients: Vec<ListedRecipient>,
}

/// A recipient as a list shows it.
#[derive(Debug, Clone)]
pub struct ListedRecipient {
    /// Its index in the message.
    pub index: u32,
    /// The target.
    pub mailbox: String,
    /// The alias that leads to it.
    pub known_as: Option<String>,
    /// Its state.
    pub state: RecipientState,
    /// Attempts made.
    pub attempts: u32,
    /// Next attempt, Unix milliseconds.
    pub next_attempt_ms: i64,
    /// The last reply or error.
    pub reason: Option<String>,
}

/// Totals of the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueTotals {
    /// Messages.
    pub messages: u64,
    /// Recipients.
    pub recipients: u64,
    /// Recipients that are set aside because their record is unreadable.
    pub set_aside: u64,
    /// Recipients whose message is held.
    pub held: u64,
    /// Size of held messages, in octets.
    pub held_bytes: u64,
}
