//! Cuts command lines out of the input.
//!
//! RFC 5321 s.2.3.8, s.4.5.3.1.4 and RFC 4954 s.4 (12288 octets for AUTH). Invariant: only CRLF ends a command that is
//! obeyed, and a line without end costs no more memory than the longest legal one.

use bytes::BytesMut;
use memchr::memchr;

use super::verb::Verb;

const COMMAND_LIMIT_BYTES: usize = 2048;
const AUTH_LIMIT_BYTES: usize = 12_288;
const ENDLESS_BYTES: usize = 65_536;

/// What stands at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// No whole line yet.
    More,
    /// A line, its CRLF taken off.
    Whole(BytesMut),
    /// A line that ended with a bare LF.
    BareLf,
    /// A line over the limit of its verb.
    TooLong(Verb),
    /// 64 KiB, and still no end.
    Endless,
}

/// Remembers what was already looked at.
#[derive(Debug, Default)]
pub(super) struct Lines {
    scanned: usize,
    dropped: usize,
    too_long: Option<Verb>,
}

impl Lines {
    /// The next line of `input`. In an AUTH exchange every line is a response, and Verb::Auth names it.
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
