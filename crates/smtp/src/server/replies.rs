//! Replies that the session sends without asking the driver.
//!
//! RFC 5321 s.4.2 and RFC 3463. Invariant: no reply quotes the client.

use mail::Reply;

pub(super) fn bad_sequence(text: &'static str) -> Reply {
    Reply::new(503, (5, 5, 1), text)
}

pub(super) fn bad_argument(text: &'static str) -> Reply {
    Reply::new(501, (5, 5, 4), text)
}

pub(super) fn bad_syntax(text: &'static str) -> Reply {
    Reply::new(500, (5, 5, 2), text)
}

pub(super) fn unknown_command() -> Reply {
    Reply::new(500, (5, 5, 1), "command not recognised")
}

pub(super) fn not_here(text: &'static str) -> Reply {
    Reply::new(502, (5, 5, 1), text)
}

pub(super) fn too_early() -> Reply {
    Reply::new(554, (5, 5, 0), "improper command pipelining; wait for the reply first")
}

pub(super) fn not_http() -> Reply {
    Reply::new(554, (5, 5, 1), "this is an SMTP server")
}

pub(super) fn too_many(text: &'static str) -> Reply {
    Reply::new(421, (4, 7, 0), text)
}

pub(super) fn bug() -> Reply {
    Reply::new(421, (4, 3, 0), "internal error; try again later")
}

pub(super) fn forbidden_content() -> Reply {
    Reply::new(550, (5, 5, 2), "bare CR, bare LF or NUL in the message; lines must end with CRLF")
}

pub(super) fn long_line() -> Reply {
    Reply::new(550, (5, 6, 0), "line too long; the maximum is 64 KiB")
}

/// The reply to a message that is larger than the maximum (RFC 1870).
pub fn too_large() -> Reply {
    Reply::new(552, (5, 3, 4), "message exceeds the maximum size")
}

pub(super) fn too_many_recipients() -> Reply {
    Reply::new(452, (4, 5, 3), "too many recipients; send the rest in another transaction")
}

pub(super) fn no_valid_recipients() -> Reply {
    Reply::new(554, (5, 5, 1), "no valid recipients")
}
