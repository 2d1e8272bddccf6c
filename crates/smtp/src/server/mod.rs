//! The server side of a session.
//!
//! RFC 5321, with RFC 1870 (SIZE), RFC 2034, RFC 2920 (PIPELINING), RFC 3030 (CHUNKING), RFC 3207 (STARTTLS), RFC 3461 (DSN),
//! RFC 4954 (AUTH), RFC 6152 (8BITMIME) and RFC 6531 (SMTPUTF8). Invariant: every command gets exactly one reply,
//! in order, and nothing of a transaction outlives [`ServerSession::reset`], the one way in which a transaction ends.
//!
//! The driver's loop: feed bytes with [`ServerSession::receive`], ask [`ServerSession::next_event`] until it gives `None`, answer what
//! is a question ([`ServerSession::waiting`]), and write out what [`ServerSession::take_output`] gives. While the session waits for an
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

pub use session::ServerSession;

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
pub struct ServerOptions {
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
pub struct ServerTransaction<R> {
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
        /// The mechanism, upper case, one of those in the [`ServerOptions`].
        mechanism: String,
        /// The initial response, decoded.
        initial: Option<Vec<u8>>,
    },
    /// The answer to a challenge, decoded.
    Response(Vec<u8>),
}

/// What the driver must act upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// 220 is queued: flush, do the handshake, call [`ServerSession::tls_established`].
    StartTls,
    /// Answer by [`ServerSession::challenge_auth`], [`ServerSession::accept_auth`] or [`ServerSession::refuse_auth`].
    Auth(AuthStep),
    /// Answer by [`ServerSession::accept_mail`] or [`ServerSession::refuse`].
    Mail {
        /// Where reports go.
        reverse_path: ReversePath,
        /// The parameters.
        parameters: MailParameters,
    },
    /// Answer by [`ServerSession::accept_recipient`] or [`ServerSession::refuse`].
    Recipient(Recipient),
    /// Content is about to come: open a spool. Answer by [`ServerSession::accept_data`] or [`ServerSession::refuse`].
    Data,
    /// A piece of content: dots unstuffed, line ends canonical.
    Content(Bytes),
    /// All content is there: [`ServerSession::take_transaction`], then answer by [`ServerSession::finish_content`].
    ContentEnd,
    /// Drop what was spooled. The session replies by itself.
    ContentAborted,
    /// Flush and close. Nothing follows.
    Close,
}
