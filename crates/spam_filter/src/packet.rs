//! Packets of the milter protocol, version 6, on the mail server's side.
//!
//! There is no RFC; libmilter's `mfdef.h` is the reference. Invariant: no IO, and a claimed length is checked before memory is allocated for it.

use std::net::IpAddr;

use bytes::{Buf, Bytes, BytesMut};
use mail::Fields;

use crate::facts::Facts;

/// The protocol version.
const VERSION: u32 = 6;

/// Maximum packet from a filter, in octets: 64 KiB of replacement body, and some more.
const PACKET_MAX_BYTES: usize = 70_000;

/// Maximum piece of the body in a packet, in octets.
const CHUNK_MAX_BYTES: usize = 65_535;

/// The offered actions: to add and change header fields and replace the body, which are ignored, and to quarantine. OpenDKIM, spamass-milter and most
/// others close the connection if an action that they demand is missing. Changes of the envelope are not offered: a filter that redirects mail must not
/// believe that it succeeded.
const ACTIONS: u32 = 0x01 | 0x02 | 0x10 | 0x20;

/// What a filter may turn off: every step, every reply, the rest of the body; and whether values keep their leading space.
const STEPS: u32 = 0x001F_F7FF;

/// Values include the space after the colon.
const LEADING_SPACE: u32 = 0x0010_0000;

/// A step of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its command letter.
    pub command: u8,
    /// If this bit is negotiated, the step is skipped.
    skipped_by: u32,
    /// If this bit is negotiated, the filter sends no reply.
    silent_by: u32,
}

const fn step(command: u8, skipped_by: u32, silent_by: u32) -> Step {
    Step { command, skipped_by, silent_by }
}

const CONNECT: Step = step(b'C', 0x1, 0x1000);
const HELLO: Step = step(b'H', 0x2, 0x2000);
const MAIL: Step = step(b'M', 0x4, 0x4000);
const RECIPIENT: Step = step(b'R', 0x8, 0x8000);
const DATA: Step = step(b'T', 0x200, 0x1_0000);
const FIELD: Step = step(b'L', 0x20, 0x80);
const END_OF_FIELDS: Step = step(b'N', 0x40, 0x4_0000);
const BODY: Step = step(b'B', 0x10, 0x8_0000);
const END: Step = step(b'E', 0, 0);

impl Step {
    /// A piece of the body, of which a filter may skip the rest.
    pub fn is_body(self) -> bool {
        self == BODY
    }

    /// The last step.
    pub fn is_end(self) -> bool {
        self == END
    }
}

/// The result of the negotiation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Negotiated {
    steps: u32,
}

impl Negotiated {
    /// Whether the filter wants this step.
    pub fn wants(self, step: Step) -> bool {
        self.steps & step.skipped_by == 0
    }

    /// Whether the filter replies to it.
    pub fn answers(self, step: Step) -> bool {
        self.steps & step.silent_by == 0
    }
}

/// A malformed packet, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(pub String);

/// Takes a packet from the front: its letter and data. `None` if it is not complete yet.
pub(crate) fn take(input: &mut BytesMut) -> Result<Option<(u8, Bytes)>, Malformed> {
    let Some(length) = input.first_chunk::<4>().map(|front| u32::from_be_bytes(*front)) else { return Ok(None) };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length == 0 || length > PACKET_MAX_BYTES {
        return Err(Malformed(format!("a packet of {length} octets")));
    }
    if input.len() < 4 + length {
        return Ok(None);
    }
    input.advance(4);
    let mut packet = input.split_to(length).freeze();
    Ok(Some((packet.get_u8(), packet)))
}

/// A filter's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MilterReply {
    /// Continue.
    Continue,
    /// Accept the message.
    Accept,
    /// Refuse it.
    Reject,
    /// Discard it.
    Discard,
    /// Refuse it temporarily.
    TempFail,
    /// Refuse it with this reply.
    Code(String),
    /// Hold it.
    Quarantine(String),
    /// Skip the rest of the body.
    Skip,
    /// The filter is still working.
    Progress,
    /// Add or change a header field, or replace the body.
    Change,
}

/// Reads a reply.
pub(crate) fn read(letter: u8, data: &[u8]) -> Result<MilterReply, Malformed> {
    let text = || String::from_utf8_lossy(data.split(|b| *b == 0).next().unwrap_or_default()).into_owned();
    Ok(match letter {
        b'c' => MilterReply::Continue,
        b'a' => MilterReply::Accept,
        b'r' => MilterReply::Reject,
        b'd' => MilterReply::Discard,
        // A connection failure or shutdown is no verdict on the message.
        b't' | b'f' | b'4' => MilterReply::TempFail,
        b'y' => MilterReply::Code(text()),
        b'q' => MilterReply::Quarantine(text()),
        b's' => MilterReply::Skip,
        b'p' => MilterReply::Progress,
        b'b' | b'h' | b'i' | b'm' => MilterReply::Change,
        b'e' | b'+' | b'2' | b'-' => return Err(Malformed("it changes the envelope, which was not offered".into())),
        other => return Err(Malformed(format!("an unknown packet, 0x{other:02x}"))),
    })
}

/// The offer that opens a session.
pub(crate) fn offer() -> Vec<u8> {
    let mut data = Vec::with_capacity(12);
    for number in [VERSION, ACTIONS, STEPS] {
        data.extend_from_slice(&number.to_be_bytes());
    }
    packet(b'O', &data)
}

/// Reads the filter's reply to the offer.
pub(crate) fn negotiated(letter: u8, data: &[u8]) -> Result<Negotiated, Malformed> {
    let number = |at: usize| data.get(at..).and_then(|rest| rest.first_chunk::<4>()).map(|bytes| u32::from_be_bytes(*bytes));
    let (b'O', Some(version), Some(_actions), Some(steps)) = (letter, number(0), number(4), number(8)) else {
        return Err(Malformed("no reply to the offer".into()));
    };
    // Some filters name every action that they know, whatever was offered; their packets are checked instead.
    if !(2..=VERSION).contains(&version) || steps & !STEPS != 0 {
        return Err(Malformed(format!("it requests what was not offered: version {version}, steps {steps:#x}")));
    }
    Ok(Negotiated { steps: if version < 4 { steps | DATA.skipped_by } else { steps } })
}

/// The end of a session.
pub(crate) fn quit() -> Vec<u8> {
    packet(b'Q', b"")
}

/// The steps before the body, in order, each with its packets.
pub(crate) fn opening<'a>(facts: &'a Facts<'a>, header: &'a [u8], negotiated: Negotiated) -> impl Iterator<Item = (Step, Vec<u8>)> + 'a {
    let recipients = facts.recipients.iter().map(|recipient| (RECIPIENT, packet(b'R', &texts(&[recipient.as_bytes()]))));
    let fields = Fields::new(header).map(move |field| (FIELD, packet(b'L', &texts(&[field.name, &value(field.value, negotiated)]))));
    let envelope = [(CONNECT, connect(facts)), (HELLO, packet(b'H', &texts(&[facts.hello.as_bytes()]))), (MAIL, mail(facts))];
    let alone = |step: Step| std::iter::once((step, packet(step.command, b"")));
    envelope.into_iter().chain(recipients).chain(alone(DATA)).chain(fields).chain(alone(END_OF_FIELDS))
}

/// A piece of the body.
pub(crate) fn body(piece: &[u8]) -> impl Iterator<Item = (Step, Vec<u8>)> {
    piece.chunks(CHUNK_MAX_BYTES).map(|chunk| (BODY, packet(b'B', chunk)))
}

/// The last step.
pub(crate) fn end() -> (Step, Vec<u8>) {
    (END, packet(b'E', b""))
}

fn connect(facts: &Facts<'_>) -> Vec<u8> {
    let address = facts.client.to_string();
    let name = facts.client_name.map_or_else(|| format!("[{address}]"), ToOwned::to_owned);
    let mut out = macros(
        b'C',
        &[
            ("j", facts.hostname.as_str()),
            ("{daemon_name}", facts.hostname.as_str()),
            ("{client_addr}", &address),
            ("{client_name}", &name),
        ],
    );
    let mut data = texts(&[name.as_bytes()]);
    data.push(if matches!(facts.client, IpAddr::V4(_)) { b'4' } else { b'6' });
    // The client's port is not known.
    data.extend_from_slice(&0u16.to_be_bytes());
    data.extend_from_slice(&texts(&[address.as_bytes()]));
    out.extend_from_slice(&packet(b'C', &data));
    out
}

fn mail(facts: &Facts<'_>) -> Vec<u8> {
    let (id, from) = (facts.id.to_string(), facts.reverse_path.to_string());
    let mut values = vec![("i", id.as_str()), ("{mail_addr}", from.trim_start_matches('<').trim_end_matches('>'))];
    values.extend(facts.login.map(|login| ("{auth_authen}", login)));
    let mut out = macros(b'M', &values);
    out.extend_from_slice(&packet(b'M', &texts(&[from.as_bytes()])));
    out
}

/// Lines end with LF within a value, as from Sendmail and Postfix.
fn value(value: &[u8], negotiated: Negotiated) -> Vec<u8> {
    let value = if negotiated.steps & LEADING_SPACE == 0 { value.strip_prefix(b" ").unwrap_or(value) } else { value };
    value.iter().copied().filter(|b| *b != b'\r').collect()
}

fn macros(command: u8, values: &[(&str, &str)]) -> Vec<u8> {
    let mut data = vec![command];
    for (name, value) in values {
        data.extend_from_slice(&texts(&[name.as_bytes(), value.as_bytes()]));
    }
    packet(b'D', &data)
}

/// NUL-terminated texts; NUL within is removed.
fn texts(texts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(texts.iter().map(|text| text.len() + 1).sum());
    for text in texts {
        out.extend(text.iter().copied().filter(|b| *b != 0));
        out.push(0);
    }
    out
}

fn packet(letter: u8, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 5);
    out.extend_from_slice(&u32::try_from(data.len() + 1).unwrap_or(u32::MAX).to_be_bytes());
    out.push(letter);
    out.extend_from_slice(data);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::sample;
    use mail::{Domain, ReversePath, header_len};
    use proptest::prelude::*;

    fn all(message: &[u8], negotiated: Negotiated) -> Vec<(u8, Vec<u8>)> {
        let (hostname, null) = (Domain::parse("mx.example.test").unwrap(), ReversePath::Null);
        let facts = sample(&hostname, &null);
        let steps = opening(&facts, message, negotiated).chain(body(message.get(header_len(message)..).unwrap_or_default())).chain([end()]);
        let bytes: Vec<u8> = steps.filter(|(step, _)| negotiated.wants(*step)).flat_map(|(_, bytes)| bytes).collect();
        let mut input = BytesMut::from(bytes.as_slice());
        std::iter::from_fn(|| take(&mut input).unwrap()).map(|(letter, data)| (letter, data.to_vec())).collect()
    }

    #[test]
    fn steps_are_sent_in_order() {
        let message = [b"Subject: a\r\n\tb\r\nX:y\r\n\r\n".as_slice(), &[b'z'; 70_000]].concat();
        let sent = all(&message, Negotiated { steps: 0 });
        let letters: String = sent.iter().map(|(letter, _)| char::from(*letter)).collect();
        assert_eq!(letters, "DCHDMRRTLLNBBE");
        assert_eq!(sent[1].1, b"[192.0.2.1]\x004\x00\x00192.0.2.1\x00");
        assert_eq!((sent[4].1.as_slice(), sent[5].1.as_slice()), (b"<>\0".as_slice(), b"<me@example.test>\0".as_slice()));
        assert_eq!((sent[8].1.as_slice(), sent[9].1.as_slice()), (b"Subject\0a\n\tb\0".as_slice(), b"X\0y\0".as_slice()));
        assert_eq!((sent[11].1.len(), sent[12].1.len()), (65_535, 70_000 - 65_535));
        let fewer = all(&message, negotiated(b'O', &[0, 0, 0, 3, 0, 0, 0, 0, 0, 0x10, 0, 0x1f]).unwrap());
        assert_eq!(fewer.iter().map(|(letter, _)| char::from(*letter)).collect::<String>(), "LLNE");
        assert_eq!(fewer[0].1, b"Subject\0 a\n\tb\0");
    }

    #[test]
    fn a_reply_beyond_the_offer_is_an_error() {
        let answer = |version: u32, actions: u32, steps: u32| {
            negotiated(b'O', &[version, actions, steps].into_iter().flat_map(u32::to_be_bytes).collect::<Vec<_>>()).is_ok()
        };
        assert!(answer(6, 0x1ff, 0x400) && answer(2, 0, 0));
        assert!(!answer(7, 0, 0) && !answer(1, 0, 0) && !answer(6, 0, 0x800) && !answer(6, 0, 1 << 31));
        assert!(negotiated(b'O', &[0; 11]).is_err() && negotiated(b'c', &[0; 12]).is_err());
    }

    #[test]
    fn packet_lengths_are_bounded() {
        for length in [0u32, 70_001, u32::MAX] {
            assert!(take(&mut BytesMut::from(length.to_be_bytes().as_slice())).is_err(), "{length}");
        }
        assert_eq!(take(&mut BytesMut::from(b"\0\0\0\x02c".as_slice())), Ok(None));
        assert_eq!(read(b'y', b"550 5.7.1 no\0more"), Ok(MilterReply::Code("550 5.7.1 no".into())));
        assert_eq!(read(b'4', b""), Ok(MilterReply::TempFail));
        assert!(read(b'O', b"").is_err() && read(b'-', b"<me@example.test>").is_err());
        assert_eq!(read(b'b', b"another body"), Ok(MilterReply::Change));
    }

    proptest! {
        #[test]
        fn any_octets_are_packets_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300), small in any::<bool>()) {
            let mut bytes = bytes;
            if small && let Some(front) = bytes.first_chunk_mut::<3>() {
                *front = [0; 3];
            }
            let mut input = BytesMut::from(bytes.as_slice());
            while let Ok(Some((letter, data))) = take(&mut input) {
                prop_assert!(data.len() < PACKET_MAX_BYTES);
                let _ = (read(letter, &data), negotiated(letter, &data));
            }
        }

        #[test]
        fn any_message_can_be_sent(message in proptest::collection::vec(any::<u8>(), 0..300), steps in any::<u32>()) {
            for (letter, data) in all(&message, Negotiated { steps }) {
                prop_assert!(data.len() <= CHUNK_MAX_BYTES, "{letter}");
            }
        }
    }
}
