//! What the queue holds: messages, their recipients, and what is done with them.
//!
//! Invariant: [`Committed`] has no public constructor; only a successful commit makes one.

use bytes::Bytes;
use mail::{Body, EnhancedCode, Mailbox, Notify, OriginalRecipient, QueueId, Ret, ReversePath};
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

use crate::content::Content;
use crate::recipient_state::RecipientState;

/// Which kind of mail it is; flows never share lanes or limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Sent by one of our accounts.
    Own,
    /// Received for an alias and passed on.
    Forward,
    /// A report of ours.
    Report,
    /// A report of TLS, which TLS must not stop.
    TlsReport,
    /// A report of DMARC.
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

    /// Whether it is one of the reports that other domains get once a day: nobody misses one.
    pub fn is_daily(self) -> bool {
        matches!(self, Self::TlsReport | Self::DmarcReport)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Own, Self::Forward, Self::Report, Self::TlsReport, Self::DmarcReport].into_iter().find(|flow| flow.as_str() == text)
    }
}

/// What a sender wants of TLS on the way (RFC 8689).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum TlsWish {
    /// What receivers publish counts.
    #[default]
    AsPublished = 0,
    /// It goes nowhere without verified TLS (REQUIRETLS).
    Required = 1,
    /// Arriving matters more: what receivers publish stops nothing (`TLS-Required: No`).
    Optional = 2,
}

impl ToSql for TlsWish {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok((*self as u8).into())
    }
}

impl FromSql for TlsWish {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        let all = [Self::AsPublished, Self::Required, Self::Optional];
        all.into_iter().find(|wish| i64::from(*wish as u8) == number).ok_or(FromSqlError::OutOfRange(number))
    }
}

/// A message's facts, without its content and recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The queue id.
    pub id: QueueId,
    /// Which kind of mail it is.
    pub flow: Flow,
    /// Where reports go: the sender as it was given to us.
    pub reverse_path: ReversePath,
    /// What is said in MAIL, where that is another (SRS).
    pub rewritten_path: Option<ReversePath>,
    /// Whether the sender is known well enough to be told of a failure: a report to a forged one would hit a stranger.
    pub may_report: bool,
    /// Whether its From field may be rewritten where the target refuses it for that field's domain.
    pub mendable: bool,
    /// The declared encoding.
    pub body: Body,
    /// Whether it came with SMTPUTF8.
    pub smtputf8: bool,
    /// RET.
    pub ret: Option<Ret>,
    /// ENVID.
    pub envid: Option<String>,
    /// What its sender wants of TLS.
    pub tls: TlsWish,
    /// When it arrived, Unix milliseconds.
    pub arrived_ms: i64,
    /// When it is given up, Unix milliseconds.
    pub expires_ms: i64,
    /// Whether a report of its delay went out.
    pub delay_reported: bool,
    /// What is written on top of the content when it is sent.
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
    /// Whether the caller delivers it at once: it is then committed as claimed.
    pub claimed: bool,
    /// Why it is held back until a person releases it; such a message is never claimed.
    pub held: Option<String>,
}

impl Message {
    /// What is said in MAIL.
    pub fn envelope_from(&self) -> &ReversePath {
        self.rewritten_path.as_ref().unwrap_or(&self.reverse_path)
    }
}

/// A recipient to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecipient {
    /// Where the message goes.
    pub mailbox: Mailbox,
    /// When the sender wants a report.
    pub notify: Notify,
    /// ORCPT.
    pub orcpt: Option<OriginalRecipient>,
    /// The address as the sender knows it, where it is another (an alias): reports name this one only.
    pub known_as: Option<Mailbox>,
}

impl NewRecipient {
    /// What tells this recipient from another, without case: the alias and the target.
    pub fn recipient_key(&self) -> String {
        let alias = self.known_as.as_ref().map(Mailbox::key).unwrap_or_default();
        format!("{alias}>{}", self.mailbox.key())
    }
}

/// Names a recipient in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecipientKey {
    /// The message.
    pub message: QueueId,
    /// Its place in the message, from 0.
    pub index: u32,
}

/// Messages are on disk, synced: from here on they are ours.
#[derive(Debug)]
pub struct Committed(pub(crate) ());

/// A recipient that this node may deliver to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedRecipient {
    /// Its name in the queue.
    pub key: RecipientKey,
    /// The recipient.
    pub recipient: NewRecipient,
    /// How many attempts were made before.
    pub attempts: u32,
}

/// A message with the recipients of one lane that this node may deliver to.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The message.
    pub message: Message,
    /// Its content; read from disk where it is not at hand.
    pub content: Option<Content>,
    /// The recipients.
    pub recipients: Vec<ClaimedRecipient>,
}

/// How times in the queue are moved when the wall clock was set, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStep {
    /// Arrivals and the ends of lifetimes, so that a step ages nothing.
    pub ages_by_ms: i64,
    /// Next attempts and the ends of claims.
    pub waits_by_ms: i64,
    /// No next attempt is later than this, Unix milliseconds.
    pub latest_ms: i64,
}

/// What became of a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// It was delivered, failed for good, or was dropped: it leaves the queue.
    Done,
    /// It stays until then.
    Deferred {
        /// Next attempt, Unix milliseconds.
        next_attempt_ms: i64,
        /// The enhanced code of the trouble.
        status: EnhancedCode,
        /// What was said.
        reason: String,
        /// Whether this counts as an attempt (an interrupted one does not).
        counts: bool,
    },
    /// It stays, and is not tried again until a person says so.
    SetAside {
        /// Why.
        reason: String,
    },
}

/// The end of a delivery attempt: what became of recipients, and the reports that follow, in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Settlement {
    /// What became of whom.
    pub recipients: Vec<(RecipientKey, Disposition)>,
    /// Messages whose delay has now been reported.
    pub delay_reported: Vec<QueueId>,
    /// Messages that follow: reports, or the same one in another form.
    pub follow: Vec<NewMessage>,
    /// Deliveries that failed for good without a report, for the list of those.
    pub failed: Vec<FailedDelivery>,
}

/// A delivery that failed for good, and of which the sender was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDelivery {
    /// The message.
    pub message: QueueId,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The reverse-path as it came, without brackets.
    pub from: String,
    /// The alias, or the recipient where there is none.
    pub to: String,
    /// Where the message went.
    pub target: String,
    /// The enhanced code.
    pub status: String,
    /// What was said.
    pub reason: String,
}

/// What the operator was not told of yet.
#[derive(Debug, Clone, Default)]
pub struct Unnoticed {
    /// When the operator was told last, Unix milliseconds.
    pub last_told_ms: i64,
    /// How many deliveries failed without a report.
    pub failed_count: u64,
    /// The newest of them.
    pub failed: Vec<FailedDelivery>,
    /// How many messages are held.
    pub held_count: u64,
    /// The oldest of them.
    pub held: Vec<ListedMessage>,
    /// Up to where that reaches.
    pub up_to: (i64, i64),
}

/// Which messages to list.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only messages after this one.
    pub after: Option<QueueId>,
    /// At most this many.
    pub limit: u32,
    /// Only this message.
    pub only: Option<QueueId>,
    /// Only messages that name this text in an address.
    pub address: Option<String>,
    /// Only messages that are held, or only such as are not.
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
    /// Its place in the message.
    pub index: u32,
    /// Where the message goes.
    pub mailbox: String,
    /// The alias through which it goes.
    pub known_as: Option<String>,
    /// Its state.
    pub state: RecipientState,
    /// Attempts made.
    pub attempts: u32,
    /// Next attempt, Unix milliseconds.
    pub next_attempt_ms: i64,
    /// The last trouble.
    pub reason: Option<String>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueTotals {
    /// Messages.
    pub messages: u64,
    /// Recipients.
    pub recipients: u64,
    /// Recipients set aside, because their record is unreadable.
    pub set_aside: u64,
    /// Recipients whose message is held.
    pub held: u64,
    /// What held messages take, in octets.
    pub held_bytes: u64,
}
