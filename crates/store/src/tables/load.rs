//! What waits in the queue: by lane and by age.
//!
//! Invariant: one pass over the index of the lanes, which has all that is needed; no message is read.

use mail::QueueId;

use crate::engine::{Sql, values};
use crate::error::StoreError;
use crate::recipient_state::IS_ACTIVE;

/// Ages that are told apart, in milliseconds, and their words; older ones are the last word.
const AGES: [(i64, &str); 5] = [(60_000, "1m"), (600_000, "10m"), (3_600_000, "1h"), (14_400_000, "4h"), (86_400_000, "1d")];

/// The word for recipients that are older than all of these.
const OLDER: &str = "older";

/// What waits in the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueLoad {
    /// The largest lanes, by size; then, if there are more, the sum of all others.
    pub lanes: Vec<LaneLoad>,
    /// The recipients by age: the word of an age (at most that old), and their number.
    pub by_age: Vec<(&'static str, u64)>,
}

/// What waits in one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneLoad {
    /// The recipients' domain; `None` is the sum of other lanes.
    pub lane: Option<String>,
    /// Recipients that wait or are being delivered.
    pub recipients: u64,
    /// Age of the oldest of them, in milliseconds.
    pub oldest_ms: i64,
}

/// Returns the recipients that wait or are being delivered: the largest `lanes_max` lanes, the sum of all others, and the ages. An age is the time since the
/// queue ID was made. The cost grows with the length of the queue.
pub(crate) fn load(db: &dyn Sql, now_ms: i64, lanes_max: usize) -> Result<QueueLoad, StoreError> {
    let [a, b, c, d, e] = AGES.map(|(age_ms, _)| QueueId::first_of(now_ms - age_ms).0);
    let younger_than = |n: usize| format!("count(*) FILTER (WHERE message_id >= ?{n})");
    let ages = [1, 2, 3, 4, 5].map(younger_than).join(", ");
    let sql = format!("SELECT lane, count(*), min(message_id), {ages} FROM recipient WHERE {IS_ACTIVE} GROUP BY lane");
    let (mut lanes, mut younger, mut total) = (Vec::new(), [0_u64; AGES.len()], 0);
    db.query(&sql, values![a, b, c, d, e], &mut |row| {
        let count = |column: usize| row.get::<i64>(column).map(|n| u64::try_from(n).unwrap_or_default());
        let recipients = count(1)?;
        total += recipients;
        for (place, sum) in younger.iter_mut().enumerate() {
            *sum += count(3 + place)?;
        }
        let age_ms = now_ms - QueueId(row.get(2)?).made_ms();
        lanes.push(LaneLoad { lane: row.get(0).ok(), recipients, oldest_ms: age_ms.max(0) });
        Ok(())
    })?;
    Ok(QueueLoad { lanes: largest(lanes, lanes_max), by_age: by_age(younger, total) })
}

/// Returns the largest lanes, and the sum of the others as a lane without a name.
fn largest(mut lanes: Vec<LaneLoad>, most: usize) -> Vec<LaneLoad> {
    lanes.sort_unstable_by(|a, b| b.recipients.cmp(&a.recipients).then_with(|| a.lane.cmp(&b.lane)));
    let (mut named, unnamed): (Vec<LaneLoad>, Vec<LaneLoad>) = lanes.into_iter().partition(|lane| lane.lane.is_some());
    let rest = named.split_off(named.len().min(most)).into_iter().chain(unnamed);
    let rest = rest.reduce(|sum, lane| LaneLoad {
        lane: None,
        recipients: sum.recipients + lane.recipients,
        oldest_ms: sum.oldest_ms.max(lane.oldest_ms),
    });
    named.extend(rest.map(|rest| LaneLoad { lane: None, ..rest }));
    named
}

/// Returns the recipients of each age, from those that are at least as young.
fn by_age(younger: [u64; AGES.len()], total: u64) -> Vec<(&'static str, u64)> {
    let words = AGES.iter().map(|(_, word)| *word).chain([OLDER]);
    let mut below = 0;
    let counts = younger.into_iter().chain([total]).map(|sum| {
        let count = sum.saturating_sub(below);
        below = sum;
        count
    });
    words.zip(counts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_engines::{each_engine, sqlite_database};

    fn lane(name: &str, recipients: u64, oldest_ms: i64) -> LaneLoad {
        LaneLoad { lane: Some(name.to_owned()), recipients, oldest_ms }
    }

    #[test]
    fn the_largest_lanes_have_names_and_the_rest_is_one() {
        let lanes = vec![lane("a.test", 1, 500), lane("b.test", 9, 10), lane("c.test", 5, 700), lane("d.test", 1, 900)];
        let other = LaneLoad { lane: None, recipients: 2, oldest_ms: 900 };
        assert_eq!(largest(lanes.clone(), 2), [lane("b.test", 9, 10), lane("c.test", 5, 700), other]);
        assert_eq!(largest(lanes, 9).iter().filter(|lane| lane.lane.is_none()).count(), 0);
        assert_eq!(largest(vec![lane("a.test", 1, 5)], 0), [LaneLoad { lane: None, recipients: 1, oldest_ms: 5 }]);
    }

    #[test]
    fn recipients_are_counted_by_lane_and_age() {
        each_engine(|db| {
            let now_ms = 1_700_000_000_000;
            let insert = |n: i64, lane: &str, age_ms: i64, state: i64| {
                let id = QueueId::first_of(now_ms - age_ms).0 + n;
                let sql = "INSERT INTO recipient (message_id, n, lane, mailbox, state, next_attempt_ms) VALUES (?, 0, ?, 'x', ?, 0)";
                db.execute(sql, values![id, lane, state]).unwrap();
            };
            for n in 0..4 {
                insert(n, "a.test", 1_000, 0);
            }
            insert(5, "a.test", 7_200_000, 1);
            insert(6, "b.test", 172_800_000, 0);
            insert(7, "held.test", 5, 3);
            let load = load(db, now_ms, 1).unwrap();
            assert_eq!(load.lanes, [lane("a.test", 5, 7_200_000), LaneLoad { lane: None, recipients: 1, oldest_ms: 172_800_000 }]);
            assert_eq!(load.by_age, [("1m", 4), ("10m", 0), ("1h", 0), ("4h", 1), ("1d", 0), ("older", 1)]);
        });
    }

    #[test]
    fn the_load_is_read_from_an_index() {
        let db = sqlite_database();
        let plan: String = db
            .query_row(
                "EXPLAIN QUERY PLAN SELECT lane, count(*), min(message_id) FROM recipient WHERE state < 2 GROUP BY lane",
                [],
                |row| row.get(3),
            )
            .unwrap();
        assert!(plan.contains("USING INDEX recipient_lane"), "{plan}");
    }
}
