//! The session: its state, what goes in, what comes out.
//!
//! RFC 5321 s.3 and s.4.1.4. Invariant: the state says what the next byte means, and nothing else does.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use mail::{MailParameters, Recipient, Reply, ReversePath};

use super::content::Content;
use super::line::Lines;
use super::strikes::Strikes;
use super::{ServerEvent, ServerOptions, ServerTransaction, TlsInfo, replies};

/// What the next byte means.
#[derive(Debug)]
pub(super) enum SessionState {
    /// Nothing may come before the banner.
    Silent,
    /// A command.
    Command,
    /// A response in an AUTH exchange.
    AuthResponse,
    /// Nothing yet: the driver owes an answer.
    Waiting(Question),
    /// Content after DATA.
    Data,
    /// Content of a BDAT chunk.
    Chunk(Chunk),
    /// A chunk that is refused as soon as all of it has come.
    Swallow(RefusedChunk),
    /// Nothing more; `Close` is still to be told.
    Closing,
    /// Nothing more.
    Closed,
}

/// What the driver was asked.
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

/// A BDAT chunk under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) left: u64,
    pub(super) last: bool,
}

/// A refused chunk under way.
#[derive(Debug)]
pub(super) struct RefusedChunk {
    pub(super) left: u64,
    pub(super) reply: Reply,
    /// Whether the command was out of sequence, and counts against the client.
    pub(super) is_strike: bool,
}

/// What the client called itself.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) name: String,
    pub(super) extended: bool,
}

/// What one step came to.
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
    /// A recipient was tried in this transaction, accepted or not.
    pub(super) recipient_tried: bool,
    /// A reply that the client must have read before it sends more is in the output.
    pub(super) synchronising: bool,
    /// Something came at a time when nothing may come.
    spoke_early: bool,
    output: Vec<u8>,
    pending: VecDeque<ServerEvent>,
    commands: u64,
}

impl<R> ServerSession<R> {
    /// A session that has not greeted yet. `tls` is given for implicit TLS.
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

    /// Queues the banner; a client that spoke first is turned away.
    pub fn greet(&mut self) {
        if !matches!(self.state, SessionState::Silent) {
            self.misused("greet");
        } else if self.spoke_early {
            self.close_with(replies::too_early());
        } else {
            self.state = SessionState::Command;
            self.reply(&Reply::plain(220, format!("{} ESMTP Waypost", self.config.hostname)));
        }
    }

    /// Turns the client away at the banner.
    pub fn refuse_connection(&mut self, reply: Reply) {
        self.close_with(reply);
    }

    /// Takes in what the client sent.
    pub fn receive(&mut self, bytes: &[u8]) {
        match self.state {
            SessionState::Closing | SessionState::Closed => {}
            SessionState::Silent => self.spoke_early |= !bytes.is_empty(),
            _ if self.synchronising && !bytes.is_empty() => self.close_with(replies::too_early()),
            _ => {
                if self.in_content() {
                    self.content.came_bytes = self.content.came_bytes.saturating_add(bytes.len() as u64);
                }
                self.input.extend_from_slice(bytes);
            }
        }
    }

    /// The next event. `None`: the session needs more input, or waits for an answer.
    pub fn next_event(&mut self) -> Option<ServerEvent> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            match self.step() {
                // Behind an abort that the same command brought about.
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
            SessionState::Swallow(_) => self.step_swallow(),
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
            // Thousands of sessions wait at a time; none keeps a buffer meanwhile.
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

    /// Queues a reply. 421 is always the last.
    pub(super) fn reply(&mut self, reply: &Reply) {
        reply.write_to(&mut self.output);
        self.commands += 1;
        if reply.code == 421 {
            self.end();
        }
    }

    /// Queues a last reply, and closes: for time limits (421 4.4.2) and shutdown (421 4.3.2).
    pub fn close_with(&mut self, reply: Reply) {
        if !self.is_closing() {
            self.end();
            self.reply(&reply);
        }
    }

    /// Nothing more is read.
    pub(super) fn end(&mut self) {
        if !self.is_closing() {
            self.reset();
            self.state = SessionState::Closing;
        }
    }

    /// Ends the transaction: the one place where it is forgotten.
    pub(super) fn reset(&mut self) {
        if self.content.is_open() {
            self.pending.push_back(ServerEvent::ContentAborted);
        }
        self.transaction = None;
        self.content = Content::default();
        self.recipient_tried = false;
    }

    /// Forgets all that was said in plaintext, and the transaction with it.
    pub(super) fn reset_for_tls(&mut self, tls: TlsInfo) {
        self.reset();
        self.hello = None;
        self.identity = None;
        self.lines = Lines::default();
        self.tls = Some(tls);
    }

    /// The driver answered what was not asked. After a close that is only late; else it is a bug.
    pub(super) fn misused(&mut self, call: &'static str) {
        if !self.is_closing() {
            debug_assert!(false, "{call} does not answer what the session asked");
            self.close_with(replies::bug());
        }
    }

    /// Whether the driver owes an answer; until it is given, no more should be read.
    pub fn waiting(&self) -> bool {
        matches!(self.state, SessionState::Waiting(_))
    }

    /// The transaction, complete. Only at [`ServerEvent::ContentEnd`].
    pub fn take_transaction(&mut self) -> Option<ServerTransaction<R>> {
        matches!(self.state, SessionState::Waiting(Question::ContentEnd)).then(|| self.transaction.take()).flatten()
    }

    /// The transaction so far.
    pub fn transaction(&self) -> Option<&ServerTransaction<R>> {
        self.transaction.as_ref()
    }

    /// What the client called itself: printable ASCII, at most 255 octets.
    pub fn hello(&self) -> Option<&str> {
        self.hello.as_ref().map(|h| h.name.as_str())
    }

    /// Whether that was said by EHLO.
    pub fn is_extended(&self) -> bool {
        self.hello.as_ref().is_some_and(|h| h.extended)
    }

    /// The TLS under the session.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// The reverse-path of the transaction under way.
    pub fn reverse_path(&self) -> Option<&ReversePath> {
        self.transaction.as_ref().map(|transaction| &transaction.reverse_path)
    }

    /// The recipients of the transaction under way that were accepted.
    pub fn recipients(&self) -> impl Iterator<Item = &R> {
        self.transaction.iter().flat_map(|transaction| transaction.recipients.iter().map(|(_, accepted)| accepted))
    }

    /// Who authenticated.
    pub fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// Whether content is being received, wanted or not.
    pub fn in_content(&self) -> bool {
        matches!(self.state, SessionState::Data | SessionState::Chunk(_) | SessionState::Swallow(_))
    }

    /// How many commands were answered: when this has risen, a deadline may start anew.
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// How many octets of content this transaction has brought.
    pub fn content_bytes(&self) -> u64 {
        self.content.size_bytes
    }

    /// How many octets came while content was expected, wanted or not: what tells a client that goes on from one that is silent.
    pub fn came_bytes(&self) -> u64 {
        self.content.size_bytes.max(self.content.came_bytes)
    }

    /// Whether the last reply was said.
    pub fn is_closing(&self) -> bool {
        matches!(self.state, SessionState::Closing | SessionState::Closed)
    }
}
