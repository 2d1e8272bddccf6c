//! An event as a row of its part.
//!
//! Kinds and facts are stored as numbers that the file itself explains, by their names: a name is never reused, so that a history of another version
//! reads right. Invariant: what cannot be read is left out, never guessed.

use std::collections::HashMap;

use events::{Event, EventKind, Fact};
use mail::QueueId;
use rusqlite::{CachedStatement, Connection, Row, params};

use crate::tokens::cut;

/// Maximum length of a stored text, in octets.
const TEXT_MAX_BYTES: usize = 2048;

/// Maximum length of the stored recipients of an event, in octets.
const RECIPIENTS_MAX_BYTES: usize = 64 * 1024;

/// The columns, in the order of [`insert`] and [`read`].
pub(crate) const COLUMNS: &str =
    "id, at_ms, kind, queue_id, message_id, sender, recipients, target, client, host, login, reply, reason, facts";

/// The places of their values in an INSERT.
pub(crate) const VALUES: &str = "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14";

/// The numbers of kinds and facts in one file.
#[derive(Debug, Default)]
pub(crate) struct Names {
    kinds: HashMap<i64, EventKind>,
    facts: HashMap<u8, Fact>,
    kind_ids: HashMap<EventKind, i64>,
    fact_ids: HashMap<Fact, u8>,
}

impl Names {
    /// Reads the numbers.
    pub fn load(db: &Connection) -> rusqlite::Result<Self> {
        let mut names = Self::default();
        let pairs = |table: &str| -> rusqlite::Result<Vec<(i64, String)>> {
            let mut statement = db.prepare(&format!("SELECT id, name FROM {table}"))?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        for (id, name) in pairs("kind_name")? {
            if let Some(kind) = EventKind::of_name(&name) {
                names.kinds.insert(id, kind);
                names.kind_ids.insert(kind, id);
            }
        }
        for (id, name) in pairs("fact_name")? {
            let fact = Fact::ALL.iter().find(|fact| fact.name() == name);
            if let (Some(fact), Ok(id)) = (fact, u8::try_from(id)) {
                names.facts.insert(id, *fact);
                names.fact_ids.insert(*fact, id);
            }
        }
        Ok(names)
    }

    /// Adds a number for each kind and fact without one.
    pub fn complete(db: &Connection) -> rusqlite::Result<Self> {
        let mut add = db.prepare("INSERT OR IGNORE INTO kind_name (name) VALUES (?1)")?;
        EventKind::ALL.iter().try_for_each(|kind| add.execute([kind.name()]).map(drop))?;
        let mut add = db.prepare("INSERT OR IGNORE INTO fact_name (name) VALUES (?1)")?;
        Fact::ALL.iter().try_for_each(|fact| add.execute([fact.name()]).map(drop))?;
        Self::load(db)
    }

    /// Returns the number of a kind; `None` if the file has none.
    pub fn kind_id(&self, kind: EventKind) -> Option<i64> {
        self.kind_ids.get(&kind).copied()
    }

    /// Returns the kind of a number.
    pub fn kind(&self, id: i64) -> Option<EventKind> {
        self.kinds.get(&id).copied()
    }
}

fn short(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(|text| cut(text, TEXT_MAX_BYTES))
}

/// Inserts an event.
pub(crate) fn insert(statement: &mut CachedStatement<'_>, names: &Names, id: i64, event: &Event) -> rusqlite::Result<()> {
    let recipients = if event.to.is_empty() { None } else { Some(cut(&event.to.join("\n"), RECIPIENTS_MAX_BYTES).to_owned()) };
    statement.execute(params![
        id,
        event.at_ms,
        names.kind_id(event.kind),
        event.queue_id.map(|id| id.0),
        short(&event.message_id),
        short(&event.from),
        recipients,
        short(&event.target),
        event.client.map(|client| client.to_string()),
        short(&event.host),
        short(&event.login),
        short(&event.reply),
        short(&event.reason),
        encode_facts(names, &event.facts),
    ])?;
    Ok(())
}

/// Reads an event and its number; `None` for a kind that this version does not know.
pub(crate) fn read(row: &Row<'_>, names: &Names) -> rusqlite::Result<(i64, Option<Event>)> {
    let id = row.get(0)?;
    let Some(kind) = names.kind(row.get(2)?) else { return Ok((id, None)) };
    let mut event = Event::new(kind, row.get(1)?);
    event.queue_id = row.get::<_, Option<i64>>(3)?.map(QueueId);
    event.message_id = row.get(4)?;
    event.from = row.get(5)?;
    let recipients: Option<String> = row.get(6)?;
    event.to = recipients.iter().flat_map(|all| all.split('\n')).map(str::to_owned).collect();
    event.target = row.get(7)?;
    event.client = row.get::<_, Option<String>>(8)?.and_then(|text| text.parse().ok());
    event.host = row.get(9)?;
    event.login = row.get(10)?;
    event.reply = row.get(11)?;
    event.reason = row.get(12)?;
    event.facts = decode_facts(names, row.get_ref(13)?.as_blob_or_null()?.unwrap_or_default());
    Ok((id, Some(event)))
}

/// Each fact as its number, the length of its value in two octets, and the value.
fn encode_facts(names: &Names, facts: &[(Fact, String)]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(facts.iter().map(|(_, value)| value.len() + 3).sum());
    for (fact, value) in facts {
        let value = cut(value, TEXT_MAX_BYTES);
        if let (Some(id), Ok(length)) = (names.fact_ids.get(fact), u16::try_from(value.len())) {
            octets.push(*id);
            octets.extend(length.to_be_bytes());
            octets.extend(value.as_bytes());
        }
    }
    if octets.is_empty() { None } else { Some(octets) }
}

fn decode_facts(names: &Names, mut octets: &[u8]) -> Vec<(Fact, String)> {
    let mut facts = Vec::new();
    while let Some(([id, high, low], rest)) = octets.split_first_chunk::<3>() {
        let Some((value, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))) else { break };
        if let (Some(fact), Ok(value)) = (names.facts.get(id), std::str::from_utf8(value)) {
            facts.push((*fact, value.to_owned()));
        }
        octets = rest;
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE kind_name (id INTEGER PRIMARY KEY, name TEXT UNIQUE); CREATE TABLE fact_name (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
            .unwrap();
        // A history of another version: other numbers, a name that this one does not know.
        db.execute_batch("INSERT INTO kind_name VALUES (7, 'delivered'), (8, 'teleported'); INSERT INTO fact_name VALUES (9, 'subject')")
            .unwrap();
        Names::complete(&db).unwrap()
    }

    #[test]
    fn names_of_another_version_keep_their_numbers() {
        let names = names();
        assert_eq!(names.kind(7), Some(EventKind::Delivered));
        assert_eq!(names.kind(8), None);
        assert!(EventKind::ALL.iter().all(|kind| names.kind_id(*kind).and_then(|id| names.kind(id)) == Some(*kind)));
        assert_eq!(names.fact_ids.len(), Fact::ALL.len());
    }

    #[test]
    fn facts_round_trip_and_damaged_ones_end_early() {
        let names = names();
        let facts = vec![(Fact::Subject, "a\0b\nü".to_owned()), (Fact::Spf, String::new()), (Fact::TookMs, "12".into())];
        let octets = encode_facts(&names, &facts).unwrap();
        assert_eq!(decode_facts(&names, &octets), facts);
        assert_eq!(decode_facts(&names, octets.get(..octets.len() - 1).unwrap()), facts.get(..2).unwrap());
        assert_eq!(decode_facts(&names, &[200, 0, 1, b'x']), []);
    }
}
