//! The client side of a session.
//!
//! RFC 5321, with RFC 1870 (SIZE), RFC 2920 (PIPELINING), RFC 3030 (CHUNKING), RFC 3207 (STARTTLS), RFC 3461 (DSN), RFC 4954 (AUTH),
//! RFC 6152 (8BITMIME) and RFC 6531 (SMTPUTF8); and LMTP, RFC 2033. Invariant: every reply is matched to the command that it answers, and
//! whatever cannot be matched ends the session, so no recipient is ever told another's fate.
//!
//! The driver's loop: write out what [`ClientSession::take_output`] gives, read, feed [`ClientSession::receive`], ask
//! [`ClientSession::next_event`] until it gives `None`. After [`ClientEvent::Ready`], and after each [`ClientEvent::Done`] whose outcome is
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

/// What is demanded of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Plaintext, whatever is offered.
    Never,
    /// TLS where it is offered.
    Opportunistic,
    /// TLS or nothing.
    Required,
    /// The driver has done the handshake before the banner.
    Implicit,
}

/// A user and a password for the next hop. They are sent under TLS only.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password; `Debug` does not show it.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// SMTP, to a server that takes responsibility for all recipients at once.
    #[default]
    Smtp,
    /// LMTP (RFC 2033), to a mailbox server that answers for each recipient.
    Lmtp,
}

/// How one session is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// What is spoken.
    pub protocol: Protocol,
    /// Our name for EHLO.
    pub hello: String,
    /// What is demanded of TLS.
    pub tls: TlsMode,
    /// Whom to authenticate as; then TLS is needed, whatever `tls` says.
    pub credentials: Option<Credentials>,
}

/// A message to be handed over, without its content.
#[derive(Debug, Clone)]
pub struct ClientTransaction {
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// What MAIL says besides. Its `size_bytes` is not used.
    pub parameters: MailParameters,
    /// The recipients.
    pub recipients: Vec<Recipient>,
    /// The exact size of the content, in octets.
    pub size_bytes: u64,
    /// The content holds octets over 127.
    pub has_8bit: bool,
    /// An address or a header field cannot be said without SMTPUTF8.
    pub needs_utf8: bool,
}

/// Where a session stands: for time limits (RFC 5321 s.4.5.3.2) and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the banner.
    Greeting,
    /// EHLO or HELO was sent.
    Hello,
    /// STARTTLS was sent, or the handshake is under way.
    StartTls,
    /// AUTH is under way.
    Auth,
    /// Nothing is under way.
    Ready,
    /// RSET, MAIL, RCPT, or DATA was sent.
    Mail,
    /// The driver is handing over content.
    Content,
    /// The content is complete; who is responsible for it now is not known until the reply.
    AfterDot,
    /// QUIT was sent.
    Quit,
    /// Nothing more can be done.
    Closed,
}

/// What the driver must act upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// Do the handshake, then call [`ClientSession::tls_established`].
    StartTls,
    /// The session is open for its first transaction.
    Ready,
    /// Hand over the content by [`ClientSession::send_content`], then [`ClientSession::finish_content`].
    SendContent,
    /// The transaction is over.
    Done(Outcome),
    /// The connection is of no more use. Nothing follows.
    Failed(Failure),
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// One for each recipient, in order: the reply that took the message, or the one that refused it.
    pub recipients: Vec<Result<Reply, Reply>>,
    /// The next hop understood what was asked about reports, so it makes them.
    pub dsn_passed_on: bool,
    /// The stage at which the transaction was refused as a whole.
    pub refused_at: Option<Stage>,
    /// Whether another transaction may follow.
    pub reusable: bool,
}

/// A stage of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// MAIL.
    Mail,
    /// Every RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The end of the content.
    End,
    /// Nothing was sent: what the peer offers shows that it cannot take the message.
    Local,
}

/// Why a session failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The peer went away. After the dot the message may have been taken or not.
    Disconnected {
        /// The content was complete.
        after_dot: bool,
    },
    /// What the peer sent is not SMTP, or not in sequence.
    Protocol(String),
    /// The banner was a refusal.
    Greeting(Reply),
    /// EHLO and HELO were refused.
    Hello(Reply),
    /// TLS is demanded and not offered.
    TlsNotOffered,
    /// STARTTLS was refused.
    TlsRefused(Reply),
    /// Plaintext followed the reply to STARTTLS.
    TlsInjected,
    /// There are credentials, and no mechanism that they fit.
    AuthNotOffered,
    /// AUTH was refused.
    AuthRefused(Reply),
    /// The peer closes the connection.
    Closing421(Reply),
    /// The peer offers CHUNKING and does not know BDAT. What followed may have been read as commands, so this connection is of no more use; over another
    /// one, [`ClientSession::without_chunking`] sends the message by DATA.
    ChunkingRefused(Reply),
}
