//! Claims in a database that several nodes share.
//!
//! Invariant: a row that another transaction has locked is skipped, so that nodes neither wait for each other nor claim the same row.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::session::{Session, Step};
use super::sql::as_row;
use crate::error::StoreError;
use crate::message::{Claimed, Lease, RecipientKey};
use crate::tables::{read_message, read_recipient, set_aside};
use mail::{Domain, QueueId};

pub(super) const CLAIM: &str = "WITH due AS (SELECT message_id, n, next_attempt_ms AS due_ms FROM recipient \
     WHERE lane = $1 AND state < 2 AND next_attempt_ms <= CAST($2 AS bigint) ORDER BY next_attempt_ms LIMIT CAST($4 AS bigint) FOR UPDATE SKIP LOCKED), \
     taken AS (UPDATE recipient r SET state = 1, next_attempt_ms = CAST($3 AS bigint), owner = CAST($5 AS bigint) FROM due \
     WHERE r.message_id = ANY(ARRAY(SELECT message_id FROM due)) AND r.message_id = due.message_id AND r.n = due.n RETURNING r.*, due.due_ms) \
     SELECT t.message_id, t.n, t.mailbox, t.known_as, t.notify, t.orcpt, t.attempts, m.id AS found, m.flow, m.reverse_path, m.body_8bit, m.smtputf8, \
     m.ret, m.envid, m.arrived_ms, m.expires_ms, m.delay_reported, m.prefix, m.rewritten_path, m.may_report, m.mendable, m.requiretls \
     FROM taken t LEFT JOIN (SELECT * FROM message WHERE id = ANY(ARRAY(SELECT message_id FROM due))) m ON m.id = t.message_id \
     ORDER BY t.due_ms, t.message_id, t.n";

/// Returns what claims recipients of a lane.
pub(super) fn claim_step(lane: &Domain, now_ms: i64, lease_ms: i64, limit: u32, owner: i64) -> Step<'static> {
    let values: Vec<Box<dyn ToSql + Sync + Send>> =
        vec![Box::new(lane.as_str().to_owned()), Box::new(now_ms), Box::new(lease_ms), Box::new(i64::from(limit)), Box::new(owner)];
    Step::Prepared { sql: CLAIM, values }
}

/// A recipient whose record cannot be read, and why.
pub(super) type UnreadableRecord = (RecipientKey, String);

/// Reads what was claimed, and the recipients whose records are unreadable.
pub(super) fn read_claimed(rows: &[Row], lease: Lease) -> Result<(Vec<Claimed>, Vec<UnreadableRecord>), StoreError> {
    let (mut claimed, mut unreadable) = (Vec::<Claimed>::new(), Vec::new());
    for row in rows {
        let row = as_row(row);
        let key = RecipientKey { message: QueueId(row.get("message_id")?), index: row.get("n")? };
        let recipient = match read_recipient(key, row) {
            Ok(recipient) => recipient,
            Err(reason) => {
                unreadable.push((key, reason));
                continue;
            }
        };
        if let Some(same) = claimed.iter_mut().find(|c| c.message.id == key.message) {
            same.recipients.push(recipient);
            continue;
        }
        let message = match row.get::<Option<i64>>("found")? {
            Some(_) => read_message(key.message, row),
            None => Err("its message is missing".to_owned()),
        };
        match message {
            Ok(message) => claimed.push(Claimed { message, content: None, recipients: vec![recipient], lease }),
            Err(reason) => unreadable.push((key, reason)),
        }
    }
    Ok((claimed, unreadable))
}

/// Claims recipients of a lane within a transaction of the caller.
pub(super) fn claim(session: &Session, lane: &Domain, (now_ms, lease_ms): (i64, i64), limit: u32) -> Result<Vec<Claimed>, StoreError> {
    if !session.stay.may_claim() {
        return Ok(Vec::new());
    }
    let owner = session.owner();
    let answers = session.fly(&[claim_step(lane, now_ms, lease_ms, limit, owner)])?;
    let (claimed, unreadable) = read_claimed(answers.first().map(Vec::as_slice).unwrap_or_default(), Lease(Some(owner)))?;
    unreadable.iter().try_for_each(|(key, reason)| set_aside(session, *key, reason))?;
    Ok(claimed)
}
