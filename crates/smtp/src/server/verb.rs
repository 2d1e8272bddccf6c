//! The first word of a command line.
//!
//! RFC 5321 s.4.1.1 and s.2.4. Invariant: HTTP methods are recognised, so that a browser tricked into connecting is disconnected.

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Ehlo,
    Helo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    StartTls,
    Auth,
    Http,
    Unknown,
}

const VERBS: [(&str, Verb); 24] = [
    ("MAIL", Verb::Mail),
    ("RCPT", Verb::Rcpt),
    ("DATA", Verb::Data),
    ("BDAT", Verb::Bdat),
    ("EHLO", Verb::Ehlo),
    ("HELO", Verb::Helo),
    ("RSET", Verb::Rset),
    ("NOOP", Verb::Noop),
    ("QUIT", Verb::Quit),
    ("STARTTLS", Verb::StartTls),
    ("AUTH", Verb::Auth),
    ("VRFY", Verb::Vrfy),
    ("EXPN", Verb::Expn),
    ("HELP", Verb::Help),
    ("GET", Verb::Http),
    ("POST", Verb::Http),
    ("HEAD", Verb::Http),
    ("PUT", Verb::Http),
    ("OPTIONS", Verb::Http),
    ("CONNECT", Verb::Http),
    ("DELETE", Verb::Http),
    ("TRACE", Verb::Http),
    ("PATCH", Verb::Http),
    ("PRI", Verb::Http),
];

impl Verb {
    /// Splits a line into its verb and its trimmed argument.
    pub(super) fn split(line: &str) -> (Self, &str) {
        let (word, argument) = line.split_once(' ').unwrap_or((line, ""));
        (Self::of(word.as_bytes()), argument.trim_matches(' '))
    }

    /// The verb at the start of a line.
    pub(super) fn at_start_of(line: &[u8]) -> Self {
        Self::of(line.split(|b| *b == b' ').next().unwrap_or_default())
    }

    fn of(word: &[u8]) -> Self {
        VERBS.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word)).map_or(Self::Unknown, |(_, verb)| *verb)
    }
}
