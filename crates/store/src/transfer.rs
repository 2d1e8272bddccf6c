//! Copies a whole database from one engine to another, page by page, and compares the copy row by row.
//!
//! Invariant: the source is read in one transaction, so that the copy is of one moment; the target is empty before, and what is interrupted leaves it empty.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use mail::QueueId;
use serde::Serialize;

use crate::cluster::NodeValues;
use crate::content::ROW_MAX_BYTES;
use crate::engine::{FromValue, Row, Sql, Value, values};
use crate::error::StoreError;
use crate::recipient_state::RecipientState;

/// Rows that are read and written together.
const PAGE_ROWS: i64 = 500;

/// Size of a piece of large content in rows, in octets.
const PIECE_BYTES: usize = 256 * 1024;

/// A table, its key, and its other columns. What only one engine has (the journal, the nodes and their values) is not copied.
struct CopiedTable {
    name: &'static str,
    key: &'static [&'static str],
    others: &'static [&'static str],
}

const fn table(name: &'static str, key: &'static [&'static str], others: &'static [&'static str]) -> CopiedTable {
    CopiedTable { name, key, others }
}

const TABLES: &[CopiedTable] = &[
    table("domain", &["name"], &["enabled"]),
    table("alias", &["source"], &["targets", "enabled"]),
    table("alias_options", &["source"], &["options"]),
    table(
        "account",
        &["login"],
        &[
            "may_send_as",
            "enabled",
            "salt",
            "legacy_mechanisms",
            "suspended",
            "recipients_per_hour",
            "new_recipients_per_day",
            "imap_host",
            "owner",
        ],
    ),
    table("password", &["login", "name"], &["verifier", "scram_sha256", "scram_sha1", "sealed", "made_ms"]),
    table("client_certificate", &["login", "name"], &["sha256", "made_ms"]),
    table("dkim_key", &["domain", "selector"], &["key_type", "private", "public", "state", "since_ms"]),
    table("login", &["login", "password", "network"], &["address", "mechanism", "last_ms", "times"]),
    table("known_recipient", &["login", "recipient"], &["first_ms"]),
    table("page_session", &["id"], &["login", "verifiers", "begun_ms", "used_ms", "client", "browser"]),
    table("one_time_link", &["token"], &["login", "purpose", "until_ms"]),
    table("second_step", &["login"], &["sealed", "recovery", "last_step", "made_ms"]),
    table("passkey", &["id"], &["login", "name", "algorithm", "public_key", "counter", "made_ms", "used_ms"]),
    table("api_token", &["name"], &["hash", "scopes", "domains", "login", "made_ms", "until_ms", "used_ms"]),
    table("srs_sender", &["token"], &["sender", "made_ms"]),
    table("failed", &["n"], &["message_id", "at_ms", "reverse_path", "known_as", "mailbox", "status", "reason"]),
    table("shared", &["name"], &["value", "changed_ms"]),
    table(
        "received_report",
        &["n"],
        &[
            "kind",
            "submitter",
            "organisation",
            "report_id",
            "domain",
            "policy",
            "begin_s",
            "end_s",
            "received_ms",
            "rows",
            "rows_left_out",
            "messages_left_out",
        ],
    ),
    table(
        "received_dmarc_row",
        &["report_n", "k"],
        &["source", "count", "disposition", "dkim_aligned", "spf_aligned", "header_from", "envelope_from", "envelope_to", "details"],
    ),
    table("received_tls_policy", &["report_n", "k"], &["kind", "domain", "successful", "failed"]),
    table("received_tls_failure", &["report_n", "k", "place"], &["result", "sending_ip", "mx_host", "receiving_ip", "sessions", "reason"]),
    table("daily_result", &["kind", "begin_s", "end_s", "domain", "policy", "detail"], &["reason", "times"]),
    table("daily_report", &["kind", "begin_s", "end_s", "domain", "target"], &["next_ms", "give_up_ms"]),
    table("content", &["id"], &["size_bytes", "data", "crc32"]),
    table(
        "message",
        &["id"],
        &[
            "content_id",
            "flow",
            "reverse_path",
            "body_8bit",
            "smtputf8",
            "ret",
            "envid",
            "arrived_ms",
            "expires_ms",
            "delay_reported",
            "prefix",
            "rewritten_path",
            "may_report",
            "mendable",
            "requiretls",
        ],
    ),
    table(
        "recipient",
        &["message_id", "n"],
        &["lane", "mailbox", "known_as", "notify", "orcpt", "state", "next_attempt_ms", "attempts", "status", "reason"],
    ),
];

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// The rows of each table that has some, which were compared with the source.
    pub rows: Vec<(&'static str, u64)>,
    /// Large contents, which were compared with the source too.
    pub large_contents: u64,
}

/// A database to copy from or to.
pub(crate) struct Side<'a> {
    pub db: &'a dyn Sql,
    /// The directory of large contents; `None` if they are in rows.
    pub content: Option<&'a Path>,
}

/// A value with its octets.
#[derive(Debug, Clone, PartialEq)]
enum Kept {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Kept {
    fn of(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Int(number) => Self::Int(number),
            Value::Real(number) => Self::Real(number),
            Value::Text(text) => Self::Text(text.to_owned()),
            Value::Blob(octets) => Self::Blob(octets.to_vec()),
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(*number),
            Self::Real(number) => Value::Real(*number),
            Self::Text(text) => Value::Text(text),
            Self::Blob(octets) => Value::Blob(octets),
        }
    }
}

impl CopiedTable {
    fn columns(&self) -> Vec<&'static str> {
        self.key.iter().chain(self.others).copied().collect()
    }

    /// Rows of a page: fewer if they are large.
    fn page_rows(&self) -> i64 {
        if self.name == "content" { PAGE_ROWS / 10 } else { PAGE_ROWS }
    }

    /// Reads the page after a key.
    fn page(&self, db: &dyn Sql, after: Option<&[Kept]>) -> Result<Vec<Vec<Kept>>, StoreError> {
        let (columns, key) = (self.columns(), self.key.join(", "));
        let mut conditions: Vec<String> = Vec::new();
        if let Some(after) = after {
            conditions.push(format!("({key}) > ({})", (1..=after.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ")));
        }
        if self.name == "shared" {
            conditions.extend(NodeValues::ALL.map(|of_a_node| format!("name NOT LIKE '{of_a_node}%'")));
        }
        let condition = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let sql = format!("SELECT {} FROM {} {condition} ORDER BY {key} LIMIT {}", columns.join(", "), self.name, self.page_rows());
        let values: Vec<Value<'_>> = after.unwrap_or_default().iter().map(Kept::value).collect();
        db.rows(&sql, &values, |row: &dyn Row| (0..columns.len()).map(|place| row.at(place).map(Kept::of)).collect())
    }

    fn insert(&self) -> String {
        let columns = self.columns();
        let places = (1..=columns.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
        format!("INSERT INTO {} ({}) VALUES ({places})", self.name, columns.join(", "))
    }

    /// The key of the last row of a page.
    fn last_key(&self, page: &[Vec<Kept>]) -> Option<Vec<Kept>> {
        page.last().map(|row| row.iter().take(self.key.len()).cloned().collect())
    }
}

/// What a row becomes in the target: a claim is of the source's process, so the recipient is due now; and no text has a NUL.
fn adopted(table: &CopiedTable, mut row: Vec<Kept>, now_ms: i64) -> Vec<Kept> {
    for value in &mut row {
        if let Kept::Text(text) = value
            && text.contains('\0')
        {
            *text = text.replace('\0', "\u{fffd}");
        }
    }
    let place = |name: &str| table.columns().iter().position(|column| *column == name);
    if let (Some(state), Some(next)) = (place("state"), place("next_attempt_ms"))
        && row.get(state) == Some(&Kept::Int(RecipientState::Claimed as i64))
    {
        for (at, value) in [(state, RecipientState::Waiting as i64), (next, now_ms)] {
            row.iter_mut().skip(at).take(1).for_each(|old| *old = Kept::Int(value));
        }
    }
    row
}

/// Copies everything, and compares it.
///
/// # Errors
/// The target is not empty, a database fails, or the copy differs.
pub(crate) fn transfer(from: &Side<'_>, to: &Side<'_>, now_ms: i64) -> Result<Copied, StoreError> {
    refuse_unless_empty(to.db)?;
    to.db.control(to.db.begin())?;
    match copy_all(from, to, now_ms) {
        Ok(copied) => to.db.control("COMMIT").map(|()| copied),
        Err(error) => {
            // Whether or not this arrives, nothing of the copy is kept.
            let _ = to.db.control("ROLLBACK");
            Err(error)
        }
    }
}

fn copy_all(from: &Side<'_>, to: &Side<'_>, now_ms: i64) -> Result<Copied, StoreError> {
    let mut copied = Copied::default();
    for table in TABLES {
        let (mut after, mut rows) = (None::<Vec<Kept>>, 0);
        loop {
            let page = table.page(from.db, after.as_deref())?;
            let Some(last) = table.last_key(&page) else { break };
            let page: Vec<Vec<Kept>> = page.into_iter().map(|row| adopted(table, row, now_ms)).collect();
            copied.large_contents += write_page(table, (from, to), &page)?;
            rows += page.len() as u64;
            after = Some(last);
        }
        compare(table, from.db, to.db, now_ms)?;
        if rows > 0 {
            copied.rows.push((table.name, rows));
        }
    }
    let notice = from
        .db
        .row("SELECT failed_n, held_id, at_ms FROM notice", &[], |row| Ok([row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<i64>(2)?]))?;
    if let Some([failed_n, held_id, at_ms]) = notice {
        to.db.execute("UPDATE notice SET failed_n = ?, held_id = ?, at_ms = ?", values![failed_n, held_id, at_ms])?;
    }
    to.db.continue_numbers()?;
    Ok(copied)
}

/// Writes a page. Returns the number of its large contents.
fn write_page(table: &CopiedTable, (from, to): (&Side<'_>, &Side<'_>), page: &[Vec<Kept>]) -> Result<u64, StoreError> {
    let mut large = 0;
    if table.name == "content" {
        for row in page {
            if let [Kept::Int(id), _, Kept::Null, ..] = row.as_slice() {
                copy_large(from, to, QueueId(*id))?;
                large += 1;
            }
        }
    }
    let lists: Vec<Vec<Value<'_>>> = page.iter().map(|row| row.iter().map(Kept::value).collect()).collect();
    to.db.execute_each(&table.insert(), &lists)?;
    Ok(large)
}

fn refuse_unless_empty(db: &dyn Sql) -> Result<(), StoreError> {
    for CopiedTable { name, .. } in TABLES {
        if db.exists(&format!("SELECT 1 FROM {name} LIMIT 1"), &[])? {
            return Err(StoreError::Exists(format!(
                "the target is not empty: its table {name} has rows, and a server or a command that has used it once is enough; copy into a new database \
                 or directory, and start a server on it after the copy"
            )));
        }
    }
    Ok(())
}

/// Refuses a PostgreSQL whose nodes run: what they take meanwhile would not be in the copy, and both would deliver what waits.
pub(crate) fn refuse_live(db: &dyn Sql, which: &str) -> Result<(), StoreError> {
    let sql = "SELECT name FROM node WHERE lease_until > clock_timestamp() ORDER BY name";
    let alive: Vec<String> = db.rows(sql, &[], |row: &dyn Row| row.get("name"))?;
    if alive.is_empty() {
        return Ok(());
    }
    Err(StoreError::Exists(format!(
        "nodes run on the {which}: {}; stop them first, or wait 30 seconds if they were killed (a copy beside them is a backup: `waypost backup`)",
        alive.join(", ")
    )))
}

/// Reads a table from both, and compares row by row.
fn compare(table: &CopiedTable, from: &dyn Sql, to: &dyn Sql, now_ms: i64) -> Result<(), StoreError> {
    let mut after = None::<Vec<Kept>>;
    loop {
        let source: Vec<Vec<Kept>> = table.page(from, after.as_deref())?.into_iter().map(|row| adopted(table, row, now_ms)).collect();
        let target = table.page(to, after.as_deref())?;
        if source != target {
            let at = source.iter().zip(&target).position(|(a, b)| a != b).unwrap_or(source.len().min(target.len()));
            return Err(StoreError::Corrupt(format!(
                "the copy of the table {} differs from its source near row {at} of a page",
                table.name
            )));
        }
        let Some(last) = table.last_key(&source) else { return Ok(()) };
        after = Some(last);
    }
}

/// Reads a large content piece by piece.
fn read_large(side: &Side<'_>, id: QueueId, mut piece: impl FnMut(i64, &[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let Some(directory) = side.content else {
        for k in 0.. {
            let sql = "SELECT data FROM content_piece WHERE content_id = ? AND k = ?";
            let Some(octets) = side.db.row(sql, values![id.0, k], |row| Vec::<u8>::from_value(row.at(0)?).map_err(StoreError::Corrupt))?
            else {
                return Ok(());
            };
            piece(k, &octets)?;
        }
        return Ok(());
    };
    let mut file = File::open(directory.join(id.to_string())).map_err(|error| StoreError::of_content_file(id, error))?;
    for k in 0.. {
        let mut octets = Vec::with_capacity(PIECE_BYTES);
        (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut octets)?;
        if octets.is_empty() {
            break;
        }
        piece(k, &octets)?;
    }
    Ok(())
}

/// Copies a large content, and compares the copy.
fn copy_large(from: &Side<'_>, to: &Side<'_>, id: QueueId) -> Result<(), StoreError> {
    let Some(directory) = to.content else {
        read_large(from, id, |k, octets| {
            to.db.execute("INSERT INTO content_piece (content_id, k, data) VALUES (?, ?, ?)", values![id.0, k, octets]).map(drop)
        })?;
        return compare_large(from, to, id);
    };
    let path = directory.join(id.to_string());
    if path.exists() {
        // Of an earlier backup or copy: content never changes.
        return compare_large(from, to, id);
    }
    // A file that is not finished has another name.
    let unfinished = directory.join(format!("{id}.new"));
    let mut file = File::create(&unfinished)?;
    read_large(from, id, |_, octets| Ok(file.write_all(octets)?))?;
    file.sync_all()?;
    fs::rename(&unfinished, &path)?;
    File::open(directory)?.sync_all()?;
    let compared = compare_large(from, to, id);
    if compared.is_err() {
        fs::remove_file(&path)?;
    }
    compared
}

/// Reads both copies of a large content, and compares size and CRC-32.
fn compare_large(from: &Side<'_>, to: &Side<'_>, id: QueueId) -> Result<(), StoreError> {
    let of = |side: &Side<'_>| -> Result<(usize, u32), StoreError> {
        let (mut crc, mut size) = (crc32fast::Hasher::new(), 0);
        read_large(side, id, |_, octets| {
            crc.update(octets);
            size += octets.len();
            Ok(())
        })?;
        Ok((size, crc.finalize()))
    };
    let (source, target) = (of(from)?, of(to)?);
    if source != target || source.0 <= ROW_MAX_BYTES {
        return Err(StoreError::Corrupt(format!("the copy of the content {id} differs from its source, or the source is cut")));
    }
    Ok(())
}
