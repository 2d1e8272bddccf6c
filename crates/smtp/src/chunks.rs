//! Checks BDAT content for the line ends that DATA requires, across chunks.
//!
//! RFC 3030 s.2 and RFC 5321 s.2.3.8. Invariant: accepted content has no bare CR, bare LF or NUL,
//! so it can be sent on with DATA.

use memchr::{memchr_iter, memchr3};

/// Maximum length of a line, in octets: four times what any mail program writes, and sixty times what RFC 5322 s.2.1.1 allows.
const LINE_MAX_BYTES: usize = 64 * 1024;

/// Checks the length of lines across pieces.
#[derive(Debug, Default)]
pub(crate) struct LineLength {
    so_far: usize,
}

impl LineLength {
    /// Whether all lines up to the end of this piece are short enough.
    pub(crate) fn accepts(&mut self, piece: &[u8]) -> bool {
        let mut start = 0;
        for end in memchr_iter(b'\n', piece) {
            if self.so_far + (end - start) > LINE_MAX_BYTES {
                return false;
            }
            (self.so_far, start) = (0, end + 1);
        }
        self.so_far += piece.len() - start;
        self.so_far <= LINE_MAX_BYTES
    }
}

/// The last octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum LastOctet {
    #[default]
    Nothing,
    Cr,
    Lf,
    Other,
}

/// Checks line ends across pieces.
#[derive(Debug, Default)]
pub(crate) struct LineCheck {
    last: LastOctet,
}

impl LineCheck {
    /// Whether the content is still valid with this piece.
    pub(crate) fn accepts(&mut self, piece: &[u8]) -> bool {
        let mut rest = piece;
        if self.last == LastOctet::Cr && !rest.is_empty() {
            let Some(after) = rest.strip_prefix(b"\n") else { return false };
            self.last = LastOctet::Lf;
            rest = after;
        }
        while !rest.is_empty() {
            let Some(at) = memchr3(b'\r', b'\n', 0, rest) else {
                self.last = LastOctet::Other;
                return true;
            };
            match rest.get(at..).unwrap_or_default() {
                [b'\r'] => {
                    self.last = LastOctet::Cr;
                    return true;
                }
                [b'\r', b'\n', after @ ..] => {
                    self.last = LastOctet::Lf;
                    rest = after;
                }
                _ => return false,
            }
        }
        true
    }

    /// Whether the content so far ends inside a CRLF.
    pub(crate) fn is_after_cr(&self) -> bool {
        self.last == LastOctet::Cr
    }

    /// Whether the last line is not terminated yet.
    pub(crate) fn is_inside_line(&self) -> bool {
        self.last == LastOctet::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pieces: &[&str]) -> bool {
        let mut check = LineCheck::default();
        pieces.iter().all(|p| check.accepts(p.as_bytes())) && !check.is_after_cr()
    }

    #[test]
    fn crlf_may_span_chunks() {
        assert!(verdict(&["a\r", "\nb", "", "\r\n"]));
        assert!(verdict(&["a\r", "", "\n"]));
        for bad in [["a\r", "b"], ["a\n", ""], ["a", "\n"], ["a\0", ""], ["a\r", ""], ["\r\r", "\n"]] {
            assert!(!verdict(&bad), "{bad:?}");
        }
    }
}
