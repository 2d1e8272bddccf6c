//! The values of the API, shared by server and command line.
//!
//! Invariant: addresses are text here, in the form that people write; times are Unix milliseconds, sizes octets.

mod accounts;
mod messages;

use serde::{Deserialize, Serialize};

pub use accounts::*;
pub use messages::*;

/// What a change answers: what else one should know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// What was changed.
    pub changed: String,
    /// What is now wrong, or worth knowing.
    pub warnings: Vec<String>,
}

/// A hosted domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainView {
    /// Its name.
    pub name: String,
    /// Whether it takes mail.
    pub enabled: bool,
    /// How many aliases it has.
    pub aliases: usize,
}

/// A domain to host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDomain {
    /// Its name.
    pub name: String,
}

/// How a domain is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoveDomain {
    /// Whether its aliases go too.
    pub with_aliases: bool,
}

/// An alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasView {
    /// What it answers to: `me@example.com` or `@example.com`.
    pub source: String,
    /// Where its mail goes.
    pub targets: Vec<String>,
    /// Whether it takes mail.
    pub enabled: bool,
    /// `database`, or `file` for one from the virtual file.
    pub origin: String,
    /// What it does with mail of a strict domain that would not survive forwarding, where it has a setting of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict_domain: Option<String>,
}

/// An alias to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAlias {
    /// What it answers to.
    pub source: String,
    /// Where its mail goes.
    pub targets: Vec<String>,
    /// Whether one that is there is replaced.
    #[serde(default)]
    pub replace: bool,
}

/// What an alias does with mail of a strict domain that would not survive forwarding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewStrictDomain {
    /// `as-is`, `rewrite`, `wrap`, `hold` or `reject`; none for what the configuration says.
    pub strict_domain: Option<String>,
}

/// Which aliases to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AliasFilter {
    /// Only those of this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// Disables or enables something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enable {
    /// Whether it is in use.
    pub enabled: bool,
}

/// Which address to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestQuery {
    /// The address.
    pub address: String,
}

/// Where mail to an address goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasTest {
    /// The address that was asked about.
    pub address: String,
    /// Whether its domain is hosted here and enabled.
    pub hosted: bool,
    /// Where the mail goes in the end; empty where it is refused.
    pub targets: Vec<String>,
    /// What leads nowhere, and why.
    pub failed: Vec<FailedTarget>,
    /// How the targets were found, in order.
    pub steps: Vec<TestStep>,
}

/// An address that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTarget {
    /// The address.
    pub address: String,
    /// Why.
    pub reason: String,
}

/// One alias that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestStep {
    /// The address that was looked up.
    pub address: String,
    /// The alias that matched it.
    pub key: String,
    /// What it became.
    pub results: Vec<String>,
    /// How many aliases led here.
    pub depth: usize,
}

/// A file of aliases to import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Its text, in the form of Postfix's virtual(5).
    pub text: String,
    /// Whether aliases that are there are replaced.
    #[serde(default)]
    pub replace: bool,
    /// Whether everything is checked and nothing changed.
    #[serde(default)]
    pub dry_run: bool,
}

/// What an import did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Domains that are now hosted.
    pub domains: Vec<String>,
    /// Aliases that were added or replaced.
    pub added: Vec<ImportLine>,
    /// Aliases that were left as they are.
    pub skipped: Vec<ImportLine>,
    /// What was read and left out, or should be looked at.
    pub warnings: Vec<ImportLine>,
}

/// One line of an import's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportLine {
    /// The line in the file, from 1; 0 where it concerns the whole.
    pub line: usize,
    /// What.
    pub text: String,
}

/// A file of aliases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its text, in the form of Postfix's virtual(5).
    pub text: String,
}

/// Which part of the queue to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueQuery {
    /// At most this many messages; 100 where it is not given, 1000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only messages after this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Only messages with this text in an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// One page of the queue, in the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePage {
    /// The server's time.
    pub now_ms: i64,
    /// The messages.
    pub messages: Vec<QueuedMessage>,
    /// Where the next page begins (`after`); `None` on the last page.
    pub next: Option<String>,
}

/// A message in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedMessage {
    /// The queue id.
    pub id: String,
    /// `own`, `forward` or `report`.
    pub flow: String,
    /// The reverse-path; empty for a report.
    pub from: String,
    /// The size.
    pub size_bytes: u64,
    /// When it arrived.
    pub arrived_ms: i64,
    /// When it is given up.
    pub expires_ms: i64,
    /// Its recipients.
    pub recipients: Vec<QueuedRecipient>,
}

/// A recipient in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedRecipient {
    /// Its place in the message, from 0.
    pub index: u32,
    /// Where the message goes.
    pub to: String,
    /// The alias through which it goes.
    pub via: Option<String>,
    /// `waiting`, `claimed` or `set aside`.
    pub state: String,
    /// Attempts made.
    pub attempts: u32,
    /// When it is tried next.
    pub next_attempt_ms: i64,
    /// The last trouble.
    pub reason: Option<String>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
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

/// What to try again at once; exactly one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// One message.
    pub id: Option<String>,
    /// Everything to one domain.
    pub domain: Option<String>,
    /// Everything.
    pub all: bool,
}

/// How many recipients something concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The number.
    pub recipients: u64,
}

/// What to drop of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DropQuery {
    /// Only the recipient at this place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<u32>,
}

/// How a held message is released.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Release {
    /// Within a message of this server, instead of as it came.
    pub wrapped: bool,
}

/// A delivery that failed for good, and of which the sender was not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedView {
    /// The message's id.
    pub id: String,
    /// When.
    pub at_ms: i64,
    /// The reverse-path; empty for a report.
    pub from: String,
    /// The address that the sender wrote to.
    pub to: String,
    /// Where the message went.
    pub target: String,
    /// The enhanced code.
    pub status: String,
    /// What was said.
    pub reason: String,
}

/// A DKIM key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// The domain that it signs for.
    pub domain: String,
    /// Its selector.
    pub selector: String,
    /// `rsa` or `ed25519`.
    pub key_type: String,
    /// `next`, `active` or `retired`.
    pub state: String,
    /// Since when.
    pub since_ms: i64,
    /// The name of its TXT record.
    pub record_name: String,
    /// The record.
    pub record: String,
}

/// A key, tried with a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTest {
    /// The domain that it signs for.
    pub domain: String,
    /// Its selector.
    pub selector: String,
    /// `rsa` or `ed25519`.
    pub key_type: String,
    /// Whether a receiver can verify the signature.
    pub verifies: bool,
    /// Why not.
    pub reason: Option<String>,
    /// The record that should be in DNS.
    pub record: String,
}

/// A domain that is to have DKIM keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKeys {
    /// The domain.
    pub domain: String,
}

/// How keys are changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RotateKeys {
    /// Whether DNS is not asked.
    pub force: bool,
}

/// What became of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysChanged {
    /// What was changed, and what is next.
    pub changed: String,
    /// Whether anything was changed.
    pub is_new: bool,
    /// The keys that it is about.
    pub keys: Vec<KeyView>,
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What is in force now, and what needs a restart.
    pub message: String,
}

/// The body of every answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened and why.
    pub error: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A certificate in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// What it is called, where an authority issued it by order.
    pub name: Option<String>,
    /// Where it comes from.
    pub origin: net::Origin,
    /// Its file.
    pub file: String,
    /// The names that it is for.
    pub names: Vec<String>,
    /// Those for which clients get it.
    pub shown_for: Vec<String>,
    /// Whether clients get it that ask for no name, or for one that no certificate has.
    pub is_fallback: bool,
    /// Who issued it.
    pub issuer: String,
    /// Whether nobody but itself vouches for it.
    pub is_self_signed: bool,
    /// From when on.
    pub not_before_ms: i64,
    /// Until when.
    pub not_after_ms: i64,
    /// Its number, in hexadecimal.
    pub serial: String,
    /// The kind of its key.
    pub key_type: String,
    /// What a TLSA record 3 1 1 holds.
    pub spki_sha256: String,
}

/// How the order of a certificate stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// What the certificate is called.
    pub name: String,
    /// The directory of the authority that issued it; empty where none has.
    pub authority: String,
    /// The names that it should have.
    pub names: Vec<String>,
    /// Names that do not lead here.
    pub left_out: Vec<LeftOutView>,
    /// When it is renewed.
    pub renew_at_ms: Option<i64>,
    /// Who says so.
    pub renew_by: Option<String>,
    /// The last attempt.
    pub last_attempt_ms: Option<i64>,
    /// Failures since the last success.
    pub failures: u32,
    /// The last failure.
    pub last_error: Option<String>,
    /// Nothing is tried before.
    pub next_attempt_ms: Option<i64>,
}

/// A name that a certificate does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutView {
    /// The name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// All certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatesView {
    /// The server's time.
    pub now_ms: i64,
    /// Those in use.
    pub certificates: Vec<CertificateView>,
    /// How the orders stand.
    pub orders: Vec<OrderView>,
}

/// A renewal to try now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Renewal {
    /// One certificate; all where it is not named.
    pub name: Option<String>,
    /// Also what is not due.
    pub force: bool,
}

/// What came of a renewal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalDone {
    /// False where the authority is not done yet.
    pub is_over: bool,
    /// Each certificate.
    pub outcomes: Vec<RenewalOutcome>,
}

/// What came of one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalOutcome {
    /// The certificate.
    pub name: String,
    /// Whether it is as it should be.
    pub is_well: bool,
    /// What was done, or what went wrong.
    pub text: String,
}
