//! The operations of mail under way, many at once: each table is one statement, whose parameters are arrays.
//!
//! Invariants: the statements here need no answer of the ones before them, so a batch is one round trip; and each table is looked up by an array of keys,
//! never joined as a whole: a plan that was made while the queue was empty still fits when it has a million rows.

use tokio_postgres::types::ToSql;

use super::parameter::without_nul;
use super::session::Step;
use crate::content::ROW_MAX_BYTES;
use crate::message::{Disposition, NewMessage, RecipientKey, Settlement};
use crate::recipient_state::RecipientState;
use crate::tables::{first_state, orcpt_text, ret_word, signed};

const ADD_CONTENTS: &str = "INSERT INTO content (id, size_bytes, data, crc32) \
     SELECT * FROM unnest(CAST($1 AS bigint[]), CAST($2 AS bigint[]), CAST($3 AS bytea[]), CAST($4 AS bigint[]))";

const ADD_MESSAGES: &str = "INSERT INTO message (id, content_id, flow, reverse_path, body_8bit, smtputf8, ret, envid, arrived_ms, expires_ms, prefix, \
     rewritten_path, may_report, mendable, requiretls) \
     SELECT * FROM unnest(CAST($1 AS bigint[]), CAST($2 AS bigint[]), CAST($3 AS text[]), CAST($4 AS text[]), CAST($5 AS boolean[]), \
     CAST($6 AS boolean[]), CAST($7 AS text[]), CAST($8 AS text[]), CAST($9 AS bigint[]), CAST($10 AS bigint[]), CAST($11 AS bytea[]), \
     CAST($12 AS text[]), CAST($13 AS boolean[]), CAST($14 AS boolean[]), CAST($15 AS bigint[]))";

const ADD_RECIPIENTS: &str = "INSERT INTO recipient (message_id, n, lane, mailbox, known_as, notify, orcpt, state, next_attempt_ms, reason, owner) \
     SELECT * FROM unnest(CAST($1 AS bigint[]), CAST($2 AS bigint[]), CAST($3 AS text[]), CAST($4 AS text[]), CAST($5 AS text[]), \
     CAST($6 AS text[]), CAST($7 AS text[]), CAST($8 AS bigint[]), CAST($9 AS bigint[]), CAST($10 AS text[]), CAST($11 AS bigint[]))";

/// Locks messages of which other recipients are left: two nodes that each remove one of the last two would both leave the message to the other.
pub(super) const LOCK_MESSAGES: &str = "SELECT m.id FROM message m WHERE m.id = ANY(CAST($1 AS bigint[])) AND m.id = ANY(ARRAY(SELECT r.message_id FROM recipient r \
     WHERE r.message_id = ANY(CAST($1 AS bigint[])) AND NOT EXISTS (SELECT 1 FROM unnest(CAST($1 AS bigint[]), CAST($2 AS bigint[])) AS d(message_id, n) \
     WHERE d.message_id = r.message_id AND d.n = r.n))) ORDER BY m.id FOR UPDATE";

/// Locks contents that other messages share, for the same reason.
pub(super) const LOCK_CONTENTS: &str = "SELECT c.id FROM content c WHERE c.id = ANY(ARRAY(SELECT o.content_id FROM message o \
     WHERE o.content_id = ANY(ARRAY(SELECT m.content_id FROM message m WHERE m.id = ANY(CAST($1 AS bigint[])))) \
     AND o.id NOT IN (SELECT unnest(CAST($1 AS bigint[]))))) ORDER BY c.id FOR UPDATE";

pub(super) const REMOVE_RECIPIENTS: &str = "DELETE FROM recipient r USING unnest(CAST($1 AS bigint[]), CAST($2 AS bigint[])) AS d(message_id, n) \
     WHERE r.message_id = ANY(CAST($1 AS bigint[])) AND r.message_id = d.message_id AND r.n = d.n RETURNING r.message_id";

pub(super) const REMOVE_DONE: &str = "WITH gone AS (DELETE FROM message m WHERE m.id = ANY(CAST($1 AS bigint[])) \
     AND m.id NOT IN (SELECT r.message_id FROM recipient r WHERE r.message_id = ANY(CAST($1 AS bigint[]))) RETURNING m.id, m.content_id), \
     unnamed AS (DELETE FROM content c WHERE c.id = ANY(ARRAY(SELECT content_id FROM gone)) AND c.id NOT IN (SELECT o.content_id FROM message o \
     WHERE o.content_id = ANY(ARRAY(SELECT content_id FROM gone)) AND o.id NOT IN (SELECT id FROM gone)) RETURNING c.id, c.size_bytes) \
     DELETE FROM content_piece p WHERE p.content_id = ANY(ARRAY(SELECT id FROM unnamed WHERE size_bytes > CAST($2 AS bigint)))";

/// A claim that was lost meanwhile is not ours to end: the row is as its new owner says. Nor is one that has ended: this is then the second time that the
/// same outcome comes, since the answer to the first was lost. An outcome without a claim of its own counts unless another stay has the row.
pub(super) const DEFER: &str = "UPDATE recipient r SET state = CAST(d.state AS bigint), next_attempt_ms = coalesce(d.at_ms, r.next_attempt_ms), \
     status = coalesce(d.status, r.status), reason = d.reason, attempts = r.attempts + d.counts \
     FROM unnest(CAST($1 AS bigint[]), CAST($2 AS bigint[]), CAST($3 AS bigint[]), CAST($4 AS bigint[]), CAST($5 AS text[]), CAST($6 AS text[]), \
     CAST($7 AS bigint[]), CAST($8 AS bigint[])) AS d(message_id, n, state, at_ms, status, reason, counts, owner) \
     WHERE r.message_id = ANY(CAST($1 AS bigint[])) AND r.message_id = d.message_id AND r.n = d.n AND ((r.state = 1 AND r.owner = d.owner) \
     OR ((d.owner & 4294967295) = 0 AND (r.state <> 1 OR r.owner >> 32 = d.owner >> 32))) RETURNING r.message_id";

type Values<'a> = Vec<Box<dyn ToSql + Sync + Send + 'a>>;

/// Returns what adds messages, claimed ones for `owner`.
pub(super) fn enqueue<'a>(all: &[(&'a [NewMessage], i64)], owner: i64) -> Vec<Step<'a>> {
    let messages: Vec<(&'a NewMessage, i64)> =
        all.iter().flat_map(|(messages, lease_ms)| messages.iter().map(|new| (new, *lease_ms))).collect();
    if messages.is_empty() {
        return Vec::new();
    }
    vec![
        Step::Prepared { sql: ADD_CONTENTS, values: contents(all) },
        Step::Prepared { sql: ADD_MESSAGES, values: facts(&messages) },
        Step::Prepared { sql: ADD_RECIPIENTS, values: recipients(&messages, owner) },
    ]
}

/// The contents; messages of one commit may share one, messages of two may not.
fn contents<'a>(all: &[(&'a [NewMessage], i64)]) -> Values<'a> {
    let mut ids = Vec::new();
    let (mut sizes, mut octets, mut checks) = (Vec::new(), Vec::new(), Vec::new());
    for (messages, _) in all {
        let first = ids.len();
        for new in *messages {
            let content = &new.content;
            if ids.iter().skip(first).any(|known| *known == content.id.0) {
                continue;
            }
            ids.push(content.id.0);
            sizes.push(signed(content.size_bytes()));
            let is_small = content.size_bytes() <= ROW_MAX_BYTES as u64;
            octets.push(is_small.then(|| content.front().as_ref()));
            checks.push(content.crc().map(i64::from));
        }
    }
    vec![Box::new(ids), Box::new(sizes), Box::new(octets), Box::new(checks)]
}

fn facts<'a>(messages: &[(&'a NewMessage, i64)]) -> Values<'a> {
    fn column<'a, T>(messages: &[(&'a NewMessage, i64)], of: impl Fn(&'a NewMessage) -> T) -> Vec<T> {
        messages.iter().map(|(new, _)| of(new)).collect()
    }
    let text = |text: &str| without_nul(text).into_owned();
    vec![
        Box::new(column(messages, |new| new.message.id.0)),
        Box::new(column(messages, |new| new.content.id.0)),
        Box::new(column(messages, |new| new.message.flow.as_str())),
        Box::new(column(messages, |new| text(&new.message.reverse_path.to_bare()))),
        Box::new(column(messages, |new| new.message.body == mail::Body::EightBit)),
        Box::new(column(messages, |new| new.message.smtputf8)),
        Box::new(column(messages, |new| new.message.ret.map(ret_word))),
        Box::new(column(messages, |new| new.message.envid.as_deref().map(text))),
        Box::new(column(messages, |new| new.message.arrived_ms)),
        Box::new(column(messages, |new| new.message.expires_ms)),
        Box::new(column(messages, |new| new.message.prefix.as_ref())),
        Box::new(column(messages, |new| new.message.rewritten_path.as_ref().map(|path| text(&path.to_bare())))),
        Box::new(column(messages, |new| new.message.may_report)),
        Box::new(column(messages, |new| new.message.mendable)),
        Box::new(column(messages, |new| i64::from(new.message.tls as u8))),
    ]
}

fn recipients<'a>(messages: &[(&'a NewMessage, i64)], owner: i64) -> Values<'a> {
    let text = |text: String| without_nul(&text).into_owned();
    let (mut ids, mut places, mut lanes, mut mailboxes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut aliases, mut notifies, mut orcpts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut states, mut times, mut reasons, mut owners) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (new, lease_ms) in messages {
        let (state, at_ms) = first_state(new, *lease_ms);
        for (n, recipient) in (0_i64..).zip(&new.recipients) {
            ids.push(new.message.id.0);
            places.push(n);
            lanes.push(recipient.mailbox.domain.as_str());
            mailboxes.push(text(recipient.mailbox.to_string()));
            aliases.push(recipient.known_as.as_ref().map(|alias| text(alias.to_string())));
            notifies.push(recipient.notify.to_parameter());
            orcpts.push(orcpt_text(recipient).map(text));
            states.push(i64::from(state as u8));
            times.push(at_ms);
            reasons.push(new.held.clone().map(text));
            owners.push((state == RecipientState::Claimed).then_some(owner));
        }
    }
    vec![
        Box::new(ids),
        Box::new(places),
        Box::new(lanes),
        Box::new(mailboxes),
        Box::new(aliases),
        Box::new(notifies),
        Box::new(orcpts),
        Box::new(states),
        Box::new(times),
        Box::new(reasons),
        Box::new(owners),
    ]
}

/// Returns what applies the results of recipients, each under the lease of its claim or under any of this stay.
pub(super) fn settle(settlements: &[&Settlement], any_owner: i64) -> Vec<Step<'static>> {
    let results =
        || settlements.iter().flat_map(|s| s.recipients.iter().map(|(key, result)| (*key, result, s.lease.0.unwrap_or(any_owner))));
    let done: Vec<RecipientKey> = results().filter(|(_, result, _)| **result == Disposition::Done).map(|(key, _, _)| key).collect();
    let mut steps = Vec::new();
    let others: Vec<_> = results().filter(|(_, result, _)| **result != Disposition::Done).collect();
    if !others.is_empty() {
        steps.push(Step::Prepared { sql: DEFER, values: deferred(&others) });
    }
    if done.is_empty() {
        return steps;
    }
    let ids: Vec<i64> = done.iter().map(|key| key.message.0).collect();
    let places: Vec<i64> = done.iter().map(|key| key.index.into()).collect();
    let keys = || -> Values<'static> { vec![Box::new(ids.clone()), Box::new(places.clone())] };
    steps.extend([
        Step::Prepared { sql: LOCK_MESSAGES, values: keys() },
        Step::Prepared { sql: LOCK_CONTENTS, values: vec![Box::new(ids.clone())] },
        Step::Prepared { sql: REMOVE_RECIPIENTS, values: keys() },
        Step::Prepared { sql: REMOVE_DONE, values: vec![Box::new(ids.clone()), Box::new(signed(ROW_MAX_BYTES as u64))] },
    ]);
    steps
}

/// Whether the rows of a statement are recipients that it has changed.
pub(super) fn changes_recipients(step: &Step<'_>) -> bool {
    matches!(step, Step::Prepared { sql, .. } if *sql == DEFER || *sql == REMOVE_RECIPIENTS)
}

fn deferred(results: &[(RecipientKey, &Disposition, i64)]) -> Values<'static> {
    let text = |text: &str| without_nul(text).into_owned();
    let (mut ids, mut places, mut states, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut codes, mut reasons, mut counted, mut owners) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (key, result, owner) in results {
        let (state, at_ms, status, reason, counts) = match result {
            Disposition::Deferred { next_attempt_ms, status, reason, counts } => {
                (RecipientState::Waiting, Some(*next_attempt_ms), Some(status.to_string()), reason, *counts)
            }
            Disposition::SetAside { reason } => (RecipientState::SetAside, None, None, reason, false),
            Disposition::Done => continue,
        };
        ids.push(key.message.0);
        places.push(i64::from(key.index));
        states.push(i64::from(state as u8));
        times.push(at_ms);
        codes.push(status);
        reasons.push(text(reason));
        counted.push(i64::from(counts));
        owners.push(*owner);
    }
    vec![
        Box::new(ids),
        Box::new(places),
        Box::new(states),
        Box::new(times),
        Box::new(codes),
        Box::new(reasons),
        Box::new(counted),
        Box::new(owners),
    ]
}
