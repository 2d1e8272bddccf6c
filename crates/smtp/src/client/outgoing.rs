//! What a transaction sends: MAIL, RCPT, and content.
//!
//! RFC 5321 s.4.1.1.2 to s.4.1.1.4, RFC 3030 s.2, RFC 3461 s.4, RFC 6531 s.3.4, RFC 8689 s.4.2.1. Invariant: a parameter is sent only if the peer offers
//! its extension, and the last octet of a chunk only if the content is complete.

use std::fmt::Write as _;

use mail::{Body, Recipient, Reply, Ret, ReversePath, encode_xtext};

use super::capabilities::Capabilities;
use super::{ClientSession, ClientTransaction, Failure, Phase};
use crate::dots::Stuffer;
use crate::dsn::write_orcpt;

/// How the content is framed.
#[derive(Debug)]
pub(super) enum Framing {
    /// DATA.
    Dots(Stuffer),
    /// BDAT: the octets still to come, and the last octet, held back.
    Chunk { left: u64, held: Option<u8> },
}

impl ClientTransaction {
    pub(super) fn wants_utf8(&self) -> bool {
        let in_recipient = |r: &Recipient| matches!(&r.forward_path, mail::ForwardPath::Mailbox(m) if m.needs_utf8());
        self.needs_utf8 || self.reverse_path.mailbox().is_some_and(|m| m.needs_utf8()) || self.recipients.iter().any(in_recipient)
    }

    /// The reply for a message that the peer cannot take.
    pub(super) fn local_refusal(&self, peer: &Capabilities) -> Option<Reply> {
        if self.wants_utf8() && !peer.smtputf8 {
            return Some(Reply::new(550, (5, 6, 7), "the message requires SMTPUTF8, which the next hop does not offer"));
        }
        if self.parameters.requiretls && !peer.requiretls {
            return Some(Reply::new(550, (5, 7, 30), "REQUIRETLS support required; the next hop does not offer it"));
        }
        let too_large = peer.size.is_some_and(|limit| limit > 0 && self.size_bytes > limit);
        too_large.then(|| Reply::new(552, (5, 3, 4), "the message exceeds the next hop's maximum size"))
    }

    pub(super) fn mail_command(&self, peer: &Capabilities) -> String {
        let mut line = match &self.reverse_path {
            ReversePath::Null => String::from("MAIL FROM:<>"),
            ReversePath::Mailbox(mailbox) => format!("MAIL FROM:<{mailbox}>"),
        };
        if peer.size.is_some() {
            let _ = write!(line, " SIZE={}", self.size_bytes);
        }
        if peer.eight_bit && (self.has_8bit || self.parameters.body == Body::EightBit) {
            line.push_str(" BODY=8BITMIME");
        }
        if self.wants_utf8() {
            line.push_str(" SMTPUTF8");
        }
        if self.parameters.requiretls {
            line.push_str(" REQUIRETLS");
        }
        if peer.dsn {
            match self.parameters.ret {
                Some(Ret::Full) => line.push_str(" RET=FULL"),
                Some(Ret::Headers) => line.push_str(" RET=HDRS"),
                None => {}
            }
            if let Some(envid) = &self.parameters.envid {
                let _ = write!(line, " ENVID={}", encode_xtext(envid));
            }
        }
        line
    }

    pub(super) fn recipient_command(&self, recipient: &Recipient, peer: &Capabilities) -> String {
        let mut line = format!("RCPT TO:{}", recipient.forward_path);
        if peer.dsn {
            if let Some(notify) = recipient.notify.to_parameter() {
                let _ = write!(line, " NOTIFY={notify}");
            }
            if let Some(orcpt) = &recipient.orcpt {
                let _ = write!(line, " ORCPT={}", write_orcpt(orcpt, self.wants_utf8()));
            }
        }
        line
    }
}

impl ClientSession {
    /// Sends a piece of content. Ignored if the peer has refused the content meanwhile.
    pub fn send_content(&mut self, piece: &[u8]) {
        let Some(attempt) = self.attempt.as_mut().filter(|_| self.phase == Phase::Content) else { return };
        match &mut attempt.framing {
            Framing::Dots(stuffer) => stuffer.write(piece, &mut self.output),
            Framing::Chunk { left, held } => {
                let size_bytes = piece.len() as u64;
                if size_bytes > *left {
                    return self.fail(wrong_size());
                }
                *left -= size_bytes;
                match piece.split_last() {
                    Some((last, rest)) if *left == 0 => {
                        self.output.extend_from_slice(rest);
                        *held = Some(*last);
                    }
                    _ => self.output.extend_from_slice(piece),
                }
            }
        }
    }

    /// Ends the content.
    pub fn finish_content(&mut self) {
        let Some(attempt) = self.attempt.as_mut().filter(|_| self.phase == Phase::Content) else { return };
        match &mut attempt.framing {
            Framing::Dots(stuffer) => std::mem::take(stuffer).finish(&mut self.output),
            Framing::Chunk { left, .. } if *left > 0 => return self.fail(wrong_size()),
            Framing::Chunk { held, .. } => self.output.extend(held.take()),
        }
        self.content_sent();
    }
}

fn wrong_size() -> Failure {
    Failure::Protocol("the content is not of its declared size".into())
}
