//! Messages with their number: prebuilt octets for benchmarks, and content that proves itself for campaigns.
//!
//! Every message has a field `X-Load: RUN NUMBER SENT DIGEST`: the number of the run, that of the message, when it was sent (nanoseconds of this process's
//! clock) and the SHA-256 of its body, or `-`. Servers add fields above and change no body, so that the sink can judge what arrives.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use memchr::memmem;

/// The field with the message's number.
pub const FIELD: &str = "X-Load: ";

/// The end of content (RFC 5321 s.4.1.1.4).
pub const END: &[u8] = b"\r\n.\r\n";

const LINE_BYTES: usize = 78;
const BLOCK_LINES: usize = 32 * 1024;

/// Maximum octets of a message.
pub const BYTES_MAX: usize = 48 << 20;

/// What most messages are taken from; it is made in a few milliseconds.
static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| lines(BLOCK_LINES));

/// What larger messages are taken from.
static LARGE_BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| lines(BYTES_MAX / LINE_BYTES));

/// Lines of letters, a few of which begin with a dot, in their form on the wire (two dots).
fn lines(number: usize) -> Vec<u8> {
    let mut block = Vec::with_capacity(number * LINE_BYTES);
    let mut state = 12_345_u32;
    for line in 0..number {
        let dots = if line % 97 == 5 { 2 } else { 0 };
        block.extend(std::iter::repeat_n(b'.', dots));
        for _ in dots..LINE_BYTES - 2 {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            block.push(b'a' + u8::try_from((state >> 16) % 26).unwrap_or_default());
        }
        block.extend_from_slice(b"\r\n");
    }
    block
}

/// The field's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The run: a cell of a benchmark, or a campaign.
    pub run: u64,
    /// The message.
    pub number: u64,
    /// When it was sent, in nanoseconds of the process's clock.
    pub sent_ns: u64,
    /// SHA-256 of the body in hexadecimal, or `-`.
    pub digest: String,
}

impl Mark {
    /// Finds the field in a header section.
    pub fn find(header: &[u8]) -> Option<Self> {
        let at = memmem::find(header, FIELD.as_bytes())? + FIELD.len();
        let rest = header.get(at..)?;
        let line = rest.get(..memchr::memchr(b'\r', rest)?)?;
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let mut number = || words.next()?.parse().ok();
        Some(Self { run: number()?, number: number()?, sent_ns: number()?, digest: words.next()?.to_owned() })
    }
}

/// A message on the wire: its own octets, then lines of the shared block, then the end of content.
#[derive(Debug)]
pub struct Message {
    /// The reverse-path.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// The header section, and what of the body is its own.
    pub head: Vec<u8>,
    /// Octets of the shared block that follow.
    pub block_bytes: usize,
}

impl Message {
    /// Builds a message of about `bytes` octets. With `proof` it has the digest of its body.
    pub fn new(from: &str, to: &[&str], run: u64, number: u64, bytes: usize, proof: bool) -> Self {
        let own = format!("number {number} of run {run}\r\n");
        let block_bytes = bytes.min(BYTES_MAX).saturating_sub(340) / LINE_BYTES * LINE_BYTES;
        let digest = if proof { hex(&unstuffed(&[own.as_bytes(), block(block_bytes)].concat())) } else { "-".to_owned() };
        let head = format!(
            "From: <{from}>\r\nTo: <{}>\r\nSubject: load {run}-{number}\r\nDate: Sat, 28 Nov 2026 10:00:00 +0000\r\n\
             Message-ID: <{run}.{number}@origin.test>\r\n{FIELD}{run} {number} {} {digest}\r\n\r\n{own}",
            to.first().unwrap_or(&"undisclosed"),
            now_ns(),
        );
        let to = to.iter().map(|to| (*to).to_owned()).collect();
        Self { from: from.to_owned(), to, head: head.into_bytes(), block_bytes }
    }

    /// The shared lines of its body.
    pub fn block(&self) -> &'static [u8] {
        block(self.block_bytes)
    }

    /// The content as `BDAT` carries it: without the dots of the wire.
    pub fn unstuffed(&self) -> Vec<u8> {
        unstuffed(&[self.head.as_slice(), self.block()].concat())
    }
}

fn block(bytes: usize) -> &'static [u8] {
    let block = if bytes > BLOCK_LINES * LINE_BYTES { &LARGE_BLOCK } else { &BLOCK };
    block.get(..bytes).unwrap_or_default()
}

/// Content without the dot that was added to each line that begins with one (RFC 5321 s.4.5.2).
pub fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(wire.len());
    let mut rest = wire.strip_prefix(b".").unwrap_or(wire);
    while let Some(at) = memmem::find(rest, b"\r\n.") {
        content.extend_from_slice(rest.get(..at + 2).unwrap_or_default());
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    content.extend_from_slice(rest);
    content
}

/// SHA-256 in hexadecimal.
pub fn hex(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    digest(&SHA256, octets).as_ref().iter().fold(String::with_capacity(64), |mut hex, octet| {
        let _ = write!(hex, "{octet:02x}");
        hex
    })
}

/// Nanoseconds since this process first asked.
pub fn now_ns() -> u64 {
    static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_digest_of_its_field() {
        let message = Message::new("a@x.test", &["b@y.test"], 7, 9, 100_000, true);
        let content = message.unstuffed();
        let split = memmem::find(&content, b"\r\n\r\n").unwrap();
        let mark = Mark::find(&content[..split + 2]).unwrap();
        assert_eq!((mark.run, mark.number), (7, 9));
        assert_eq!(hex(&content[split + 4..]), mark.digest);
        assert!((95_000..105_000).contains(&content.len()), "{}", content.len());
        assert!(memmem::find(&content, b"\r\n.").is_some(), "no line begins with a dot");
    }

    #[test]
    fn dots_at_the_start_of_lines_are_removed_once() {
        assert_eq!(unstuffed(b"..a\r\n..\r\nb.c\r\n...d\r\n"), b".a\r\n.\r\nb.c\r\n..d\r\n");
    }

    #[test]
    fn content_without_the_field_has_no_mark() {
        assert_eq!(Mark::find(b"Subject: x\r\nX-Load: 1 2\r\n"), None);
        assert_eq!(Mark::find(b""), None);
    }
}
