//! Parses the peer's replies.
//!
//! RFC 5321 s.4.2. Invariant: a reply costs at most 64 KiB and 128 lines, and its text has no line ends of its own.

use bytes::BytesMut;
use mail::{EnhancedCode, Reply};
use memchr::memchr;

const REPLY_LIMIT_BYTES: usize = 65_536;
const REPLY_LIMIT_LINES: usize = 128;

/// Assembles the lines of a reply.
#[derive(Debug, Default)]
pub(super) struct ReplyReader {
    scanned: usize,
    size_bytes: usize,
    lines: usize,
    code: Option<u16>,
    text: String,
}

impl ReplyReader {
    /// Takes the next whole reply from `input`. The error says how the peer violated the protocol.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Reply>, &'static str> {
        loop {
            let Some(found) = memchr(b'\n', input.get(self.scanned..).unwrap_or_default()) else {
                self.scanned = input.len();
                return if self.size_bytes + input.len() > REPLY_LIMIT_BYTES {
                    Err("the reply is longer than 64 KiB or 128 lines")
                } else {
                    Ok(None)
                };
            };
            let line = input.split_to(self.scanned + found + 1);
            self.scanned = 0;
            self.size_bytes += line.len();
            self.lines += 1;
            if self.size_bytes > REPLY_LIMIT_BYTES || self.lines > REPLY_LIMIT_LINES {
                return Err("the reply is longer than 64 KiB or 128 lines");
            }
            if let Some(reply) = self.add_line(&line)? {
                *self = Self::default();
                return Ok(Some(reply));
            }
        }
    }

    fn add_line(&mut self, line: &[u8]) -> Result<Option<Reply>, &'static str> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        // Some peers end lines with a bare LF.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (digits, rest) = line.split_at_checked(3).ok_or("reply without a code")?;
        let code = digits.iter().try_fold(0_u16, |code, digit| digit.is_ascii_digit().then(|| code * 10 + u16::from(digit - b'0')));
        let code = code.filter(|code| (200..600).contains(code)).ok_or("reply without a valid code")?;
        if self.code.is_some_and(|first| first != code) {
            return Err("reply lines with different codes");
        }
        let (last, text) = match rest {
            [] => (true, rest),
            [b' ', text @ ..] => (true, text),
            [b'-', text @ ..] => (false, text),
            _ => return Err("reply without a valid code"),
        };
        let text = String::from_utf8_lossy(text);
        if self.code.is_some() {
            self.text.push('\n');
            self.text.push_str(without_enhanced_code(&text, code));
        } else {
            self.text.push_str(&text);
        }
        self.code = Some(code);
        Ok(last.then(|| Reply::from_wire(code, &self.text)))
    }
}

/// Removes the enhanced code of a further line; `Reply` keeps that of the first.
fn without_enhanced_code(line: &str, code: u16) -> &str {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    match EnhancedCode::parse(first) {
        Some(enhanced) if u16::from(enhanced.0) == code / 100 => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Reply>, &'static str> {
        ReplyReader::default().next(&mut BytesMut::from(text.as_bytes()))
    }

    #[test]
    fn multiline_replies_are_joined() {
        let reply = read("550-5.1.1 no such\r\n550 5.1.1 user\r\n").unwrap().unwrap();
        assert_eq!(reply, Reply::new(550, (5, 1, 1), "no such\nuser"));
        assert_eq!(read("250\n").unwrap().unwrap(), Reply::plain(250, ""));
        assert_eq!(read("250-a\r\n250 b").unwrap(), None);
    }

    #[test]
    fn malformed_replies_are_errors() {
        let lines = "250-a\r\n".repeat(129);
        let long = "250 ".to_owned() + &"a".repeat(70_000);
        for bad in ["\r\n", "25\r\n", "2x0 a\r\n", "999 a\r\n", "199 a\r\n", "250_a\r\n", "250-a\r\n251 b\r\n", &lines, &long] {
            assert!(read(bad).is_err(), "{bad:.20}");
        }
    }
}
