//! The session: what goes in, what comes out, and which reply answers what.
//!
//! RFC 5321 s.4.2 and s.3.8. Invariant: replies are taken in the order in which commands were sent.

use std::collections::VecDeque;

use bytes::BytesMut;
use mail::Reply;

use super::capabilities::Capabilities;
use super::replies::ReplyReader;
use super::transaction::Attempt;
use super::{ClientEvent, ClientOptions, Failure, Phase, TlsMode};

/// A command whose reply has not come yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Auth(AuthStage),
    Rset,
    Mail,
    Recipient(usize),
    Data,
    End,
    /// The end of nothing, sent because DATA was accepted with no recipient.
    EmptyEnd,
    Quit,
}

/// What the next line of an AUTH exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthStage {
    PlainResponse,
    LoginUser,
    LoginPassword,
    Verdict,
}

/// A client session.
#[derive(Debug)]
pub struct ClientSession {
    pub(super) config: ClientOptions,
    pub(super) phase: Phase,
    pub(super) output: Vec<u8>,
    pub(super) expected: VecDeque<Expect>,
    pub(super) events: VecDeque<ClientEvent>,
    pub(super) capabilities: Capabilities,
    pub(super) tls: bool,
    pub(super) attempt: Option<Attempt>,
    /// The peer may still have an open transaction, so RSET comes first.
    pub(super) needs_reset: bool,
    pub(super) transactions: u32,
    /// STARTTLS was accepted: plaintext from the peer is an injection.
    pub(super) in_handshake: bool,
    /// HELO is used from the start.
    pub(super) by_helo: bool,
    /// EHLO was refused, and HELO is not answered yet.
    pub(super) ehlo_refused: bool,
    /// DATA is used even if CHUNKING is offered.
    pub(super) by_data: bool,
    input: BytesMut,
    reader: ReplyReader,
    disconnected: bool,
}

impl ClientSession {
    /// Creates a session that waits for the banner.
    pub fn new(config: ClientOptions) -> Self {
        Self {
            tls: config.tls == TlsMode::Implicit,
            config,
            phase: Phase::Greeting,
            output: Vec::new(),
            expected: VecDeque::from([Expect::Greeting]),
            events: VecDeque::new(),
            capabilities: Capabilities::default(),
            attempt: None,
            needs_reset: false,
            transactions: 0,
            in_handshake: false,
            by_helo: false,
            ehlo_refused: false,
            by_data: false,
            input: BytesMut::new(),
            reader: ReplyReader::default(),
            disconnected: false,
        }
    }

    /// Uses HELO from the start: the peer refused EHLO and closed the connection (RFC 5321 s.3.2).
    pub fn without_ehlo(self) -> Self {
        Self { by_helo: true, ..self }
    }

    /// Uses DATA even if the peer offers CHUNKING.
    pub fn without_chunking(self) -> Self {
        Self { by_data: true, ..self }
    }

    /// Whether the peer refused EHLO in plaintext and has not answered HELO. If it closes the connection, HELO may work on a new one.
    pub fn has_refused_ehlo(&self) -> bool {
        self.ehlo_refused && !self.tls
    }

    /// Takes input from the peer.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.in_handshake && !bytes.is_empty() {
            self.fail(Failure::TlsInjected);
        }
        if self.phase != Phase::Closed {
            self.input.extend_from_slice(bytes);
        }
    }

    /// Tells the session that the connection was closed or lost.
    pub fn disconnected(&mut self) {
        self.disconnected = true;
    }

    /// Returns the next event, or `None` if the session needs more input or content.
    pub fn next_event(&mut self) -> Option<ClientEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.phase == Phase::Closed {
                return None;
            }
            match self.reader.next(&mut self.input) {
                Ok(Some(reply)) => self.replied(reply),
                Ok(None) if self.disconnected => self.fail(Failure::Disconnected { after_dot: self.phase == Phase::AfterDot }),
                Ok(None) => return None,
                Err(what) => self.fail(Failure::Protocol(what.into())),
            }
        }
    }

    fn replied(&mut self, reply: Reply) {
        let expected = self.expected.pop_front();
        if self.phase == Phase::Quit {
            if matches!(expected, None | Some(Expect::Quit)) {
                self.close();
            }
            return;
        }
        if reply.code == 421 && expected != Some(Expect::Greeting) {
            return self.fail(Failure::Closing421(reply));
        }
        match expected {
            Some(Expect::Greeting) => self.greeted(reply),
            Some(Expect::Ehlo) => self.ehlo_answered(reply),
            Some(Expect::Helo) => self.helo_answered(reply),
            Some(Expect::StartTls) => self.start_tls_answered(reply),
            Some(Expect::Auth(stage)) => self.auth_answered(stage, reply),
            Some(Expect::Rset) => self.rset_answered(reply),
            Some(Expect::Mail) => self.mail_answered(reply),
            Some(Expect::Recipient(index)) => self.recipient_answered(index, reply),
            Some(Expect::Data) => self.data_answered(reply),
            Some(Expect::End) => self.end_answered(reply),
            Some(Expect::EmptyEnd) => self.finish_attempt(),
            Some(Expect::Quit) => self.close(),
            None if self.phase == Phase::Content => self.end_answered(reply),
            None => self.fail(Failure::Protocol(format!("unexpected reply: {reply}"))),
        }
    }

    /// Whether input follows the reply that was just read.
    pub(super) fn has_more_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Fails at a reply whose code is not valid for the command.
    pub(super) fn unexpected(&mut self, command: &str, reply: &Reply) {
        self.fail(Failure::Protocol(format!("unexpected reply to {command}: {reply}")));
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        // After QUIT the end of the connection is as good as 221.
        if !matches!(self.phase, Phase::Closed | Phase::Quit) {
            self.events.retain(|event| matches!(event, ClientEvent::Done(_)));
            self.events.push_back(ClientEvent::Failed(failure));
        }
        self.close();
    }

    /// Stops sending and reading.
    pub(super) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.in_handshake = false;
        self.attempt = None;
        self.expected.clear();
        self.input = BytesMut::new();
        self.output.clear();
    }

    pub(super) fn send(&mut self, line: &str, expect: Expect) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self.expected.push_back(expect);
    }

    /// Moves the output to the end of `out`.
    pub fn take_output(&mut self, out: &mut Vec<u8>) {
        if out.is_empty() {
            std::mem::swap(out, &mut self.output);
        } else {
            out.append(&mut self.output);
        }
    }

    /// Whether output is queued.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Sends QUIT, or closes the session if QUIT would be misread in the current phase.
    pub fn quit(&mut self) {
        match self.phase {
            Phase::Greeting | Phase::Hello | Phase::Ready => {
                self.phase = Phase::Quit;
                self.events.clear();
                self.send("QUIT", Expect::Quit);
            }
            Phase::Quit => {}
            _ => self.close(),
        }
    }

    /// The extensions that the peer has offered so far.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The current phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Number of transactions begun on the connection.
    pub fn transactions(&self) -> u32 {
        self.transactions
    }
}
