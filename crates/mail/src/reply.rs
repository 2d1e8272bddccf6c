//! A reply: three digits, an enhanced code, and lines of text.
//!
//! RFC 5321 s.4.2, RFC 2034 and RFC 3463. Invariant: a reply's text contains no CR, LF or other
//! control character except the `\n` between its lines, whether it is ours or a peer's.

use std::borrow::Cow;
use std::fmt;

/// An enhanced mail system status code, `5.1.1` (RFC 3463).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl EnhancedCode {
    /// Reads `5.1.1`; only classes 2, 4 and 5 are codes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
        let number = |t: &str| (t.len() <= 3 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse().ok()).flatten();
        if parts.next().is_some() || !matches!(class, "2" | "4" | "5") {
            return None;
        }
        Some(Self(class.parse().ok()?, number(subject)?, number(detail)?))
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A server's reply to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The reply code.
    pub code: u16,
    /// The enhanced code, if there is one.
    pub enhanced: Option<EnhancedCode>,
    text: Cow<'static, str>,
}

impl Reply {
    /// A reply with an enhanced code, given as three numbers.
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: impl Into<Cow<'static, str>>) -> Self {
        let (class, subject, detail) = enhanced;
        Self { code, enhanced: Some(EnhancedCode(class, subject, detail)), text: clean(text.into()) }
    }

    /// A reply without an enhanced code: greetings, EHLO, 334 and 354.
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: None, text: clean(text.into()) }
    }

    /// A reply read from a peer: an enhanced code of the same class is removed from the start of the text.
    pub fn from_wire(code: u16, text: &str) -> Self {
        let (first, rest) = text.split_once([' ', '\n']).unwrap_or((text, ""));
        let enhanced = EnhancedCode::parse(first).filter(|e| u16::from(e.0) == code / 100);
        let text = if enhanced.is_some() { rest } else { text };
        Self { code, enhanced, text: clean(Cow::Owned(text.to_owned())) }
    }

    /// The text; lines are separated by `\n`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// 2xx.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 5xx.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// Appends the wire form, each line with CRLF.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let separator = if lines.peek().is_some() { b'-' } else { b' ' };
            out.extend_from_slice(self.code.to_string().as_bytes());
            out.push(separator);
            if let Some(enhanced) = self.enhanced {
                out.extend_from_slice(enhanced.to_string().as_bytes());
                out.push(b' ');
            }
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Replaces control characters, so that no text can end a line early or control a terminal.
fn clean(text: Cow<'static, str>) -> Cow<'static, str> {
    if text.chars().any(|c| c.is_control() && c != '\n') {
        Cow::Owned(text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect())
    } else {
        text
    }
}

/// One line, as in logs and DSNs: `550 5.1.1 no such user`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        for line in self.text.split('\n') {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_written_line_by_line() {
        let mut out = Vec::new();
        Reply::new(550, (5, 1, 1), "no such\nuser").write_to(&mut out);
        assert_eq!(out, b"550-5.1.1 no such\r\n550 5.1.1 user\r\n");
    }

    #[test]
    fn remote_text_cannot_end_a_line() {
        let reply = Reply::from_wire(550, "5.7.1 go\r\n250 ok\x1b[2J away");
        assert_eq!(reply.enhanced, Some(EnhancedCode(5, 7, 1)));
        assert!(!reply.to_string().contains(['\r', '\n', '\x1b']));
        assert_eq!(Reply::from_wire(450, "5.7.1 odd").enhanced, None);
    }
}
