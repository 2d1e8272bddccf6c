//! Content, after DATA or in BDAT chunks.
//!
//! RFC 5321 s.4.1.1.4 and s.4.5.2, RFC 3030 s.2, RFC 1870 s.6.3. Invariant: after the first fault no more content reaches the
//! driver, and the reply at the end of the content is that of the fault.

use bytes::{Buf, Bytes};
use mail::Reply;

use super::session::{Chunk, Question, RefusedChunk, ServerSession, SessionState, Step};
use super::{ServerEvent, replies};
use crate::chunks::{LineCheck, LineLength};
use crate::dots::{Unstuffed, Unstuffer};

/// A chunk below this size is counted, in octets.
const SMALL_CHUNK_BYTES: u64 = 1024;
/// Maximum small chunks per message.
const SMALL_CHUNKS: u32 = 10_000;

/// The content of one transaction.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) size_bytes: u64,
    /// Octets received as content, including those after a fault.
    pub(super) received_bytes: u64,
    /// The driver has a spool open.
    open: bool,
    chunked: bool,
    ended: bool,
    fault: Option<Reply>,
    unstuffer: Unstuffer,
    lines: LineCheck,
    length: LineLength,
    small_chunks: u32,
}

impl Content {
    pub(super) fn open(&mut self, chunked: bool) {
        self.open = true;
        self.chunked = chunked;
    }

    /// Converts bare LF after DATA to CRLF.
    pub(super) fn repair_lines(&mut self) {
        self.unstuffer = Unstuffer::repairing();
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn is_chunked(&self) -> bool {
        self.chunked
    }

    /// Records a fault, and that the driver has dropped its spool. The first fault counts.
    pub(super) fn fail(&mut self, reply: Reply) {
        self.open = false;
        self.fault.get_or_insert(reply);
    }

    pub(super) fn exceeds_small_chunks(&mut self, size_bytes: u64) -> bool {
        if size_bytes < SMALL_CHUNK_BYTES {
            self.small_chunks += 1;
        }
        self.small_chunks > SMALL_CHUNKS
    }
}

impl<R> ServerSession<R> {
    pub(super) fn step_data(&mut self) -> Step {
        if self.content.ended {
            return self.content_over();
        }
        if self.content.fault.is_some() {
            return match self.content.unstuffer.skip(&mut self.input) {
                Unstuffed::End => self.content_over(),
                _ => Step::Idle,
            };
        }
        let (piece, found) = self.content.unstuffer.take(&mut self.input);
        self.content.ended = found == Unstuffed::End;
        // The piece ends before what is forbidden, so its own faults come first, however the octets arrive.
        let size_bytes = self.content.size_bytes.saturating_add(piece.len() as u64);
        if size_bytes > self.config.max_size_bytes {
            return self.abort(replies::too_large());
        }
        if !self.content.length.accepts(&piece) {
            return self.abort(replies::long_line());
        }
        if found == Unstuffed::Forbidden {
            return self.abort(replies::forbidden_content());
        }
        self.content.size_bytes = size_bytes;
        if !piece.is_empty() {
            Step::Event(ServerEvent::Content(piece))
        } else if self.content.ended {
            self.content_over()
        } else {
            Step::Idle
        }
    }

    pub(super) fn step_chunk(&mut self, chunk: Chunk) -> Step {
        if chunk.left == 0 {
            return self.chunk_over(chunk.last);
        }
        if self.input.is_empty() {
            return Step::Idle;
        }
        let length = self.input.len().min(usize::try_from(chunk.left).unwrap_or(usize::MAX));
        self.state = SessionState::Chunk(Chunk::new(chunk.left.saturating_sub(length as u64), chunk.last));
        if self.content.fault.is_some() {
            self.input.advance(length);
            return Step::Again;
        }
        let piece = self.input.split_to(length).freeze();
        if !self.content.lines.accepts(&piece) {
            return self.abort(replies::forbidden_content());
        }
        if !self.content.length.accepts(&piece) {
            return self.abort(replies::long_line());
        }
        self.content.size_bytes = self.content.size_bytes.saturating_add(length as u64);
        Step::Event(ServerEvent::Content(piece))
    }

    /// Discards a refused chunk, and answers at its end (RFC 3030 s.2: one reply to each BDAT, in order).
    pub(super) fn step_discard(&mut self) -> Step {
        let SessionState::Discard(refused) = &mut self.state else { return Step::Idle };
        if refused.left > 0 {
            if self.input.is_empty() {
                return Step::Idle;
            }
            let available = self.input.len().min(usize::try_from(refused.left).unwrap_or(usize::MAX));
            self.input.advance(available);
            refused.left = refused.left.saturating_sub(available as u64);
            return Step::Again;
        }
        if let SessionState::Discard(RefusedChunk { reply, is_strike, .. }) = std::mem::replace(&mut self.state, SessionState::Command) {
            if is_strike {
                self.out_of_sequence(&reply);
            } else {
                self.reply(&reply);
            }
            self.strikes.excuse_pipelined();
        }
        Step::Again
    }

    fn chunk_over(&mut self, last: bool) -> Step {
        if self.content.fault.is_some() {
            return self.content_over();
        }
        if !last {
            self.state = SessionState::Command;
            self.reply(&Reply::new(250, (2, 0, 0), "chunk received"));
            return Step::Again;
        }
        if self.content.lines.is_after_cr() {
            return self.abort(replies::forbidden_content());
        }
        // What came by BDAT may be sent on with DATA, which cannot carry an unterminated line.
        if self.content.lines.is_inside_line() {
            let line_end = Bytes::from_static(b"\r\n");
            self.content.lines = LineCheck::default();
            self.content.size_bytes = self.content.size_bytes.saturating_add(2);
            return Step::Event(ServerEvent::Content(line_end));
        }
        self.content_over()
    }

    fn abort(&mut self, reply: Reply) -> Step {
        self.content.fail(reply);
        Step::Event(ServerEvent::ContentAborted)
    }

    fn content_over(&mut self) -> Step {
        self.content.open = false;
        match self.content.fault.take() {
            None => {
                self.state = SessionState::Waiting(Question::ContentEnd);
                Step::Event(ServerEvent::ContentEnd)
            }
            Some(reply) => {
                self.strikes.excuse_pipelined();
                self.reset();
                self.state = SessionState::Command;
                self.reply(&reply);
                Step::Again
            }
        }
    }
}
