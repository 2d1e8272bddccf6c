//! Whether a program wrote a message as an automatic reply.
//!
//! RFC 3834 s.2 and s.5 (Auto-Submitted, Precedence, null reverse-paths), RFC 2919 (List-Id). Invariant: a message without a mark is a person's.

use mail::{Fields, ReversePath};

/// The writer of a message, as far as its fields say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// A program that answers mail: a vacation notice, an acknowledgement.
    Responder,
    /// A server that reports on mail (RFC 3464).
    Server,
    /// A mailing list, or a program that writes on its own: not an answer.
    List,
    /// A person, or an unmarked program, in answer to a message.
    Answerer,
    /// A person, or an unmarked program.
    Person,
}

/// Fields that responders add, with any value.
const OF_RESPONDERS: [&str; 3] = ["X-Autoreply", "X-Autorespond", "X-Autoresponder"];

/// What the fields of a message say about its writer; of each, the first one with a value counts.
#[derive(Debug, Default)]
struct Marks {
    /// The values, in lower case.
    submitted: String,
    precedence: String,
    kind: String,
    is_of_responder: bool,
    is_of_list: bool,
    is_answer: bool,
}

impl Marks {
    fn of(front: &[u8]) -> Self {
        let mut marks = Self::default();
        for field in Fields::new(front) {
            let value = || field.unfolded().to_ascii_lowercase();
            if field.is("Auto-Submitted") && marks.submitted.is_empty() {
                marks.submitted = value();
            } else if field.is("Precedence") && marks.precedence.is_empty() {
                marks.precedence = value();
            } else if field.is("Content-Type") && marks.kind.is_empty() {
                marks.kind = value();
            }
            marks.is_of_responder |= OF_RESPONDERS.iter().any(|name| field.is(name));
            marks.is_of_list |= field.is("List-Id");
            marks.is_answer |= field.is("In-Reply-To") || field.is("References");
        }
        marks
    }
}

/// Classifies the writer of the message.
pub fn classify_writer(reverse_path: &ReversePath, front: &[u8]) -> Writer {
    let marks = Marks::of(front);
    if marks.kind.starts_with("multipart/report") {
        return Writer::Server;
    }
    // Parameters and comments may follow the keyword.
    let is_submitted =
        |word: &str| marks.submitted.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'));
    if is_submitted("auto-replied") || matches!(marks.precedence.as_str(), "auto_reply" | "junk") || marks.is_of_responder {
        return Writer::Responder;
    }
    if is_submitted("auto-generated") || matches!(marks.precedence.as_str(), "bulk" | "list") || marks.is_of_list {
        return Writer::List;
    }
    match reverse_path {
        ReversePath::Null => Writer::Responder,
        ReversePath::Mailbox(_) if marks.is_answer => Writer::Answerer,
        ReversePath::Mailbox(_) => Writer::Person,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_answers_are_recognized() {
        let hers = ReversePath::parse_bare("her@foreign.test").unwrap();
        for (field, of) in [
            ("Auto-Submitted: auto-replied", Writer::Responder),
            ("auto-submitted: Auto-Replied (vacation); owner-email=\"x\"", Writer::Responder),
            ("Precedence: junk", Writer::Responder),
            ("X-Autoreply: yes", Writer::Responder),
            ("Auto-Submitted: auto-generated", Writer::List),
            ("Precedence: bulk", Writer::List),
            ("List-Id: <x.test>", Writer::List),
            ("Auto-Submitted: no", Writer::Person),
            ("Auto-Submitted: auto-repliedx", Writer::Person),
            ("In-Reply-To: <a@b.test>", Writer::Answerer),
            ("Content-Type: multipart/report; report-type=delivery-status", Writer::Server),
        ] {
            assert_eq!(classify_writer(&hers, format!("{field}\r\n\r\n").as_bytes()), of, "{field}");
        }
        assert_eq!(classify_writer(&ReversePath::Null, b"Subject: I am away\r\n\r\n"), Writer::Responder);
    }
}
