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

/// Classifies the writer of the message.
pub fn classify_writer(reverse_path: &ReversePath, front: &[u8]) -> Writer {
    let value = |name: &str| Fields::find_first(front, name).map(|field| field.unfolded().trim().to_ascii_lowercase());
    let has = |name: &str| Fields::find_first(front, name).is_some();
    let submitted = value("Auto-Submitted").unwrap_or_default();
    let precedence = value("Precedence").unwrap_or_default();
    if value("Content-Type").is_some_and(|kind| kind.starts_with("multipart/report")) {
        return Writer::Server;
    }
    // Parameters and comments may follow the keyword.
    let is_submitted =
        |word: &str| submitted.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'));
    if is_submitted("auto-replied") || matches!(precedence.as_str(), "auto_reply" | "junk") || OF_RESPONDERS.iter().any(|name| has(name)) {
        return Writer::Responder;
    }
    if is_submitted("auto-generated") || matches!(precedence.as_str(), "bulk" | "list") || has("List-Id") {
        return Writer::List;
    }
    match reverse_path {
        ReversePath::Null => Writer::Responder,
        ReversePath::Mailbox(_) if has("In-Reply-To") || has("References") => Writer::Answerer,
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
