//! Replies of other servers, as they came and as people paste them.
//!
//! RFC 5321 s.4.2, RFC 3463.

use mail::Reply;
use policy::{Cause, classify_reply, parse_pasted_host, parse_pasted_reply, reply_rows};

use crate::checks::{assert_lines, assert_one_line, text};

/// Any text has a meaning, of a row that the table has; the reply is one line in a log and whole lines on the wire.
pub fn remote_replies(data: &[u8]) {
    let text = text(data);
    let host = parse_pasted_host(&text);
    let _ = Cause::of_text(&text);
    let from_wire = [421, 450, 550, 999].map(|code| Reply::from_wire(code, &text));
    for reply in parse_pasted_reply(&text).into_iter().chain(from_wire) {
        assert_one_line(&reply.to_string());
        let mut wire = Vec::new();
        reply.write_to(&mut wire);
        assert_lines(&wire);
        let meaning = classify_reply(host.as_ref(), &reply);
        assert!(reply_rows().contains(&meaning.row), "{}", meaning.row);
        assert!(!meaning.advice().is_empty() && !meaning.action().is_empty());
        let _ = Cause::of(&reply);
    }
}
