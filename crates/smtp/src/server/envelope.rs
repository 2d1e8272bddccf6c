//! MAIL, RCPT, DATA and BDAT: syntax and sequence are checked here, the driver decides the rest.
//!
//! RFC 5321 s.3.3 and s.4.1.4, RFC 3030 s.2. Invariant: content is requested only with at least one accepted recipient. A refused
//! BDAT ends the transaction and is answered after its chunk, which is never read as commands.

use mail::Reply;

use super::parameters::{parse_chunk, parse_mail, parse_rcpt};
use super::session::{Chunk, Question, RefusedChunk, ServerSession, SessionState, Step};
use super::{ServerEvent, Service, replies};

/// Maximum size of a refused chunk that is still read to its end, in octets; a larger one ends the session.
const DISCARDED_MAX_BYTES: u64 = 1 << 30;

impl<R> ServerSession<R> {
    pub(super) fn mail(&mut self, argument: &str) -> Step {
        if self.hello.is_none() {
            return self.out_of_sequence(&replies::bad_sequence("send EHLO first"));
        }
        if self.transaction.is_some() {
            return self.out_of_sequence(&replies::bad_sequence("nested MAIL command; send RSET first"));
        }
        self.strikes.synchronised();
        if self.config.service == Service::Submission && self.identity.is_none() {
            return self.mail_refused(&Reply::new(530, (5, 7, 0), "authentication required"));
        }
        let (reverse_path, parameters) = match parse_mail(argument, self.is_extended(), self.tls.is_some()) {
            Ok(parsed) => parsed,
            Err(reply) => return self.mail_refused(&reply),
        };
        if parameters.size_bytes.is_some_and(|size| size > self.config.max_size_bytes) {
            return self.mail_refused(&replies::too_large());
        }
        self.state = SessionState::Waiting(Question::Mail(reverse_path.clone(), parameters.clone()));
        Step::Event(ServerEvent::Mail { reverse_path, parameters })
    }

    fn mail_refused(&mut self, reply: &Reply) -> Step {
        let step = self.bad(reply);
        self.strikes.excuse_pipelined();
        step
    }

    pub(super) fn rcpt(&mut self, argument: &str) -> Step {
        let Some(transaction) = &self.transaction else {
            return self.out_of_sequence(&replies::bad_sequence("send MAIL first"));
        };
        if self.content.is_chunked() {
            return self.out_of_sequence(&replies::bad_sequence("RCPT is not allowed after BDAT"));
        }
        let (taken, smtputf8) = (transaction.recipients.len(), transaction.parameters.smtputf8);
        self.recipient_tried = true;
        if taken >= self.config.max_recipients {
            let too_far = self.strikes.deferred_recipient();
            self.reply_unless(too_far, &replies::too_many_recipients(), "too many refused recipients");
            return Step::Again;
        }
        match parse_rcpt(argument, self.is_extended(), smtputf8) {
            Ok(recipient) => {
                self.state = SessionState::Waiting(Question::Recipient(recipient.clone()));
                Step::Event(ServerEvent::Recipient(recipient))
            }
            Err(reply) => self.bad(&reply),
        }
    }

    /// Why content may not be sent now.
    fn not_ready_for_content(&self) -> Option<Reply> {
        match &self.transaction {
            None => Some(replies::bad_sequence("send MAIL and RCPT first")),
            Some(t) if !t.recipients.is_empty() => None,
            Some(_) if self.recipient_tried => Some(replies::no_valid_recipients()),
            Some(_) => Some(replies::bad_sequence("send RCPT first")),
        }
    }

    pub(super) fn data(&mut self, argument: &str) -> Step {
        if let Some(reply) = self.not_ready_for_content() {
            return self.out_of_sequence(&reply);
        }
        if self.content.is_chunked() {
            return self.out_of_sequence(&replies::bad_sequence("DATA is not allowed after BDAT"));
        }
        if !argument.is_empty() {
            return self.bad(&replies::bad_argument("DATA takes no argument"));
        }
        self.state = SessionState::Waiting(Question::Data(None));
        Step::Event(ServerEvent::Data)
    }

    pub(super) fn bdat(&mut self, argument: &str) -> Step {
        let Some(chunk) = parse_chunk(argument) else {
            return self.bdat_refused(0, replies::bad_argument("syntax: BDAT size [LAST]"));
        };
        if chunk.left > DISCARDED_MAX_BYTES {
            self.close_with(replies::too_large());
            return Step::Again;
        }
        if let Some(reply) = self.not_ready_for_content() {
            return self.bdat_refused(chunk.left, reply);
        }
        if chunk.left > self.config.max_size_bytes.saturating_sub(self.content.size_bytes) {
            return self.bdat_refused(chunk.left, replies::too_large());
        }
        if self.content.exceeds_small_chunks(chunk.left) {
            self.close_with(replies::too_many("too many small chunks"));
            return Step::Again;
        }
        if self.content.is_chunked() {
            self.state = SessionState::Chunk(chunk);
            return Step::Again;
        }
        self.state = SessionState::Waiting(Question::Data(Some(chunk)));
        Step::Event(ServerEvent::Data)
    }

    fn bdat_refused(&mut self, left: u64, reply: Reply) -> Step {
        self.reset();
        self.state = SessionState::Discard(RefusedChunk { left, reply, is_strike: true });
        Step::Again
    }
}

impl Chunk {
    pub(super) fn new(left: u64, last: bool) -> Self {
        Self { left, last }
    }
}
