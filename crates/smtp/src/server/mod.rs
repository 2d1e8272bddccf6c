//! The server side of a session.
//!
//! RFC 5321, with RFC 1870 (SIZE), RFC 2034, RFC 2920 (PIPELINING), RFC 3030 (CHUNKING), RFC 3207 (STARTTLS), RFC 3461 (DSN),
//! RFC 4954 (AUTH), RFC 6152 (8BITMIME) and RFC 6531 (SMTPUTF8). Invariant: every command gets exactly one reply,
//! in order, and a transaction ends only by [`ServerSession::reset`], which clears all of it.
//!
//! The driver's loop: pass input to [`ServerSession::receive`], call [`ServerSession::next_event`] until it returns `None`, answer each
//! question ([`ServerSession::waiting`]), and send what [`ServerSession::take_output`] returns. The session buffers input while it waits for
//! an answer, so the driver must not read until it has answered: this bounds memory.

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

pub use replies::too_large;
pub use session::ServerSession;

/// The service of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Mail from other servers, without AUTH.
    Mx,
    /// Mail from accounts, which must authenticate under TLS (RFC 6409, RFC 8314).
    Submission,
}

/// The options of a listener, shared by its sessions.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Our host name, for the banner and EHLO.
    pub hostname: Domain,
    /// The service.
    pub service: Service,
    /// Whether STARTTLS is offered.
    pub starttls: bool,
    /// SASL mechanisms, upper case, best first.
    pub mechanisms: Vec<&'static str>,
    /// Maximum size of the content, in octets.
    pub max_size_bytes: u64,
    /// Maximum recipients per transaction.
    pub max_recipients: usize,
}

/// The TLS connection of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// Protocol and cipher suite, for the Received field: `TLSv1_3 with TLS13_AES_256_GCM_SHA384`.
    pub description: String,
}

/// The accepted part of a mail transaction. `R` is what the driver attaches to each recipient.
#[derive(Debug, Clone)]
pub struct ServerTransaction<R> {
    /// The reverse-path of MAIL.
    pub reverse_path: ReversePath,
    /// The parameters of MAIL.
    pub parameters: MailParameters,
    /// The accepted recipients, in order.
    pub recipients: Vec<(Recipient, R)>,
}

/// A step of an authentication exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthStep {
    /// AUTH: a new exchange. It replaces an older one that was cancelled.
    Begin {
        /// The mechanism in upper case, one of those in [`ServerOptions`].
        mechanism: String,
        /// The initial response, decoded.
        initial: Option<Vec<u8>>,
    },
    /// The response to a challenge, decoded.
    Response(Vec<u8>),
}

/// What the driver must do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// The reply 220 is queued: send it, do the handshake, then call [`ServerSession::tls_established`].
    StartTls,
    /// Answer with [`ServerSession::challenge_auth`], [`ServerSession::accept_auth`] or [`ServerSession::refuse_auth`].
    Auth(AuthStep),
    /// Answer with [`ServerSession::accept_mail`] or [`ServerSession::refuse`].
    Mail {
        /// The address for DSNs.
        reverse_path: ReversePath,
        /// The parameters.
        parameters: MailParameters,
    },
    /// Answer with [`ServerSession::accept_recipient`] or [`ServerSession::refuse`].
    Recipient(Recipient),
    /// Content follows: open a spool. Answer with [`ServerSession::accept_data`] or [`ServerSession::refuse`].
    Data,
    /// A piece of content, without dot stuffing, with CRLF line ends.
    Content(Bytes),
    /// The content is complete: call [`ServerSession::take_transaction`], then answer with [`ServerSession::finish_content`].
    ContentEnd,
    /// Drop the spool. The session sends the reply itself.
    ContentAborted,
    /// Send the output and close the connection. The last event.
    Close,
}
