//! The check of BDAT content: the same line ends as after DATA, over chunks that may be cut anywhere.
//!
//! RFC 3030 s.2 and RFC 5321 s.2.3.8. Invariant: content that passed holds no bare CR, no bare LF and no NUL,
//! so it can be sent on with DATA.

use memchr::{memchr_iter, memchr3};

/// The longest line that is taken, in octets: four times what any mail program writes, and sixty times what RFC 5322 s.2.1.1 allows.
const LINE_MAX_BYTES: usize = 64 * 1024;

/// Measures lines across pieces.
#[derive(Debug, Default)]
pub(crate) struct LineLength {
    so_far: usize,
}

impl LineLength {
    /// Whether no line of this piece, with what came of it before, is too long.
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

/// What the last byte was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum LastOctet {
    #[default]
    Nothing,
    Cr,
    Lf,
    Other,
}

/// Remembers across pieces where in a line the content stands.
#[derive(Debug, Default)]
pub(crate) struct LineCheck {
    last: LastOctet,
}

impl LineCheck {
    /// Whether this piece may follow those before it.
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

    /// Whether the last line has no CRLF yet.
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
    fn a_crlf_may_be_cut_but_not_broken() {
        assert!(verdict(&["a\r", "\nb", "", "\r\n"]));
        assert!(verdict(&["a\r", "", "\n"]));
        for bad in [["a\r", "b"], ["a\n", ""], ["a", "\n"], ["a\0", ""], ["a\r", ""], ["\r\r", "\n"]] {
            assert!(!verdict(&bad), "{bad:?}");
        }
    }
}
