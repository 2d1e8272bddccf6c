//! The conversation with a milter: one message over one connection.
//!
//! Invariant: what a filter wants to change is counted and not done. Its first answer other than "go on" is the verdict for the whole message, also where
//! it is about one recipient: after the end of content no recipient can be refused alone.

use bytes::{Buf, Bytes, BytesMut};
use mail::header_len;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::address::Stream;
use crate::facts::Facts;
use crate::message::Message;
use crate::packet::{self, Agreed, Malformed, Said, Step};
use crate::verdict::{Answer, Verdict, one_line};
use crate::{Address, FilterError};

/// Answers to the last step beside the verdict: changes, and signs of life.
const ASIDES_MAX: u32 = 10_000;

impl From<Malformed> for FilterError {
    fn from(malformed: Malformed) -> Self {
        Self::Answer(malformed.0)
    }
}

/// Asks a milter.
pub(crate) async fn check(address: &Address, facts: &Facts<'_>, message: Message) -> Result<Answer, FilterError> {
    let mut talk = Talk { stream: address.connect().await?, input: BytesMut::new(), quarantine: None, changes: 0 };
    let verdict = talk.message(facts, message).await?;
    // It has said what it has to say; that it does not hear the farewell changes nothing.
    let _ = talk.stream.write_all(&packet::quit()).await;
    if talk.changes > 0 {
        tracing::debug!(id = %facts.id, changes = talk.changes, "what the filter wanted to change was left as it was");
    }
    Ok(Answer { verdict, score: None })
}

/// Opens a conversation and closes the connection: whether a filter is there and takes what is offered.
pub(crate) async fn probe(address: &Address) -> Result<(), FilterError> {
    let mut talk = Talk { stream: address.connect().await?, input: BytesMut::new(), quarantine: None, changes: 0 };
    talk.open().await.map(|_| ())
}

struct Talk {
    stream: Box<dyn Stream>,
    input: BytesMut,
    /// The reason for which the message is to be held.
    quarantine: Option<String>,
    changes: u32,
}

/// What an answer means for the conversation.
enum Next {
    Step,
    NoMoreBody,
    Over(Verdict),
}

impl Talk {
    async fn open(&mut self) -> Result<Agreed, FilterError> {
        self.stream.write_all(&packet::offer()).await?;
        let (letter, data) = self.packet().await?;
        Ok(packet::agreed(letter, &data)?)
    }

    async fn message(&mut self, facts: &Facts<'_>, mut message: Message) -> Result<Verdict, FilterError> {
        let agreed = self.open().await?;
        let header = message.front().clone();
        for (step, bytes) in packet::opening(facts, &header, agreed) {
            if let Next::Over(verdict) = self.step(agreed, step, &bytes).await? {
                return Ok(verdict);
            }
        }
        let mut skipped = header_len(&header);
        'body: while let Some(piece) = message.next().await {
            let mut piece = piece?;
            // The header section was told field by field.
            piece.advance(std::mem::take(&mut skipped).min(piece.len()));
            for (step, bytes) in packet::body(&piece) {
                match self.step(agreed, step, &bytes).await? {
                    Next::Step => {}
                    Next::NoMoreBody => break 'body,
                    Next::Over(verdict) => return Ok(verdict),
                }
            }
        }
        let (step, bytes) = packet::end();
        if let Next::Over(verdict) = self.step(agreed, step, &bytes).await? {
            return Ok(verdict);
        }
        Ok(self.quarantine.take().map_or(Verdict::Pass, Verdict::Hold))
    }

    /// Takes a step, where the filter wants it, and waits for the answer, where it gives one.
    async fn step(&mut self, agreed: Agreed, step: Step, bytes: &[u8]) -> Result<Next, FilterError> {
        if !agreed.wants(step) {
            return Ok(if step.is_body() { Next::NoMoreBody } else { Next::Step });
        }
        self.stream.write_all(bytes).await?;
        if agreed.answers(step) { self.answer(step.is_end()).await } else { Ok(Next::Step) }
    }

    /// The answer to a step; `is_last` where changes may come before it.
    async fn answer(&mut self, is_last: bool) -> Result<Next, FilterError> {
        let mut asides = 0;
        loop {
            let (letter, data) = self.packet().await?;
            match packet::read(letter, &data)? {
                Said::Continue => return Ok(Next::Step),
                Said::Skip => return Ok(Next::NoMoreBody),
                Said::Accept => return Ok(Next::Over(self.quarantine.take().map_or(Verdict::Pass, Verdict::Hold))),
                Said::Reject => return Ok(Next::Over(Verdict::rejected(Some("the message was refused by a filter")))),
                Said::TempFail => return Ok(Next::Over(Verdict::deferred(None))),
                Said::Discard => return Ok(Next::Over(Verdict::Hold("the filter would have thrown it away".into()))),
                Said::Code(text) => {
                    let odd = || FilterError::Answer(format!("a reply that refuses nothing: {}", one_line(&text)));
                    return Verdict::chosen(&text).map(Next::Over).ok_or_else(odd);
                }
                Said::Quarantine(reason) if is_last => self.quarantine = Some(format!("the filter says: {}", one_line(&reason))),
                Said::Change if is_last => self.changes += 1,
                Said::Progress => {}
                Said::Quarantine(_) | Said::Change => return Err(FilterError::Answer("a change before the end of the message".into())),
            }
            asides += 1;
            if asides > ASIDES_MAX {
                return Err(FilterError::Answer(format!("more than {ASIDES_MAX} packets without a verdict")));
            }
        }
    }

    async fn packet(&mut self) -> Result<(u8, Bytes), FilterError> {
        loop {
            if let Some(packet) = packet::take(&mut self.input)? {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(FilterError::Answer("it closed the connection without a verdict".into()));
            }
        }
    }
}
