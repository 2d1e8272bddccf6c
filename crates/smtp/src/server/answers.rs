//! The driver's answers to the session's questions.
//!
//! RFC 5321 s.4.3.2. Invariant: an answer to a question that was not asked only closes the session.

use std::mem;

use mail::Reply;

use super::session::{Question, RefusedChunk, ServerSession, SessionState};
use super::{ServerTransaction, TlsInfo, replies};

impl<R> ServerSession<R> {
    /// Takes the pending question if this call answers it.
    fn answered(&mut self, call: &'static str, fits: impl FnOnce(&Question) -> bool) -> Option<Question> {
        if matches!(&self.state, SessionState::Waiting(question) if fits(question))
            && let SessionState::Waiting(question) = mem::replace(&mut self.state, SessionState::Command)
        {
            return Some(question);
        }
        self.misused(call);
        None
    }

    /// Answers [`ServerEvent::Mail`](super::ServerEvent::Mail): 250 2.1.0.
    pub fn accept_mail(&mut self) {
        if let Some(Question::Mail(reverse_path, parameters)) = self.answered("accept_mail", |q| matches!(q, Question::Mail(..))) {
            self.transaction = Some(ServerTransaction { reverse_path, parameters, recipients: Vec::new() });
            self.reply(&Reply::new(250, (2, 1, 0), "sender OK"));
        }
    }

    /// Answers [`ServerEvent::Recipient`](super::ServerEvent::Recipient): 250 2.1.5.
    pub fn accept_recipient(&mut self, attached: R) {
        if let Some(Question::Recipient(recipient)) = self.answered("accept_recipient", |q| matches!(q, Question::Recipient(_))) {
            if let Some(transaction) = &mut self.transaction {
                transaction.recipients.push((recipient, attached));
            }
            self.reply(&Reply::new(250, (2, 1, 5), "recipient OK"));
        }
    }

    /// Answers [`ServerEvent::Data`](super::ServerEvent::Data): 354 after DATA; no reply after BDAT.
    pub fn accept_data(&mut self) {
        match self.answered("accept_data", |q| matches!(q, Question::Data(_))) {
            Some(Question::Data(None)) => {
                self.content.open(false);
                // Mail clients may send files with bare LF (RFC 6409 s.8); relaying servers never do.
                if self.identity.is_some() {
                    self.content.repair_lines();
                }
                self.state = SessionState::Data;
                self.reply(&Reply::plain(354, "end the message with <CRLF>.<CRLF>"));
            }
            Some(Question::Data(Some(chunk))) => {
                self.content.open(true);
                self.state = SessionState::Chunk(chunk);
            }
            _ => {}
        }
    }

    /// Answers [`ServerEvent::ContentEnd`](super::ServerEvent::ContentEnd) with 250 or a refusal. Either ends the transaction.
    pub fn finish_content(&mut self, reply: Reply) {
        if self.answered("finish_content", |q| matches!(q, Question::ContentEnd)).is_some() {
            self.reset();
            if reply.is_positive() {
                self.strikes.message_accepted();
            }
            self.reply(&reply);
        }
    }

    /// Refuses MAIL, RCPT or the content. Refusing the content ends the transaction.
    pub fn refuse(&mut self, reply: Reply) {
        let is_refusable = |q: &Question| matches!(q, Question::Mail(..) | Question::Recipient(_) | Question::Data(_));
        match self.answered("refuse", is_refusable) {
            Some(Question::Mail(..)) => {
                self.strikes.excuse_pipelined();
                let too_far = self.strikes.idle();
                self.reply_unless(too_far, &reply, "too many refused transactions");
            }
            Some(Question::Recipient(_)) => {
                let too_far = if reply.is_permanent() { self.strikes.refused_recipient() } else { self.strikes.deferred_recipient() };
                self.reply_unless(too_far, &reply, "too many refused recipients");
            }
            Some(Question::Data(chunk)) => {
                self.strikes.excuse_pipelined();
                self.reset();
                match chunk {
                    // 421 closes the session, so the rest of the chunk is not read.
                    Some(chunk) if reply.code != 421 => {
                        self.state = SessionState::Discard(RefusedChunk { left: chunk.left, reply, is_strike: false });
                    }
                    _ => self.reply(&reply),
                }
            }
            _ => {}
        }
    }

    /// Discards the rest of the content, and sends `reply` at its end. No further event concerns this message.
    pub fn fail_content(&mut self, reply: Reply) {
        match self.state {
            SessionState::Data | SessionState::Chunk(_) => self.content.fail(reply),
            // Between two chunks.
            SessionState::Command if self.content.is_chunked() => self.content.fail(reply),
            SessionState::Waiting(Question::ContentEnd) => self.finish_content(reply),
            _ => self.misused("fail_content"),
        }
    }

    /// After [`ServerEvent::StartTls`](super::ServerEvent::StartTls): discards all state; the client must send EHLO again.
    pub fn tls_established(&mut self, tls: TlsInfo) {
        if self.answered("tls_established", |q| matches!(q, Question::StartTls)).is_some() {
            self.reset_for_tls(tls);
            // It came between the 220 and the handshake, so in plaintext.
            if !self.input.is_empty() {
                self.close_with(replies::too_early());
            }
        }
    }

    /// Answers an [`AuthStep`](super::AuthStep) with another challenge.
    pub fn challenge_auth(&mut self, challenge: &[u8]) {
        if self.answered("challenge_auth", |q| matches!(q, Question::Auth)).is_some() {
            self.state = SessionState::AuthResponse;
            self.reply_challenge(challenge);
        }
    }

    /// Ends the exchange with success: 235 2.7.0.
    pub fn accept_auth(&mut self, identity: String) {
        if self.answered("accept_auth", |q| matches!(q, Question::Auth)).is_some() {
            self.identity = Some(identity);
            self.reply(&Reply::new(235, (2, 7, 0), "authentication successful"));
        }
    }

    /// Ends the exchange with a refusal.
    pub fn refuse_auth(&mut self, reply: Reply) {
        if self.answered("refuse_auth", |q| matches!(q, Question::Auth)).is_some() {
            let too_far = self.strikes.bad();
            self.reply_unless(too_far, &reply, "too many failed logins");
        }
    }
}
