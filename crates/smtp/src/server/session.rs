//! The session: its state, its input and its output.
//!
//! RFC 5321 s.3 and s.4.1.4. Invariant: the state alone decides what the next octet means.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use mail::{MailParameters, Recipient, Reply, ReversePath};

use super::content::Content;
use super::line::Lines;
use super::strikes::Strikes;
use super::{ServerEvent, ServerOptions, ServerTransaction, TlsInfo, replies};

/// What the next octet is.
#[derive(Debug)]
pub(super) enum SessionState {
    /// Not allowed: the banner was not sent yet.
    Silent,
    /// A command.
    Command,
    /// A response in an AUTH exchange.
    AuthResponse,
    /// Not read yet: the driver has to answer first.
    Waiting(Question),
    /// Content after DATA.
    Data,
    /// Content of a BDAT chunk.
    Chunk(Chunk),
    /// Content of a chunk that is discarded and then refused.
    Discard(RefusedChunk),
    /// Ignored: the last reply was queued, `Close` is the next event.
    Closing,
    /// Ignored: the session is over.
    Closed,
}

/// The question that the driver has to answer.
#[derive(Debug)]
pub(super) enum Question {
    StartTls,
    Auth,
    Mail(ReversePath, MailParameters),
    Recipient(Recipient),
    /// `None` for DATA.
    Data(Option<Chunk>),
    ContentEnd,
}

/// A BDAT chunk that is being received.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) left: u64,
    pub(super) last: bool,
}

/// A refused chunk that is being received.
#[derive(Debug)]
pub(super) struct RefusedChunk {
    pub(super) left: u64,
    pub(super) reply: Reply,
    /// Whether the command was out of sequence and counts as a strike.
    pub(super) is_strike: bool,
}

/// The argument of EHLO or HELO.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) name: String,
    pub(super) extended: bool,
}

/// The result of one step.
pub(super) enum Step {
    Event(ServerEvent),
    Again,
    Idle,
}

/// A server session. `R` is what the driver attaches to each accepted recipient.
#[derive(Debug)]
pub struct ServerSession<R> {
    pub(super) config: Arc<ServerOptions>,
    pub(super) tls: Option<TlsInfo>,
    pub(super) state: SessionState,
    pub(super) input: BytesMut,
    pub(super) lines: Lines,
    pub(super) hello: Option<Hello>,
    pub(super) identity: Option<String>,
    pub(super) transaction: Option<ServerTransaction<R>>,
    pub(super) content: Content,
    pub(super) strikes: Strikes,
    /// Whether RCPT was given in this transaction, accepted or not.
    pub(super) recipient_tried: bool,
    /// Whether the output holds a reply that the client must read before it sends more.
    pub(super) synchronising: bool,
    /// Whether the client sent something before the banner.
    spoke_early: bool,
    output: Vec<u8>,
    pending: VecDeque<ServerEvent>,
    commands: u64,
}

impl<R> ServerSession<R> {
    /// Creates a session before its banner. `tls` is set for implicit TLS.
    pub fn new(config: Arc<ServerOptions>, tls: Option<TlsInfo>) -> Self {
        Self {
            config,
            tls,
            state: SessionState::Silent,
            input: BytesMut::new(),
            lines: Lines::default(),
            hello: None,
            identity: None,
            transaction: None,
            content: Content::default(),
            strikes: Strikes::default(),
            recipient_tried: false,
            synchronising: false,
            spoke_early: false,
            output: Vec::new(),
            pending: VecDeque::new(),
            commands: 0,
        }
    }

    /// Queues the banner, or refuses a client that sent something before it: returns that reply.
    pub fn greet(&mut self) -> Option<Reply> {
        if !matches!(self.state, SessionState::Silent) {
            self.misused("greet");
        } else if self.spoke_early {
            let reply = replies::too_early();
            self.close_with(reply.clone());
            return Some(reply);
        } else {
            self.state = SessionState::Command;
            self.reply(&Reply::plain(220, format!("{} ESMTP Waypost", self.config.hostname)));
        }
        None
    }

    /// Refuses the connection with this reply in place of the banner.
    pub fn refuse_connection(&mut self, reply: Reply) {
        self.close_with(reply);
    }

    /// Takes input from the client.
    pub fn receive(&mut self, bytes: &[u8]) {
        match self.state {
            SessionState::Closing | SessionState::Closed => {}
            SessionState::Silent => self.spoke_early |= !bytes.is_empty(),
            _ if self.synchronising && !bytes.is_empty() => self.close_with(replies::too_early()),
            _ => {
                if self.in_content() {
                    self.content.received_bytes = self.content.received_bytes.saturating_add(bytes.len() as u64);
                }
                self.input.extend_from_slice(bytes);
            }
        }
    }

    /// Returns the next event, or `None` if the session needs more input or an answer.
    pub fn next_event(&mut self) -> Option<ServerEvent> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            match self.step() {
                // After an abort that the same command caused.
                Step::Event(event) => self.pending.push_back(event),
                Step::Again => {}
                Step::Idle => return None,
            }
        }
    }

    fn step(&mut self) -> Step {
        match &self.state {
            SessionState::Silent | SessionState::Waiting(_) | SessionState::Closed => Step::Idle,
            SessionState::Command => self.step_command(),
            SessionState::AuthResponse => self.step_auth_response(),
            SessionState::Data => self.step_data(),
            SessionState::Chunk(chunk) => self.step_chunk(*chunk),
            SessionState::Discard(_) => self.step_discard(),
            SessionState::Closing => {
                self.state = SessionState::Closed;
                self.input = BytesMut::new();
                Step::Event(ServerEvent::Close)
            }
        }
    }

    /// Moves the queued replies to the end of `out`.
    pub fn take_output(&mut self, out: &mut Vec<u8>) {
        if out.is_empty() {
            // Thousands of sessions may be idle; none keeps a buffer.
            *out = std::mem::take(&mut self.output);
        } else {
            out.append(&mut self.output);
        }
        self.synchronising = false;
    }

    /// Whether replies are queued.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Queues a reply. 421 ends the session.
    pub(super) fn reply(&mut self, reply: &Reply) {
        reply.write_to(&mut self.output);
        self.commands += 1;
        if reply.code == 421 {
            self.end();
        }
    }

    /// Queues the last reply and closes the session: for timeouts (421 4.4.2) and shutdown (421 4.3.2).
    pub fn close_with(&mut self, reply: Reply) {
        if !self.is_closing() {
            self.end();
            self.reply(&reply);
        }
    }

    /// Stops reading.
    pub(super) fn end(&mut self) {
        if !self.is_closing() {
            self.reset();
            self.state = SessionState::Closing;
        }
    }

    /// Ends the transaction. Nothing else clears it.
    pub(super) fn reset(&mut self) {
        if self.content.is_open() {
            self.pending.push_back(ServerEvent::ContentAborted);
        }
        self.transaction = None;
        self.content = Content::default();
        self.recipient_tried = false;
    }

    /// Discards everything received in plaintext, including the transaction.
    pub(super) fn reset_for_tls(&mut self, tls: TlsInfo) {
        self.reset();
        self.hello = None;
        self.identity = None;
        self.lines = Lines::default();
        self.tls = Some(tls);
    }

    /// Handles an answer without its question: late after a close, otherwise a bug of the driver.
    pub(super) fn misused(&mut self, call: &'static str) {
        if !self.is_closing() {
            debug_assert!(false, "{call} does not answer what the session asked");
            self.close_with(replies::bug());
        }
    }

    /// Whether the driver has to answer a question. It should not read more until then.
    pub fn waiting(&self) -> bool {
        matches!(self.state, SessionState::Waiting(_))
    }

    /// Takes the complete transaction, at [`ServerEvent::ContentEnd`] only.
    pub fn take_transaction(&mut self) -> Option<ServerTransaction<R>> {
        matches!(self.state, SessionState::Waiting(Question::ContentEnd)).then(|| self.transaction.take()).flatten()
    }

    /// The transaction so far.
    pub fn transaction(&self) -> Option<&ServerTransaction<R>> {
        self.transaction.as_ref()
    }

    /// The host name of EHLO or HELO: printable ASCII, at most 255 octets.
    pub fn hello(&self) -> Option<&str> {
        self.hello.as_ref().map(|h| h.name.as_str())
    }

    /// Whether the client used EHLO.
    pub fn is_extended(&self) -> bool {
        self.hello.as_ref().is_some_and(|h| h.extended)
    }

    /// The TLS connection, if there is one.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// The reverse-path of the current transaction.
    pub fn reverse_path(&self) -> Option<&ReversePath> {
        self.transaction.as_ref().map(|transaction| &transaction.reverse_path)
    }

    /// The accepted recipients of the current transaction.
    pub fn recipients(&self) -> impl Iterator<Item = &R> {
        self.transaction.iter().flat_map(|transaction| transaction.recipients.iter().map(|(_, accepted)| accepted))
    }

    /// The login that authenticated.
    pub fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// Whether content is being received, also if it is discarded.
    pub fn in_content(&self) -> bool {
        matches!(self.state, SessionState::Data | SessionState::Chunk(_) | SessionState::Discard(_))
    }

    /// Allows fewer errors while the server is under stress.
    pub fn tighten(&mut self, is_stressed: bool) {
        self.strikes.is_stressed = is_stressed;
    }

    /// Number of commands answered. A command timeout restarts when it rises.
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// Octets of content accepted in this transaction.
    pub fn content_bytes(&self) -> u64 {
        self.content.size_bytes
    }

    /// Octets received as content in this transaction, discarded ones included: shows whether the client still sends.
    pub fn received_bytes(&self) -> u64 {
        self.content.size_bytes.max(self.content.received_bytes)
    }

    /// Whether the last reply was queued.
    pub fn is_closing(&self) -> bool {
        matches!(self.state, SessionState::Closing | SessionState::Closed)
    }
}
