//! The framing of DATA: adds dot stuffing to outgoing content, and removes it from incoming content.
//!
//! RFC 5321 s.4.5.2 and s.2.3.8, RFC 6409 s.8. Invariant: only CRLF.CRLF ends content. Accepted content has no bare CR, bare
//! LF or NUL, and no bare CR or LF is sent. Where bare LF is repaired, a lone dot next to one is refused: it could be meant as the end.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr2, memchr3};

/// Where [`Unstuffer::take`] stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unstuffed {
    /// At the end of the input, or before octets that need the next one to be understood.
    More,
    /// After the final dot; commands follow in the input.
    End,
    /// At a bare CR, bare LF or NUL. [`Unstuffer::skip`] finds the end.
    Forbidden,
}

/// Extracts content from the input after DATA.
#[derive(Debug)]
pub struct Unstuffer {
    line_start: bool,
    repairs: bool,
    /// Whether the line before ended with a bare LF.
    after_lf: bool,
}

/// A change to the input.
enum Edit {
    /// Remove a stuffed dot.
    Dot(usize),
    /// Replace a bare LF with CRLF.
    BareLf(usize),
}

/// Where the scan of one input stopped.
struct Scan {
    used: usize,
    found: Unstuffed,
}

impl Default for Unstuffer {
    fn default() -> Self {
        Self { line_start: true, repairs: false, after_lf: false }
    }
}

impl Unstuffer {
    /// For content from mail clients: converts bare LF to CRLF.
    pub fn repairing() -> Self {
        Self { repairs: true, ..Self::default() }
    }

    /// Takes all content from the front of `input`. Copies nothing if no dot is stuffed.
    pub fn take(&mut self, input: &mut BytesMut) -> (Bytes, Unstuffed) {
        let mut unstuffed: Option<BytesMut> = None;
        let mut kept = 0;
        let Scan { used, found } = self.scan(input, true, |edit| {
            let copy = unstuffed.get_or_insert_with(|| BytesMut::with_capacity(input.len() + input.len() / 32));
            let (Edit::Dot(at) | Edit::BareLf(at)) = edit;
            copy.extend_from_slice(input.get(kept..at).unwrap_or_default());
            if matches!(edit, Edit::BareLf(_)) {
                copy.extend_from_slice(b"\r\n");
            }
            kept = at + 1;
        });
        let end = if found == Unstuffed::End { used.saturating_sub(3) } else { used };
        let content = match unstuffed {
            Some(mut copy) => {
                copy.extend_from_slice(input.get(kept..end).unwrap_or_default());
                copy.freeze()
            }
            None => input.split_to(end).freeze(),
        };
        let taken_by_split = if kept == 0 { end } else { 0 };
        input.advance((used - taken_by_split).min(input.len()));
        (content, found)
    }

    /// Discards content up to its end.
    pub fn skip(&mut self, input: &mut BytesMut) -> Unstuffed {
        let Scan { used, found } = self.scan(input, false, |_| {});
        input.advance(used.min(input.len()));
        found
    }

    fn scan(&mut self, input: &[u8], strict: bool, mut edit: impl FnMut(Edit)) -> Scan {
        let mut at = 0;
        loop {
            if self.line_start {
                match input.get(at..).unwrap_or_default() {
                    [] | [b'.'] | [b'.', b'\r'] => return Scan { used: at, found: Unstuffed::More },
                    [b'.', b'\r', b'\n', ..] if !self.after_lf => {
                        return Scan { used: at + 3, found: Unstuffed::End };
                    }
                    [b'.', b'\r' | b'\n', ..] if strict => {
                        self.line_start = false;
                        return Scan { used: at + 1, found: Unstuffed::Forbidden };
                    }
                    // A program that sends bare LF may not stuff dots; one that does sends two.
                    [b'.', next, ..] if !self.after_lf || *next == b'.' => {
                        edit(Edit::Dot(at));
                        at += 1;
                    }
                    _ => {}
                }
                (self.line_start, self.after_lf) = (false, false);
            }
            let rest = input.get(at..).unwrap_or_default();
            let Some(found) = memchr3(b'\r', b'\n', 0, rest) else {
                return Scan { used: input.len(), found: Unstuffed::More };
            };
            match rest.get(found..).unwrap_or_default() {
                [b'\r'] => return Scan { used: at + found, found: Unstuffed::More },
                [b'\r', b'\n', ..] => {
                    at += found + 2;
                    self.line_start = true;
                }
                [b'\n', ..] if strict && self.repairs => {
                    edit(Edit::BareLf(at + found));
                    at += found + 1;
                    (self.line_start, self.after_lf) = (true, true);
                }
                _ if strict => return Scan { used: at + found + 1, found: Unstuffed::Forbidden },
                _ => at += found + 1,
            }
        }
    }
}

/// Writes content for DATA: with dot stuffing, CRLF line ends and the final dot.
#[derive(Debug)]
pub struct Stuffer {
    line_start: bool,
    after_cr: bool,
}

impl Default for Stuffer {
    fn default() -> Self {
        Self { line_start: true, after_cr: false }
    }
}

impl Stuffer {
    /// Appends a piece of content to `out`, in runs that are as long as possible.
    pub fn write(&mut self, mut content: &[u8], out: &mut Vec<u8>) {
        out.reserve(content.len() + 16);
        if self.after_cr && !content.is_empty() {
            self.end_line(out);
            content = content.strip_prefix(b"\n").unwrap_or(content);
        }
        // What is copied at once, and where the scan is.
        let (mut run, mut at) = (0, 0);
        let copy = |from: usize, to: usize, out: &mut Vec<u8>| out.extend_from_slice(content.get(from..to).unwrap_or_default());
        while let Some(first) = content.get(at) {
            if self.line_start && *first == b'.' {
                copy(run, at, out);
                out.push(b'.');
                run = at;
            }
            self.line_start = false;
            let rest = content.get(at..).unwrap_or_default();
            let Some(plain) = memchr2(b'\r', b'\n', rest) else { break };
            at += plain;
            match rest.get(plain..).unwrap_or_default() {
                [b'\r', b'\n', ..] => {
                    at += 2;
                    self.line_start = true;
                    continue;
                }
                [b'\r'] => {
                    copy(run, at, out);
                    self.after_cr = true;
                    return;
                }
                _ => {}
            }
            copy(run, at, out);
            self.end_line(out);
            at += 1;
            run = at;
        }
        copy(run, content.len(), out);
    }

    /// Terminates the last line if needed, and writes the final dot.
    pub fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.line_start { b".\r\n" } else { b"\r\n.\r\n" });
    }

    // A CR is held back until the next octet shows whether it is part of a CRLF; a whole CRLF is sent either way.
    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.after_cr = false;
        self.line_start = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuffed(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut stuffer, mut out) = (Stuffer::default(), Vec::new());
        for piece in pieces {
            stuffer.write(piece, &mut out);
        }
        stuffer.finish(&mut out);
        out
    }

    #[test]
    fn dots_are_stuffed_and_line_ends_become_crlf() {
        assert_eq!(stuffed(&[b""]), b".\r\n");
        assert_eq!(stuffed(&[b".\r\n", b"..a\r", b"\n.b"]), b"..\r\n...a\r\n..b\r\n.\r\n");
        assert_eq!(stuffed(&[b"a\n.\nb\r", b".\rc"]), b"a\r\n..\r\nb\r\n..\r\nc\r\n.\r\n");
        assert_eq!(stuffed(&[b"a\r"]), b"a\r\n.\r\n");
        assert_eq!(stuffed(&[b"\n"]), b"\r\n.\r\n");
    }

    #[test]
    fn only_crlf_dot_crlf_ends_content() {
        for look_alike in [
            "\n.\n",
            "\n.\r\n",
            "\r\n.\n",
            "\r.\r",
            "\r.\n",
            "\n.\r",
            "\r\n.\r",
            "\r.\r\n",
            "\r\n.\r\r\n",
            "\r\0\n.\r\n",
            "\r\n\0.\r\n",
            "\r\n.\0\r\n",
        ] {
            let mut input = BytesMut::from(format!("a{look_alike}b\r\n.\r\nNOOP\r\n").as_bytes());
            let mut unstuffer = Unstuffer::default();
            assert_eq!(unstuffer.take(&mut input).1, Unstuffed::Forbidden, "{look_alike:?}");
            assert_eq!(unstuffer.skip(&mut input), Unstuffed::End, "{look_alike:?}");
            assert_eq!(input, b"NOOP\r\n"[..], "{look_alike:?}");
        }
    }

    fn repaired(input: &str, size: usize) -> Option<String> {
        let (mut unstuffer, mut waiting, mut content) = (Unstuffer::repairing(), BytesMut::new(), Vec::new());
        for piece in input.as_bytes().chunks(size) {
            waiting.extend_from_slice(piece);
            let (taken, found) = unstuffer.take(&mut waiting);
            match found {
                Unstuffed::More => content.extend_from_slice(&taken),
                Unstuffed::Forbidden => return None,
                Unstuffed::End => {
                    content.extend_from_slice(&taken);
                    return Some(String::from_utf8(content).unwrap());
                }
            }
        }
        panic!("no end: {input:?}")
    }

    #[test]
    fn bare_lf_is_repaired_unless_ambiguous() {
        for size in [1, 2, 3, 100] {
            for (input, want) in [
                ("a\n\nb\n\r\n.\r\n", Some("a\r\n\r\nb\r\n\r\n")),
                ("a\r\nb\nc\r\n.\r\n", Some("a\r\nb\r\nc\r\n")),
                ("\n\r\n.\r\n", Some("\r\n\r\n")),
                ("a\n..b\n.c\r\n..d\r\n.\r\n", Some("a\r\n.b\r\n.c\r\n.d\r\n")),
                ("a\n..\nb\r\n.\r\n", Some("a\r\n.\r\nb\r\n")),
                ("a\rb\r\n.\r\n", None),
                ("a\r\r\nb\r\n.\r\n", None),
                ("a\0b\r\n.\r\n", None),
                ("a\n.\nb\r\n.\r\n", None),
                ("a\n.\r\nb\r\n.\r\n", None),
                ("a\r\n.\nb\r\n.\r\n", None),
                (".\nb\r\n.\r\n", None),
                ("a\n.\rb\r\n.\r\n", None),
            ] {
                assert_eq!(repaired(input, size).as_deref(), want, "{input:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn partial_line_ends_stay_in_the_input() {
        for (input, left) in [("a\r", "\r"), ("a\r\n.", "."), ("a\r\n.\r", ".\r"), ("a\r\n", "")] {
            let mut input = BytesMut::from(input.as_bytes());
            assert_eq!(Unstuffer::default().take(&mut input).1, Unstuffed::More);
            assert_eq!(input, left.as_bytes());
        }
    }
}
