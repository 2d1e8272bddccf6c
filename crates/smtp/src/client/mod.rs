//! The client side of a session.
//!
//! RFC 5321, with RFC 1870 (SIZE), RFC 2920 (PIPELINING), RFC 3030 (CHUNKING), RFC 3207 (STARTTLS), RFC 3461 (DSN), RFC 4954 (AUTH),
//! RFC 6152 (8BITMIME) and RFC 6531 (SMTPUTF8); and LMTP, RFC 2033. Invariant: every reply is matched to its command, and a reply
//! that cannot be matched ends the session, so no recipient gets the result of another.
//!
//! The driver's loop: send what [`ClientSession::take_output`] returns, read, pass input to [`ClientSession::receive`], call
//! [`ClientSession::next_event`] until it returns `None`. After [`ClientEvent::Ready`], and after each [`ClientEvent::Done`] whose outcome is
//! reusable, [`ClientSession::begin`] or [`ClientSession::quit`] may follow.

mod capabilities;
mod hello;
mod outgoing;
mod replies;
mod session;
mod transaction;

use std::fmt;

use mail::{MailParameters, Recipient, Reply, ReversePath};

pub use capabilities::Capabilities;
pub use session::ClientSession;

/// Whether TLS is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never TLS, even if it is offered.
    Never,
    /// TLS if it is offered.
    Opportunistic,
    /// TLS is required.
    Required,
    /// The driver does the handshake before the banner.
    Implicit,
}

/// User name and password for the next hop, sent under TLS only.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub user: String,
    /// The password, not shown by `Debug`.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The protocol of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// SMTP: one reply to the content for all recipients.
    #[default]
    Smtp,
    /// LMTP (RFC 2033): one reply to the content per recipient.
    Lmtp,
}

/// The options of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// The protocol.
    pub protocol: Protocol,
    /// Our host name, for EHLO.
    pub hello: String,
    /// Whether TLS is used.
    pub tls: TlsMode,
    /// Credentials for AUTH. They require TLS whatever `tls` says.
    pub credentials: Option<Credentials>,
}

/// The envelope of a message, and what its content needs.
#[derive(Debug, Clone)]
pub struct ClientTransaction {
    /// The address for DSNs.
    pub reverse_path: ReversePath,
    /// The parameters of MAIL. Their `size_bytes` is not used.
    pub parameters: MailParameters,
    /// The recipients.
    pub recipients: Vec<Recipient>,
    /// The exact size of the content, in octets.
    pub size_bytes: u64,
    /// The content has octets above 127.
    pub has_8bit: bool,
    /// An address or a header field needs SMTPUTF8.
    pub needs_utf8: bool,
}

/// The phase of a session, for timeouts (RFC 5321 s.4.5.3.2) and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the banner.
    Greeting,
    /// EHLO or HELO was sent.
    Hello,
    /// STARTTLS was sent, or the handshake is in progress.
    StartTls,
    /// AUTH is in progress.
    Auth,
    /// Idle: a transaction can begin.
    Ready,
    /// RSET, MAIL, RCPT, or DATA was sent.
    Mail,
    /// The driver sends content.
    Content,
    /// The content was sent; responsibility for the message is unknown until the reply.
    AfterDot,
    /// QUIT was sent.
    Quit,
    /// The session is over.
    Closed,
}

/// What the driver must do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// Do the handshake, then call [`ClientSession::tls_established`].
    StartTls,
    /// The first transaction can begin.
    Ready,
    /// Send the content with [`ClientSession::send_content`], then [`ClientSession::finish_content`].
    SendContent,
    /// The transaction is over.
    Done(Outcome),
    /// The connection cannot be used any more. The last event.
    Failed(Failure),
}

/// The result of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// One per recipient, in order: the reply that accepted or refused the message.
    pub recipients: Vec<Result<Reply, Reply>>,
    /// The next hop supports DSN, so DSNs are its duty.
    pub dsn_passed_on: bool,
    /// The stage at which the whole transaction was refused.
    pub refused_at: Option<Stage>,
    /// Whether the session can take another transaction.
    pub reusable: bool,
}

/// A stage of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// MAIL.
    Mail,
    /// RCPT of every recipient.
    Rcpt,
    /// DATA.
    Data,
    /// The end of the content.
    End,
    /// Before MAIL: the peer lacks an extension or the size that the message needs.
    Local,
}

/// Why a session failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The connection was lost. After the dot the message may have been accepted.
    Disconnected {
        /// The content was complete.
        after_dot: bool,
    },
    /// The peer violated the protocol.
    Protocol(String),
    /// The banner was a refusal.
    Greeting(Reply),
    /// EHLO and HELO were refused.
    Hello(Reply),
    /// TLS is required and not offered.
    TlsNotOffered,
    /// STARTTLS was refused.
    TlsRefused(Reply),
    /// Plaintext followed the reply to STARTTLS.
    TlsInjected,
    /// The peer offers no mechanism for our credentials.
    AuthNotOffered,
    /// AUTH was refused.
    AuthRefused(Reply),
    /// The peer closes the connection with 421.
    Closing421(Reply),
    /// The peer offers CHUNKING and refuses BDAT. It may have read the content as commands, so the connection cannot be used any more; on a new
    /// one, [`ClientSession::without_chunking`] sends the message by DATA.
    ChunkingRefused(Reply),
}
