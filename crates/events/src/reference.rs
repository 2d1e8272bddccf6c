//! Writes docs/events.md: all kinds and facts of events, for operators.
//!
//! Invariant: names, words and meanings are those of [`EventKind`] and [`Fact`]; nothing is listed by hand but the fields of [`Event`](crate::Event).

use std::fmt::Write as _;

use crate::{EventKind, Fact, Group};

/// The fields of an event, and their meanings.
const FIELDS: [(&str, &str); 13] = [
    ("at_ms", "when it happened, in Unix milliseconds"),
    ("kind", "what happened: a name from the tables below"),
    ("queue_id", "the message that it is about"),
    ("message_id", "its Message-ID, without angle brackets"),
    ("from", "the reverse-path, without angle brackets; empty for the null reverse-path"),
    ("to", "the recipients, as their sender knows them: aliases, or addresses elsewhere"),
    ("target", "the mailbox behind the alias; shown to owners only"),
    ("client", "the address of the client; for a delivery, that of the host"),
    ("host", "the name that the client gave in HELO or EHLO; for a delivery, the host that was connected to"),
    ("login", "the login of the account; for a change, of the owner who made it"),
    ("reply", "the reply: that of the host, or our own that refused something"),
    ("reason", "why, in words"),
    ("facts", "further facts, as pairs of name and text"),
];

const HEAD: &str = "# Events

What happens to a message, a session, a login or the server is an event. Log, history, metrics and the page take their words from one list,
which this page shows. `waypost trace CLUE` shows the events of a message, `waypost log` those of the server, and `GET /api/v1/history` returns
them as JSON.

A message that is forwarded makes two events: one for the decision about it (accepted or handed over, with what was found out about its sender),
and one for its delivery (with the reply of the host). Every further attempt and every further target makes one more. A message to several
targets leaves as several, each with a queue ID; the fact `copies` names them.

Names are stable: a name is never used for something else. An event may have further facts in a later version.

## Fields

An event has these fields; one that does not apply is left out.

| field | meaning |
|---|---|
";

/// Returns the page, in Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for (field, meaning) in FIELDS {
        let _ = writeln!(page, "| `{field}` | {meaning} |");
    }
    for group in Group::ALL {
        let _ = write!(
            page,
            "\n## {}\n\n{}\n\n| kind | level | words in the log | meaning |\n|---|---|---|---|\n",
            group.title(),
            group.about()
        );
        for kind in EventKind::ALL.iter().filter(|kind| kind.group() == *group) {
            let (name, level, words) = (kind.name(), kind.level().as_str(), escaped(kind.words()));
            let _ = writeln!(page, "| `{name}` | {level} | {words} | {} |", escaped(kind.meaning()));
        }
    }
    page.push_str("\n## Facts\n\nAll values are texts. A duration or a size is a whole number in the unit that the name ends with.\n\n| fact | meaning |\n|---|---|\n");
    for fact in Fact::ALL {
        let _ = writeln!(page, "| `{}` | {} |", fact.name(), escaped(fact.meaning()));
    }
    page
}

/// A text in a cell of a table.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::Event;

    #[test]
    fn the_page_lists_every_field_kind_and_fact() {
        let event =
            Event::new(EventKind::Delivered, 1).of_message(mail::QueueId(1)).message_id(Some("a@b")).from("a@b").to("c@d").target("e@f");
        let event = event.client(IpAddr::V4(Ipv4Addr::LOCALHOST)).host("h").login(Some("l")).reply("250 ok").reason(Some("r"));
        let json = serde_json::to_value(event.fact(Fact::Attempt, 1)).unwrap();
        let fields: Vec<&str> = FIELDS.iter().map(|(field, _)| *field).collect();
        let mut written: Vec<&String> = json.as_object().unwrap().keys().collect();
        written.sort();
        let mut listed = fields.clone();
        listed.sort_unstable();
        assert_eq!(written, listed);
        let page = reference();
        assert!(EventKind::ALL.iter().all(|kind| page.contains(&format!("| `{}` | ", kind.name()))));
        assert!(Fact::ALL.iter().all(|fact| page.contains(&format!("| `{}` | ", fact.name()))));
    }
}
