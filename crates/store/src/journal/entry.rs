//! The records of the journal: what a commit or a settlement says, as octets.
//!
//! A record is the length of its facts, the facts as JSON, then the added fields and the contents as they are. A fact that a later version adds has
//! a default, so that it reads the journals of earlier ones. Invariant: what is decoded equals what was encoded, except that the front of large content
//! is not read.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use mail::{Body, EnhancedCode, Mailbox, Notify, OriginalRecipient, QueueId, Ret, ReversePath};
use serde::{Deserialize, Serialize};

use crate::content::{Content, LocalFile};
use crate::message::{Disposition, FailedDelivery, Flow, Lease, Message, NewMessage, NewRecipient, RecipientKey, Settlement, TlsWish};

/// A change that the journal holds. `lease_ms` is the end of the claims of claimed messages.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// New messages, all of them claimed.
    Arrived { messages: Vec<NewMessage>, lease_ms: i64 },
    /// The end of an attempt.
    Settled { settlement: Settlement, lease_ms: i64 },
}

#[derive(Serialize, Deserialize)]
struct EntryFacts {
    lease_ms: i64,
    messages: Vec<MessageFacts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settled: Option<SettledFacts>,
}

#[derive(Serialize, Deserialize)]
struct MessageFacts {
    id: i64,
    content: ContentFacts,
    flow: String,
    from: String,
    rewritten: Option<String>,
    may_report: bool,
    mendable: bool,
    eight_bit: bool,
    smtputf8: bool,
    ret_full: Option<bool>,
    envid: Option<String>,
    tls: u8,
    arrived_ms: i64,
    expires_ms: i64,
    delay_reported: bool,
    prefix_bytes: usize,
    recipients: Vec<RecipientFacts>,
    claimed: bool,
    held: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ContentFacts {
    id: i64,
    size_bytes: u64,
    in_file: bool,
    crc: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct RecipientFacts {
    to: String,
    known_as: Option<String>,
    notify: Option<String>,
    orcpt: Option<[String; 2]>,
}

#[derive(Serialize, Deserialize)]
struct SettledFacts {
    results: Vec<(i64, u32, ResultFacts)>,
    delay_reported: Vec<i64>,
    failed: Vec<FailedFacts>,
}

#[derive(Serialize, Deserialize)]
enum ResultFacts {
    Done,
    Deferred { next_ms: i64, status: (u8, u16, u16), reason: String, counts: bool },
    Aside(String),
}

#[derive(Serialize, Deserialize)]
struct FailedFacts {
    id: i64,
    at_ms: i64,
    words: [String; 5],
}

impl Entry {
    /// Appends the record of new messages.
    pub fn write_arrival(messages: &[NewMessage], lease_ms: i64, out: &mut Vec<u8>) {
        write(&EntryFacts { lease_ms, messages: messages.iter().map(message_facts).collect(), settled: None }, messages, out);
    }

    /// Appends the record of a settlement.
    pub fn write_settlement(settlement: &Settlement, lease_ms: i64, out: &mut Vec<u8>) {
        let settled = SettledFacts {
            results: settlement.recipients.iter().map(|(key, result)| (key.message.0, key.index, result_facts(result))).collect(),
            delay_reported: settlement.delay_reported.iter().map(|id| id.0).collect(),
            failed: settlement.failed.iter().map(failed_facts).collect(),
        };
        let messages = settlement.follow.iter().map(message_facts).collect();
        write(&EntryFacts { lease_ms, messages, settled: Some(settled) }, &settlement.follow, out);
    }

    /// Reads a record. `directory` is that of large content.
    ///
    /// # Errors
    /// A text that says what cannot be read.
    pub fn read(record: &[u8], directory: &Path) -> Result<Self, String> {
        let (length, rest) = record.split_first_chunk().ok_or("it has no length")?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (facts, octets) = rest.split_at_checked(length).ok_or("its facts are not whole")?;
        let facts: EntryFacts = serde_json::from_slice(facts).map_err(|error| error.to_string())?;
        let mut reader = OctetReader { octets, contents: HashMap::new(), directory };
        let messages = facts.messages.into_iter().map(|message| reader.message(message)).collect::<Result<Vec<_>, _>>()?;
        let lease_ms = facts.lease_ms;
        Ok(match facts.settled {
            None => Self::Arrived { messages, lease_ms },
            Some(settled) => Self::Settled { settlement: settlement(settled, messages), lease_ms },
        })
    }
}

/// Appends the length of the facts, the facts, and behind them the added fields of each message and each content once.
fn write(facts: &EntryFacts, messages: &[NewMessage], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    // Text, numbers and lists always become JSON, and memory takes every octet.
    let _ = serde_json::to_writer(&mut *out, facts);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    let in_memory = |new: &NewMessage| if new.content.file.is_none() { new.content.front().len() } else { 0 };
    out.reserve(messages.iter().map(|new| new.message.prefix.len() + in_memory(new)).sum());
    for (place, new) in messages.iter().enumerate() {
        out.extend_from_slice(&new.message.prefix);
        let is_first = !messages.iter().take(place).any(|earlier| earlier.content.id == new.content.id);
        if is_first && new.content.file.is_none() {
            out.extend_from_slice(new.content.front());
        }
    }
}

fn message_facts(new: &NewMessage) -> MessageFacts {
    let m = &new.message;
    let in_file = new.content.file.is_some();
    // The record's own CRC-32 covers content in memory.
    let crc = if in_file { new.content.crc() } else { None };
    MessageFacts {
        id: m.id.0,
        content: ContentFacts { id: new.content.id.0, size_bytes: new.content.size_bytes(), in_file, crc },
        flow: m.flow.as_str().to_owned(),
        from: m.reverse_path.to_bare(),
        rewritten: m.rewritten_path.as_ref().map(ReversePath::to_bare),
        may_report: m.may_report,
        mendable: m.mendable,
        eight_bit: m.body == Body::EightBit,
        smtputf8: m.smtputf8,
        ret_full: m.ret.map(|ret| ret == Ret::Full),
        envid: m.envid.clone(),
        tls: m.tls as u8,
        arrived_ms: m.arrived_ms,
        expires_ms: m.expires_ms,
        delay_reported: m.delay_reported,
        prefix_bytes: m.prefix.len(),
        recipients: new.recipients.iter().map(recipient_facts).collect(),
        claimed: new.claimed,
        held: new.held.clone(),
    }
}

fn recipient_facts(recipient: &NewRecipient) -> RecipientFacts {
    RecipientFacts {
        to: recipient.mailbox.to_string(),
        known_as: recipient.known_as.as_ref().map(ToString::to_string),
        notify: recipient.notify.to_parameter(),
        orcpt: recipient.orcpt.as_ref().map(|orcpt| [orcpt.kind.clone(), orcpt.address.clone()]),
    }
}

fn result_facts(result: &Disposition) -> ResultFacts {
    match result {
        Disposition::Done => ResultFacts::Done,
        Disposition::Deferred { next_attempt_ms, status: EnhancedCode(class, subject, detail), reason, counts } => ResultFacts::Deferred {
            next_ms: *next_attempt_ms,
            status: (*class, *subject, *detail),
            reason: reason.clone(),
            counts: *counts,
        },
        Disposition::SetAside { reason } => ResultFacts::Aside(reason.clone()),
    }
}

fn failed_facts(failed: &FailedDelivery) -> FailedFacts {
    let FailedDelivery { message, at_ms, from, to, target, status, reason } = failed.clone();
    FailedFacts { id: message.0, at_ms, words: [from, to, target, status, reason] }
}

fn settlement(facts: SettledFacts, follow: Vec<NewMessage>) -> Settlement {
    let disposition = |result| match result {
        ResultFacts::Done => Disposition::Done,
        ResultFacts::Deferred { next_ms, status: (class, subject, detail), reason, counts } => {
            Disposition::Deferred { next_attempt_ms: next_ms, status: EnhancedCode(class, subject, detail), reason, counts }
        }
        ResultFacts::Aside(reason) => Disposition::SetAside { reason },
    };
    let failed = |FailedFacts { id, at_ms, words: [from, to, target, status, reason] }| FailedDelivery {
        message: QueueId(id),
        at_ms,
        from,
        to,
        target,
        status,
        reason,
    };
    Settlement {
        recipients: facts
            .results
            .into_iter()
            .map(|(id, index, result)| (RecipientKey { message: QueueId(id), index }, disposition(result)))
            .collect(),
        delay_reported: facts.delay_reported.into_iter().map(QueueId).collect(),
        follow,
        failed: facts.failed.into_iter().map(failed).collect(),
        lease: Lease::default(),
    }
}

/// Reads the octets behind the facts, in the order of the messages.
struct OctetReader<'a> {
    octets: &'a [u8],
    /// The contents that were read: the targets of an alias share one.
    contents: HashMap<i64, Content>,
    directory: &'a Path,
}

impl OctetReader<'_> {
    fn take(&mut self, n: usize) -> Result<Bytes, String> {
        let (taken, rest) = self.octets.split_at_checked(n).ok_or("its octets are not whole")?;
        self.octets = rest;
        Ok(Bytes::copy_from_slice(taken))
    }

    fn content(&mut self, facts: &ContentFacts) -> Result<Content, String> {
        if let Some(known) = self.contents.get(&facts.id) {
            return Ok(known.clone());
        }
        let id = QueueId(facts.id);
        let content = if facts.in_file {
            Content::in_file(id, (facts.size_bytes, facts.crc), Bytes::new(), LocalFile::kept(self.directory.join(id.to_string())))
        } else {
            Content::memory(id, self.take(usize::try_from(facts.size_bytes).unwrap_or(usize::MAX))?)
        };
        self.contents.insert(facts.id, content.clone());
        Ok(content)
    }

    fn message(&mut self, facts: MessageFacts) -> Result<NewMessage, String> {
        let prefix = self.take(facts.prefix_bytes)?;
        let content = self.content(&facts.content)?;
        let path = |text: &str| ReversePath::parse_bare(text).map_err(|error| format!("{error}: {text:?}"));
        let tls = [TlsWish::AsPublished, TlsWish::Required, TlsWish::Optional].into_iter().find(|wish| *wish as u8 == facts.tls);
        let message = Message {
            id: QueueId(facts.id),
            flow: Flow::parse(&facts.flow).ok_or_else(|| format!("flow {:?}", facts.flow))?,
            reverse_path: path(&facts.from)?,
            rewritten_path: facts.rewritten.as_deref().map(path).transpose()?,
            may_report: facts.may_report,
            mendable: facts.mendable,
            body: if facts.eight_bit { Body::EightBit } else { Body::SevenBit },
            smtputf8: facts.smtputf8,
            ret: facts.ret_full.map(|full| if full { Ret::Full } else { Ret::Headers }),
            envid: facts.envid,
            tls: tls.ok_or_else(|| format!("TLS request {}", facts.tls))?,
            arrived_ms: facts.arrived_ms,
            expires_ms: facts.expires_ms,
            delay_reported: facts.delay_reported,
            prefix,
        };
        let recipients = facts.recipients.into_iter().map(recipient).collect::<Result<_, _>>()?;
        Ok(NewMessage { message, content, recipients, claimed: facts.claimed, held: facts.held })
    }
}

fn recipient(facts: RecipientFacts) -> Result<NewRecipient, String> {
    let mailbox = |text: &str| Mailbox::parse(text).map_err(|error| format!("{error}: {text:?}"));
    Ok(NewRecipient {
        mailbox: mailbox(&facts.to)?,
        known_as: facts.known_as.as_deref().map(mailbox).transpose()?,
        notify: facts.notify.map_or(Ok(Notify::default()), |n| Notify::parse(&n).ok_or_else(|| format!("notify {n:?}")))?,
        orcpt: facts.orcpt.map(|[kind, address]| OriginalRecipient { kind, address }),
    })
}
