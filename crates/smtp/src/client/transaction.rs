//! One transaction, and its result for each recipient.
//!
//! RFC 5321 s.3.3 and s.4.2.5, RFC 2920 s.3.1, RFC 3030 s.4, RFC 2033 s.4.2. Invariant: a recipient is delivered only if its RCPT and the end of
//! the content were both answered with 2xx.

use mail::Reply;

use super::outgoing::Framing;
use super::session::{ClientSession, Expect};
use super::{ClientEvent, ClientTransaction, Failure, Outcome, Phase, Protocol, Stage};
use crate::dots::Stuffer;

/// A transaction in progress.
#[derive(Debug)]
pub(super) struct Attempt {
    transaction: ClientTransaction,
    /// The refusal of each recipient; `None` while it is accepted.
    refusals: Vec<Option<Reply>>,
    mail_refusal: Option<Reply>,
    refused_at: Option<Stage>,
    /// The whole envelope was sent at once.
    pipelined: bool,
    chunked: bool,
    /// LMTP: the replies to the content so far, one per accepted recipient, in order.
    verdicts: Vec<Reply>,
    pub(super) framing: Framing,
}

impl Attempt {
    fn any_accepted(&self) -> bool {
        self.mail_refusal.is_none() && self.refusals.iter().any(Option::is_none)
    }
}

impl ClientSession {
    /// Begins a transaction. Allowed in [`Phase::Ready`].
    pub fn begin(&mut self, transaction: ClientTransaction) {
        if self.phase != Phase::Ready {
            debug_assert!(self.phase == Phase::Closed, "a transaction is begun before Ready");
            return self.fail(Failure::Protocol("a transaction was begun before the session was ready".into()));
        }
        if let Some(refusal) = transaction.local_refusal(&self.capabilities) {
            return self.refuse_locally(&transaction, &refusal);
        }
        let peer = &self.capabilities;
        // LMTP uses DATA only, so that there is one way to read its replies.
        let chunked = peer.chunking && !self.by_data && self.config.protocol == Protocol::Smtp;
        let framing = if chunked { Framing::Chunk { left: transaction.size_bytes, held: None } } else { Framing::Dots(Stuffer::default()) };
        let attempt = Attempt {
            refusals: vec![None; transaction.recipients.len()],
            mail_refusal: None,
            refused_at: None,
            pipelined: peer.pipelining,
            chunked,
            verdicts: Vec::new(),
            framing,
            transaction,
        };
        let pipelined = attempt.pipelined;
        self.phase = Phase::Mail;
        self.transactions += 1;
        let reset_first = std::mem::replace(&mut self.needs_reset, true);
        if reset_first {
            self.send("RSET", Expect::Rset);
        }
        self.attempt = Some(attempt);
        if pipelined {
            self.send_whole_envelope();
        } else if !reset_first {
            self.send_mail();
        }
    }

    fn refuse_locally(&mut self, transaction: &ClientTransaction, refusal: &Reply) {
        self.events.push_back(ClientEvent::Done(Outcome {
            recipients: transaction.recipients.iter().map(|_| Err(refusal.clone())).collect(),
            dsn_passed_on: false,
            refused_at: Some(Stage::Local),
            reusable: true,
        }));
    }

    fn send_whole_envelope(&mut self) {
        let Some(attempt) = &self.attempt else { return };
        let (count, chunked) = (attempt.refusals.len(), attempt.chunked);
        self.send_mail();
        for index in 0..count {
            self.send_recipient(index);
        }
        if !chunked {
            self.send("DATA", Expect::Data);
        }
    }

    fn send_mail(&mut self) {
        if let Some(attempt) = &self.attempt {
            let line = attempt.transaction.mail_command(&self.capabilities);
            self.send(&line, Expect::Mail);
        }
    }

    /// Sends the RCPT of that index; returns `false` if there is none.
    fn send_recipient(&mut self, index: usize) -> bool {
        let Some(attempt) = &self.attempt else { return false };
        let Some(recipient) = attempt.transaction.recipients.get(index) else { return false };
        let line = attempt.transaction.recipient_command(recipient, &self.capabilities);
        self.send(&line, Expect::Recipient(index));
        true
    }

    pub(super) fn rset_answered(&mut self, reply: Reply) {
        if !reply.is_positive() {
            return self.unexpected("RSET", &reply);
        }
        if self.attempt.as_ref().is_some_and(|a| !a.pipelined) {
            self.send_mail();
        }
    }

    pub(super) fn mail_answered(&mut self, reply: Reply) {
        let Some(attempt) = &mut self.attempt else { return };
        match reply.code / 100 {
            2 if attempt.pipelined && !attempt.refusals.is_empty() => {}
            2 => self.next_recipient(0),
            4 | 5 => {
                attempt.mail_refusal = Some(reply);
                attempt.refused_at = Some(Stage::Mail);
                if !attempt.pipelined || attempt.refusals.is_empty() {
                    self.envelope_answered();
                }
            }
            _ => self.unexpected("MAIL", &reply),
        }
    }

    pub(super) fn recipient_answered(&mut self, index: usize, reply: Reply) {
        let Some(attempt) = &mut self.attempt else { return };
        match reply.code / 100 {
            2 => {}
            4 | 5 => {
                if let Some(refusal) = attempt.refusals.get_mut(index) {
                    *refusal = Some(reply);
                }
            }
            _ => return self.unexpected("RCPT", &reply),
        }
        self.next_recipient(index + 1);
    }

    /// Goes on after the reply for the recipient before `index`.
    fn next_recipient(&mut self, index: usize) {
        let Some(attempt) = &self.attempt else { return };
        let is_last = index >= attempt.refusals.len();
        if is_last {
            self.envelope_answered();
        } else if !attempt.pipelined {
            self.send_recipient(index);
        }
    }

    /// Goes on after the last reply to RCPT.
    fn envelope_answered(&mut self) {
        let Some(attempt) = &mut self.attempt else { return };
        if !attempt.any_accepted() {
            attempt.refused_at.get_or_insert(Stage::Rcpt);
            if !attempt.pipelined || attempt.chunked {
                self.finish_attempt();
            }
        } else if attempt.chunked {
            let line = format!("BDAT {} LAST", attempt.transaction.size_bytes);
            self.send(&line, Expect::End);
            self.phase = Phase::Content;
            self.events.push_back(ClientEvent::SendContent);
        } else if !attempt.pipelined {
            self.send("DATA", Expect::Data);
        }
    }

    pub(super) fn data_answered(&mut self, reply: Reply) {
        let Some(attempt) = &mut self.attempt else { return };
        match (reply.code / 100, attempt.any_accepted()) {
            (3, true) => {
                self.phase = Phase::Content;
                self.events.push_back(ClientEvent::SendContent);
            }
            (3, false) => self.send(".", Expect::EmptyEnd),
            (4 | 5, true) => {
                attempt.refused_at = Some(Stage::Data);
                attempt.refuse_the_rest(&reply);
                self.finish_attempt();
            }
            (4 | 5, false) => self.finish_attempt(),
            _ => self.unexpected("DATA", &reply),
        }
    }

    pub(super) fn content_sent(&mut self) {
        self.phase = Phase::AfterDot;
        let Some(attempt) = self.attempt.as_ref().filter(|a| !a.chunked) else { return };
        // LMTP sends one reply per accepted recipient (RFC 2033 s.4.2).
        let accepted = attempt.refusals.iter().filter(|refusal| refusal.is_none()).count();
        let replies = if self.config.protocol == Protocol::Lmtp { accepted } else { 1 };
        self.expected.extend(std::iter::repeat_n(Expect::End, replies));
    }

    /// Handles the reply to the content, which may be a refusal before its end.
    pub(super) fn end_answered(&mut self, reply: Reply) {
        let complete = self.phase == Phase::AfterDot;
        if complete && self.config.protocol == Protocol::Lmtp {
            return self.lmtp_recipient_answered(reply);
        }
        let Some(attempt) = &mut self.attempt else { return };
        match reply.code / 100 {
            2 if complete => {
                self.needs_reset = false;
                self.finish_attempt_with(Some(&reply), true);
            }
            5 if attempt.chunked && matches!(reply.code, 500 | 502) => self.fail(Failure::ChunkingRefused(reply)),
            4 | 5 => {
                // A refused BDAT may leave the transaction open (RFC 3030 s.2); a refused dot does not.
                let still_open = attempt.chunked;
                attempt.refused_at = Some(Stage::End);
                attempt.refuse_the_rest(&reply);
                self.needs_reset = still_open;
                self.finish_attempt_with(None, complete);
            }
            _ => self.unexpected("the content", &reply),
        }
    }

    /// Handles the next reply of LMTP to the content.
    fn lmtp_recipient_answered(&mut self, reply: Reply) {
        if !matches!(reply.code / 100, 2 | 4 | 5) {
            return self.unexpected("the content", &reply);
        }
        let Some(attempt) = &mut self.attempt else { return };
        attempt.verdicts.push(reply);
        let accepted = attempt.refusals.iter().filter(|refusal| refusal.is_none()).count();
        if attempt.verdicts.len() >= accepted {
            self.needs_reset = false;
            self.finish_attempt();
        }
    }

    pub(super) fn finish_attempt(&mut self) {
        self.finish_attempt_with(None, true);
    }

    fn finish_attempt_with(&mut self, taken: Option<&Reply>, reusable: bool) {
        let Some(attempt) = self.attempt.take() else { return };
        let mut verdicts = attempt.verdicts.into_iter();
        let mut verdict = || verdicts.next().map(|reply| if reply.is_positive() { Ok(reply) } else { Err(reply) });
        let fate = |refusal: Option<Reply>| match (&attempt.mail_refusal, refusal, taken) {
            (Some(mail), _, _) => Err(mail.clone()),
            (None, Some(refusal), _) => Err(refusal),
            (None, None, Some(taken)) => Ok(taken.clone()),
            (None, None, None) => {
                verdict().unwrap_or_else(|| Err(Reply::new(451, (4, 5, 0), "the next hop gave no reply for this recipient")))
            }
        };
        let recipients = attempt.refusals.into_iter().map(fate).collect();
        let dsn_passed_on = self.capabilities.dsn;
        self.events.push_back(ClientEvent::Done(Outcome { recipients, dsn_passed_on, refused_at: attempt.refused_at, reusable }));
        if reusable {
            self.phase = Phase::Ready;
        } else {
            self.close();
        }
    }
}

impl Attempt {
    fn refuse_the_rest(&mut self, reply: &Reply) {
        for refusal in &mut self.refusals {
            refusal.get_or_insert_with(|| reply.clone());
        }
    }
}
