//! Splits the input into command lines.
//!
//! RFC 5321 s.2.3.8, s.4.5.3.1.4 and RFC 4954 s.4 (12288 octets for AUTH). Invariant: only CRLF ends a command that
//! is executed, and an endless line takes no more memory than the longest valid one.

use bytes::BytesMut;
use memchr::memchr;

use super::verb::Verb;

/// Maximum length of a command line, in octets.
const COMMAND_LIMIT_BYTES: usize = 2048;
/// Maximum length of AUTH and of a response to a challenge, in octets.
const AUTH_LIMIT_BYTES: usize = 12_288;
/// A line of this length ends the session, in octets.
const ENDLESS_BYTES: usize = 65_536;

/// The front of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Not a whole line yet.
    More,
    /// A line without its CRLF.
    Whole(BytesMut),
    /// A line that ended with a bare LF.
    BareLf,
    /// A line over the limit of its verb.
    TooLong(Verb),
    /// 64 KiB without a line end.
    Endless,
}

/// Remembers how far the input was scanned.
#[derive(Debug, Default)]
pub(super) struct Lines {
    scanned: usize,
    dropped: usize,
    too_long: Option<Verb>,
}

impl Lines {
    /// Takes the next line from `input`. In an AUTH exchange every line is a response; a line that is too long then counts as [`Verb::Auth`].
    pub(super) fn next(&mut self, input: &mut BytesMut, in_auth: bool) -> Line {
        let Some(found) = memchr(b'\n', input.get(self.scanned..).unwrap_or_default()) else {
            return self.wait(input, in_auth);
        };
        let length = self.scanned + found + 1;
        let mut line = input.split_to(length);
        let total = self.dropped + length;
        let too_long = self.too_long.take().or_else(|| over_limit(&line, in_auth));
        *self = Self::default();
        if total > ENDLESS_BYTES {
            return Line::Endless;
        }
        if let Some(verb) = too_long {
            return Line::TooLong(verb);
        }
        if !line.ends_with(b"\r\n") {
            return Line::BareLf;
        }
        line.truncate(length - 2);
        Line::Whole(line)
    }

    fn wait(&mut self, input: &mut BytesMut, in_auth: bool) -> Line {
        if self.dropped + input.len() >= ENDLESS_BYTES {
            return Line::Endless;
        }
        self.scanned = input.len();
        if self.too_long.is_none() {
            self.too_long = over_limit(input, in_auth);
        }
        if self.too_long.is_some() {
            self.dropped += input.len();
            input.clear();
            self.scanned = 0;
        }
        Line::More
    }
}

fn over_limit(line: &[u8], in_auth: bool) -> Option<Verb> {
    if line.len() <= COMMAND_LIMIT_BYTES {
        return None;
    }
    let verb = if in_auth { Verb::Auth } else { Verb::at_start_of(line) };
    (verb != Verb::Auth || line.len() > AUTH_LIMIT_BYTES).then_some(verb)
}
