//! The server side of a session.
//!
//! RFC 5321, with RFC 1870 (SIZE), RFC 2034, RFC 2920 (PIPELINING), RFC 3030 (CHUNKING), RFC 3207 (STARTTLS), RFC 3461 (DSN),
//! RFC 4954 (AUTH), RFC 6152 (8BITMIME) and RFC 6531 (SMTPUTF8). Invariant: every command gets exactly one reply,
//! in order, and nothing of a transaction outlives [`Session::reset`], the one way in which a transaction ends.
//!
//! The driver's loop: feed bytes with [`Session::receive`], ask [`Session::next_event`] until it gives `None`, answer what
//! is a question ([`Session::waiting`]), and write out what [`Session::take_output`] gives. While the session waits for an
//! answer it keeps what it is fed, so a driver that decides slowly must not read meanwhile: that is what bounds memory.

mod answers;
mod auth;
mod commands;
mod content;
mod envelope;
mod line;
mod parameters;
mod replies;
mod session;
mod strikes;
mod verb;

use bytes::Bytes;
use mail::{Domain, MailParameters, Recipient, ReversePath};

pub use session::Session;

/// Which service a session speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Mail from other servers; there is no AUTH.
    Mx,
    /// Mail from our own users, who must authenticate under TLS (RFC 6409, RFC 8314).
    Submission,
}

/// What all sessions of one listener share.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name, for the banner and EHLO.
    pub hostname: Domain,
    /// Which service this is.
    pub service: Service,
    /// Whether STARTTLS is offered.
    pub starttls: bool,
    /// SASL mechanisms, upper case, best first.
    pub mechanisms: Vec<&'static str>,
    /// The largest content, in octets.
    pub max_size_bytes: u64,
    /// The most recipients of one transaction.
    pub max_recipients: usize,
}

/// What is known of the TLS under a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// For the Received field: `TLSv1_3 with TLS13_AES_256_GCM_SHA384`.
    pub description: String,
}

/// One mail transaction, as far as it was accepted. `R` is what the driver attached to each recipient.
#[derive(Debug, Clone)]
pub struct Transaction<R> {
    /// From MAIL.
    pub reverse_path: ReversePath,
    /// The parameters of MAIL.
    pub parameters: MailParameters,
    /// The accepted recipients, in order.
    pub recipients: Vec<(Recipient, R)>,
}

/// A step of an authentication exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthStep {
    /// AUTH was given. A new exchange: an older one that got no answer was cancelled.
    Begin {
        /// The mechanism, upper case, one of those in the [`Config`].
        mechanism: String,
        /// The initial response, decoded.
        initial: Option<Vec<u8>>,
    },
    /// The answer to a challenge, decoded.
    Response(Vec<u8>),
}

/// What the driver must act upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// 220 is queued: flush, do the handshake, call [`Session::tls_established`].
    StartTls,
    /// Answer by [`Session::auth_challenge`], [`Session::auth_succeeded`] or [`Session::auth_failed`].
    Auth(AuthStep),
    /// Answer by [`Session::accept_mail`] or [`Session::refuse`].
    Mail {
        /// Where reports go.
        reverse_path: ReversePath,
        /// The parameters.
        parameters: MailParameters,
    },
    /// Answer by [`Session::accept_recipient`] or [`Session::refuse`].
    Recipient(Recipient),
    /// Content is about to come: open a spool. Answer by [`Session::accept_data`] or [`Session::refuse`].
    Data,
    /// A piece of content: dots unstuffed, line ends canonical.
    Content(Bytes),
    /// All content is there: [`Session::take_transaction`], then answer by [`Session::finish`].
    ContentEnd,
    /// Drop what was spooled. The session replies by itself.
    ContentAborted,
    /// Flush and close. Nothing follows.
    Close,
}
