//! What the session says by itself.
//!
//! RFC 5321 s.4.2 and RFC 3463. Invariant: no reply repeats what the client sent.

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
    Reply::new(500, (5, 5, 1), "Command not recognised")
}

pub(super) fn not_here(text: &'static str) -> Reply {
    Reply::new(502, (5, 5, 1), text)
}

pub(super) fn too_early() -> Reply {
    Reply::new(554, (5, 5, 0), "Wait for the reply before sending more")
}

pub(super) fn not_http() -> Reply {
    Reply::new(554, (5, 5, 1), "This is a mail server")
}

pub(super) fn too_many(text: &'static str) -> Reply {
    Reply::new(421, (4, 7, 0), text)
}

pub(super) fn bug() -> Reply {
    Reply::new(421, (4, 3, 0), "Something went wrong here, try again later")
}

pub(super) fn forbidden_content() -> Reply {
    Reply::new(550, (5, 5, 2), "Lines must end with CRLF, and no bare CR, bare LF or NUL may stand in a message")
}

pub(super) fn long_line() -> Reply {
    Reply::new(550, (5, 6, 0), "A line of the message is longer than 64 KiB")
}

pub(super) fn too_large() -> Reply {
    Reply::new(552, (5, 3, 4), "The message is larger than this server takes")
}

pub(super) fn too_many_recipients() -> Reply {
    Reply::new(452, (4, 5, 3), "Too many recipients, send the rest in another transaction")
}

pub(super) fn no_valid_recipients() -> Reply {
    Reply::new(554, (5, 5, 1), "No valid recipients")
}
