//! What the API asks of the process behind it: the running server, or a command that has opened the data directory itself.
//!
//! Invariant: a route means the same with either; only what needs a running server fails without one ([`ControlError::NotRunning`]).

use std::fmt;
use std::pin::Pin;

use mail::{Domain, Mailbox, QueueId, Reply};
use mta::{Confirmation, ExplainRequest, Explanation, Pauses, Submission, Submitted};
use net::CertificateInUse;
use net::acme::RenewalResult;
use store::StoreError;
use tokio::sync::mpsc;

use crate::api::{CheckQuery, DnsView, HealthFinding, HealthView, KeyView, NodeView, NoticeAnswer, ServerView, SubmissionFacts};

/// A future of a method of [`Control`], which is used as a trait object.
pub type ControlFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why the process could not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlError {
    /// It needs a running server, and none runs, or the server does not do this.
    NotRunning,
    /// It failed; the text says why.
    Failed(String),
}

/// Why the configuration was not read again; the old one stays in effect.
#[derive(Debug, Clone)]
pub enum ReloadFault {
    /// No server runs.
    NotRunning,
    /// The new one cannot be used; the text says why.
    Configuration(String),
    /// The store did not answer: the new one may be good.
    Store(StoreError),
}

impl fmt::Display for ReloadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning => f.write_str("the server is not running, so there is nothing to reload"),
            Self::Configuration(why) => f.write_str(why),
            Self::Store(error) => write!(f, "the old configuration stays in effect: {error}"),
        }
    }
}

/// What the DNS plan is made from, besides the configuration.
#[derive(Debug, Clone)]
pub struct DnsInputs {
    /// The hosted domains.
    pub domains: Vec<Domain>,
    /// This server and the others that share its mail.
    pub nodes: Vec<NodeView>,
    /// The DKIM keys.
    pub keys: Vec<KeyView>,
    /// The names for which a certificate is shown, with the digest of its key or of the next one.
    pub tlsa: Vec<(Vec<String>, String)>,
    /// Whether to compare DNS with the plan now, unless that has just been done.
    pub compare: bool,
}

/// A change of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeChange {
    /// It takes no new mail.
    Drain,
    /// It takes new mail again.
    Resume,
    /// It is gone for good.
    Remove,
}

/// Why a node was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeFault {
    /// There is no node of this name.
    Unknown,
    /// It runs, so it cannot be removed.
    Running,
    /// It is the only one, so it cannot be removed.
    Only,
    /// It is the node of the command that would remove it.
    Itself,
    /// The state cannot be written; the text says why.
    Failed(String),
}

/// The process behind the API.
pub trait Control: Send + Sync {
    /// Returns the state of the server, as `waypost status` shows it.
    fn status(&self) -> serde_json::Value;

    /// Tries now what is due.
    fn retry(&self);

    /// Releases a held message, unchanged or wrapped into a message of this server. Returns the queue ID under which it leaves.
    ///
    /// # Errors
    /// The message cannot be read or written.
    fn release(&self, id: QueueId, wrapped: bool) -> ControlFuture<'_, Result<QueueId, StoreError>>;

    /// Takes mail of a program on this machine.
    ///
    /// # Errors
    /// The reply that SMTP would give.
    fn submit(&self, submission: Submission) -> ControlFuture<'_, Result<Submitted, Reply>>;

    /// Returns the maximum size of a message, in octets.
    fn message_max_bytes(&self) -> u64;

    /// Whether the configuration names the next hop of a domain, so that its DNS does not matter.
    fn has_route(&self, domain: &Domain) -> bool;

    /// Returns the messages by which Gmail asks to confirm this address.
    fn confirmations(&self, address: &Mailbox, now_ms: i64) -> Vec<Confirmation>;

    /// Returns the destinations that are paused; `None` without a running server.
    fn pauses(&self) -> Option<&Pauses>;

    /// Returns the nodes of this server.
    ///
    /// # Errors
    /// They cannot be read.
    fn nodes(&self) -> ControlFuture<'_, Result<Vec<NodeView>, StoreError>>;

    /// Changes a node. Returns whether that is a change.
    ///
    /// # Errors
    /// Why nothing has changed.
    fn change_node<'a>(&'a self, name: &'a str, change: NodeChange) -> ControlFuture<'a, Result<bool, NodeFault>>;

    /// Returns the metrics in the format that an Accept field prefers: its Content-Type, and the text.
    ///
    /// # Errors
    /// No server runs.
    fn metrics<'a>(&'a self, _accept: &'a str) -> ControlFuture<'a, Result<(&'static str, String), ControlError>> {
        Box::pin(async { Err(ControlError::NotRunning) })
    }

    /// Explains what would happen to a message. Nothing is sent.
    ///
    /// # Errors
    /// DNS cannot be used.
    fn explain(&self, request: ExplainRequest) -> ControlFuture<'_, Result<Explanation, ControlError>>;

    /// Sends a test notice to the owner, over one channel or all that are set up. Returns what each answered.
    ///
    /// # Errors
    /// There is no running server.
    fn test_notices(&self, channel: Option<String>) -> ControlFuture<'_, Result<Vec<NoticeAnswer>, ControlError>>;

    /// Reads the configuration again. Returns what is in effect now.
    ///
    /// # Errors
    /// The new configuration cannot be used, or the store does not answer; the old one stays in force.
    fn reload(&self) -> ControlFuture<'_, Result<String, ReloadFault>>;

    /// Returns the certificates in use. It may read files.
    ///
    /// # Errors
    /// A certificate cannot be read.
    fn certificates(&self) -> Result<Vec<CertificateInUse>, String>;

    /// Renews one certificate, or all; with `force` also those that are not due.
    ///
    /// # Errors
    /// The server orders no certificates, or none of this name.
    fn renew(&self, name: Option<String>, force: bool) -> ControlFuture<'_, Result<Vec<RenewalResult>, ControlError>>;

    /// Returns what the last check of everything found, and starts another if that is long ago; `None` without a running server.
    fn health(&self) -> Option<HealthView>;

    /// Starts a check of everything, unless one runs. Returns whether there is a running server, which does it.
    fn check_health(&self) -> bool;

    /// Runs all checks now. Returns what they find, as they find it; the checks end when the receiver is dropped.
    ///
    /// # Errors
    /// There is no running server, or too many checks run.
    fn run_checks(&self, _what: CheckQuery) -> Result<mpsc::UnboundedReceiver<HealthFinding>, ControlError> {
        Err(ControlError::NotRunning)
    }

    /// Returns an EHLO name by which the sessions of a check are left out of the history; `None` without a running server.
    fn check_name(&self) -> Option<String> {
        None
    }

    /// Plans the DNS records.
    ///
    /// # Errors
    /// DNS cannot be asked; the text says why.
    fn dns(&self, inputs: DnsInputs) -> ControlFuture<'_, Result<DnsView, String>>;

    /// Returns the server and the settings in force. It reads files.
    fn server(&self) -> ServerView;

    /// Returns where mail programs submit mail.
    fn submission(&self) -> SubmissionFacts;
}
