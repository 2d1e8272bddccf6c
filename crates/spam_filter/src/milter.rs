//! A milter session: one message over one connection.
//!
//! Invariant: changes that the filter requests are counted and not made. Its first reply other than "continue" is the verdict on the whole message, also
//! if it is about one recipient: after the end of content no recipient can be refused alone.

use bytes::{Buf, Bytes, BytesMut};
use mail::header_len;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::address::FilterStream;
use crate::facts::Facts;
use crate::message::Message;
use crate::packet::{self, Malformed, MilterReply, Negotiated, Step};
use crate::verdict::{Answer, Verdict, one_line};
use crate::{Address, FilterError};

/// Maximum replies to one step before the verdict: changes, and progress.
const REPLIES_MAX: u32 = 10_000;

impl From<Malformed> for FilterError {
    fn from(malformed: Malformed) -> Self {
        Self::Answer(malformed.0)
    }
}

/// Asks a milter.
pub(crate) async fn check(address: &Address, facts: &Facts<'_>, message: Message) -> Result<Answer, FilterError> {
    let mut talk = MilterSession { stream: address.connect().await?, input: BytesMut::new(), quarantine: None, changes: 0 };
    let verdict = talk.message(facts, message).await?;
    // The verdict is known; an error here does not matter.
    let _ = talk.stream.write_all(&packet::quit()).await;
    if talk.changes > 0 {
        tracing::debug!(id = %facts.id, changes = talk.changes, "ignored the changes that the filter requested");
    }
    Ok(Answer { verdict, score: None })
}

/// Negotiates and closes the connection: checks that a milter answers and accepts the offer.
pub(crate) async fn probe(address: &Address) -> Result<(), FilterError> {
    let mut talk = MilterSession { stream: address.connect().await?, input: BytesMut::new(), quarantine: None, changes: 0 };
    talk.open().await.map(|_| ())
}

struct MilterSession {
    stream: Box<dyn FilterStream>,
    input: BytesMut,
    /// The reason to hold the message.
    quarantine: Option<String>,
    changes: u32,
}

/// How the session continues after a step.
enum StepResult {
    Step,
    NoMoreBody,
    Over(Verdict),
}

impl MilterSession {
    async fn open(&mut self) -> Result<Negotiated, FilterError> {
        self.stream.write_all(&packet::offer()).await?;
        let (letter, data) = self.packet().await?;
        Ok(packet::negotiated(letter, &data)?)
    }

    async fn message(&mut self, facts: &Facts<'_>, mut message: Message) -> Result<Verdict, FilterError> {
        let negotiated = self.open().await?;
        let header = message.front().clone();
        for (step, bytes) in packet::opening(facts, &header, negotiated) {
            if let StepResult::Over(verdict) = self.step(negotiated, step, &bytes).await? {
                return Ok(verdict);
            }
        }
        let mut skipped = header_len(&header);
        'body: while let Some(piece) = message.next().await {
            let mut piece = piece?;
            // The header section has been sent field by field.
            piece.advance(std::mem::take(&mut skipped).min(piece.len()));
            for (step, bytes) in packet::body(&piece) {
                match self.step(negotiated, step, &bytes).await? {
                    StepResult::Step => {}
                    StepResult::NoMoreBody => break 'body,
                    StepResult::Over(verdict) => return Ok(verdict),
                }
            }
        }
        let (step, bytes) = packet::end();
        if let StepResult::Over(verdict) = self.step(negotiated, step, &bytes).await? {
            return Ok(verdict);
        }
        Ok(self.quarantine.take().map_or(Verdict::Pass, Verdict::Hold))
    }

    /// Takes a step if the filter wants it, and reads the reply if it sends one.
    async fn step(&mut self, negotiated: Negotiated, step: Step, bytes: &[u8]) -> Result<StepResult, FilterError> {
        if !negotiated.wants(step) {
            return Ok(if step.is_body() { StepResult::NoMoreBody } else { StepResult::Step });
        }
        self.stream.write_all(bytes).await?;
        if negotiated.answers(step) { self.answer(step.is_end()).await } else { Ok(StepResult::Step) }
    }

    /// Reads the reply to a step; changes may precede the last one (`is_last`).
    async fn answer(&mut self, is_last: bool) -> Result<StepResult, FilterError> {
        let mut replies = 0;
        loop {
            let (letter, data) = self.packet().await?;
            match packet::read(letter, &data)? {
                MilterReply::Continue => return Ok(StepResult::Step),
                MilterReply::Skip => return Ok(StepResult::NoMoreBody),
                MilterReply::Accept => return Ok(StepResult::Over(self.quarantine.take().map_or(Verdict::Pass, Verdict::Hold))),
                MilterReply::Reject => return Ok(StepResult::Over(Verdict::rejected(Some("the message was refused by a filter")))),
                MilterReply::TempFail => return Ok(StepResult::Over(Verdict::deferred(None))),
                MilterReply::Discard => return Ok(StepResult::Over(Verdict::Hold("the filter would have discarded it".into()))),
                MilterReply::Code(text) => {
                    let odd = || FilterError::Answer(format!("a reply code that is not a refusal: {}", one_line(&text)));
                    return Verdict::from_reply(&text).map(StepResult::Over).ok_or_else(odd);
                }
                MilterReply::Quarantine(reason) if is_last => self.quarantine = Some(format!("the filter says: {}", one_line(&reason))),
                MilterReply::Change if is_last => self.changes += 1,
                MilterReply::Progress => {}
                MilterReply::Quarantine(_) | MilterReply::Change => {
                    return Err(FilterError::Answer("a change request before the end of the message".into()));
                }
            }
            replies += 1;
            if replies > REPLIES_MAX {
                return Err(FilterError::Answer(format!("more than {REPLIES_MAX} packets without a verdict")));
            }
        }
    }

    async fn packet(&mut self) -> Result<(u8, Bytes), FilterError> {
        loop {
            if let Some(packet) = packet::take(&mut self.input)? {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(FilterError::Answer("connection closed without a verdict".into()));
            }
        }
    }
}
