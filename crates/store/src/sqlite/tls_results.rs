//! How sessions with other domains' hosts went, until that is reported to them.
//!
//! RFC 8460 s.4.1. Invariant: results go in the transaction that queues their last report or gives it up, so none is reported twice and none is lost;
//! both tables are bounded.

use rusqlite::{Connection, OptionalExtension, params};

use super::queue::enqueue;
use crate::error::StoreError;
use crate::message::NewMessage;

/// Rows of results that are kept; what is new beyond them is not counted.
const RESULTS_MAX: i64 = 200_000;

/// Rows of one domain and time: policies and kinds of failures.
const DOMAIN_MAX: i64 = 200;

/// A report that could not be delivered is given up after this time, in milliseconds.
const GIVE_UP_MS: i64 = 86_400_000;

/// Whose results, of when.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsPeriod {
    /// Where it begins, in Unix seconds.
    pub begin_s: i64,
    /// Where it ends.
    pub end_s: i64,
    /// The policy domain.
    pub domain: String,
}

/// Sessions that went alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsCount {
    /// Whose, of when.
    pub period: TlsPeriod,
    /// The policy, as JSON.
    pub policy: String,
    /// What was wrong, as JSON; empty where nothing was.
    pub failure: String,
    /// What was said about it last.
    pub reason: String,
    /// How many.
    pub times: u64,
}

/// A report that is due.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsReportDue {
    /// Whose, of when.
    pub period: TlsPeriod,
    /// Where to; empty where nobody has asked yet.
    pub target: String,
    /// When it is given up, Unix milliseconds.
    pub give_up_ms: i64,
}

/// A change of what is to be reported.
#[derive(Debug, Clone)]
pub enum TlsChange {
    /// Sessions.
    Count(Vec<TlsCount>),
    /// What has ended before `ended_s` is to be reported, at a time between now and `spread_ms` later; what ended before `old_s` is forgotten.
    Plan {
        /// Unix seconds.
        ended_s: i64,
        /// Unix seconds.
        old_s: i64,
        /// Now, Unix milliseconds.
        now_ms: i64,
        /// Milliseconds.
        spread_ms: i64,
    },
    /// A report is on its way by these messages, or given up; what it goes to besides is still to be done.
    Done {
        /// The report.
        due: TlsReportDue,
        /// The messages.
        messages: Vec<NewMessage>,
        /// Further targets, due now.
        more: Vec<String>,
        /// Now, Unix milliseconds.
        now_ms: i64,
    },
    /// It is tried again.
    Later {
        /// The report.
        due: TlsReportDue,
        /// When, Unix milliseconds.
        next_ms: i64,
    },
}

/// Applies a change.
pub(crate) fn change_tls(db: &Connection, change: &TlsChange) -> Result<(), StoreError> {
    match change {
        TlsChange::Count(counts) => count(db, counts),
        TlsChange::Plan { ended_s, old_s, now_ms, spread_ms } => {
            db.prepare_cached("DELETE FROM tls_result WHERE end_s <= ?")?.execute([old_s])?;
            db.prepare_cached("DELETE FROM tls_report WHERE end_s <= ?")?.execute([old_s])?;
            db.prepare_cached(
                "INSERT INTO tls_report (begin_s, end_s, domain, target, next_ms, give_up_ms) \
                 SELECT begin_s, end_s, domain, '', ?2 + abs(random() % max(?3, 1)), ?2 + ?3 + ?4 \
                 FROM (SELECT DISTINCT begin_s, end_s, domain FROM tls_result WHERE end_s <= ?1) r \
                 WHERE NOT EXISTS (SELECT 1 FROM tls_report t WHERE t.begin_s = r.begin_s AND t.end_s = r.end_s AND t.domain = r.domain)",
            )?
            .execute(params![ended_s, now_ms, spread_ms, GIVE_UP_MS])?;
            Ok(())
        }
        TlsChange::Done { due, messages, more, now_ms } => done(db, due, messages, more, *now_ms),
        TlsChange::Later { due, next_ms } => {
            let TlsPeriod { begin_s, end_s, domain } = &due.period;
            db.prepare_cached("UPDATE tls_report SET next_ms = ? WHERE begin_s = ? AND end_s = ? AND domain = ? AND target = ?")?
                .execute(params![next_ms, begin_s, end_s, domain, due.target])?;
            Ok(())
        }
    }
}

fn count(db: &Connection, counts: &[TlsCount]) -> Result<(), StoreError> {
    let rows: i64 = db.prepare_cached("SELECT count(*) FROM tls_result")?.query_row([], |row| row.get(0))?;
    let mut left = RESULTS_MAX - rows;
    for TlsCount { period: TlsPeriod { begin_s, end_s, domain }, policy, failure, reason, times } in counts {
        let times = i64::try_from(*times).unwrap_or(i64::MAX);
        let known = db
            .prepare_cached(
                "UPDATE tls_result SET times = times + ?6, reason = ?7 WHERE begin_s = ?1 AND end_s = ?2 AND domain = ?3 AND policy = ?4 AND failure = ?5",
            )?
            .execute(params![begin_s, end_s, domain, policy, failure, times, reason])?;
        if known > 0 || left <= 0 {
            continue;
        }
        left -= 1;
        db.prepare_cached(
            "INSERT INTO tls_result (begin_s, end_s, domain, policy, failure, times, reason) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 \
             WHERE (SELECT count(*) FROM tls_result WHERE begin_s = ?1 AND end_s = ?2 AND domain = ?3) < ?8",
        )?
        .execute(params![begin_s, end_s, domain, policy, failure, times, reason, DOMAIN_MAX])?;
    }
    Ok(())
}

fn done(db: &Connection, due: &TlsReportDue, messages: &[NewMessage], more: &[String], now_ms: i64) -> Result<(), StoreError> {
    let TlsPeriod { begin_s, end_s, domain } = &due.period;
    let removed = db
        .prepare_cached("DELETE FROM tls_report WHERE begin_s = ? AND end_s = ? AND domain = ? AND target = ?")?
        .execute(params![begin_s, end_s, domain, due.target])?;
    if removed == 0 {
        return Err(StoreError::NotFound(format!("the report of TLS about {domain}, which is sent already")));
    }
    for target in more {
        db.prepare_cached(
            "INSERT OR IGNORE INTO tls_report (begin_s, end_s, domain, target, next_ms, give_up_ms) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![begin_s, end_s, domain, target, now_ms, due.give_up_ms])?;
    }
    let left = db
        .prepare_cached("SELECT 1 FROM tls_report WHERE begin_s = ? AND end_s = ? AND domain = ? LIMIT 1")?
        .query_row(params![begin_s, end_s, domain], |_| Ok(()))
        .optional()?;
    if left.is_none() {
        db.prepare_cached("DELETE FROM tls_result WHERE begin_s = ? AND end_s = ? AND domain = ?")?
            .execute(params![begin_s, end_s, domain])?;
    }
    if messages.is_empty() { Ok(()) } else { enqueue(db, messages, now_ms) }
}

/// Reports that are due, those that waited for the longest time first.
pub(crate) fn tls_reports_due(db: &Connection, now_ms: i64, limit: u32) -> Result<Vec<TlsReportDue>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT begin_s, end_s, domain, target, give_up_ms FROM tls_report WHERE next_ms <= ? ORDER BY next_ms LIMIT ?")?;
    let rows = statement.query_map(params![now_ms, limit], |row| {
        let period = TlsPeriod { begin_s: row.get(0)?, end_s: row.get(1)?, domain: row.get(2)? };
        Ok(TlsReportDue { period, target: row.get(3)?, give_up_ms: row.get(4)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The results of a domain and time.
pub(crate) fn tls_counts(db: &Connection, period: &TlsPeriod) -> Result<Vec<TlsCount>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT policy, failure, reason, times FROM tls_result WHERE begin_s = ? AND end_s = ? AND domain = ? ORDER BY policy, failure",
    )?;
    let rows = statement.query_map(params![period.begin_s, period.end_s, period.domain], |row| {
        let times: i64 = row.get(3)?;
        Ok(TlsCount {
            period: period.clone(),
            policy: row.get(0)?,
            failure: row.get(1)?,
            reason: row.get(2)?,
            times: u64::try_from(times).unwrap_or(0),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&db).unwrap();
        db
    }

    fn period(domain: &str, begin_s: i64) -> TlsPeriod {
        TlsPeriod { begin_s, end_s: begin_s + 10, domain: domain.into() }
    }

    fn counted(domain: &str, begin_s: i64, failure: &str) -> TlsCount {
        TlsCount { period: period(domain, begin_s), policy: "{}".into(), failure: failure.into(), reason: "r".into(), times: 2 }
    }

    fn plan(db: &Connection, now_s: i64) {
        let change = TlsChange::Plan { ended_s: now_s, old_s: now_s - 1000, now_ms: now_s * 1000, spread_ms: 5000 };
        change_tls(db, &change).unwrap();
    }

    #[test]
    fn results_are_reported_once_and_after_their_end() {
        let db = database();
        change_tls(&db, &TlsChange::Count(vec![counted("a", 0, ""), counted("a", 0, "x"), counted("a", 0, ""), counted("a", 10, "")]))
            .unwrap();
        plan(&db, 9);
        assert!(tls_reports_due(&db, i64::MAX, 10).unwrap().is_empty());
        plan(&db, 10);
        plan(&db, 11);
        assert!(tls_reports_due(&db, 9999, 10).unwrap().is_empty());
        let due = tls_reports_due(&db, 15_000, 10).unwrap();
        let [one] = &due[..] else { panic!("{due:?}") };
        assert_eq!((one.period.clone(), one.target.as_str(), one.give_up_ms), (period("a", 0), "", 10_000 + 5000 + GIVE_UP_MS));
        let counts = tls_counts(&db, &one.period).unwrap();
        assert_eq!(counts.iter().map(|c| (c.failure.as_str(), c.times)).collect::<Vec<_>>(), [("", 4), ("x", 2)]);
        let done = |due: &TlsReportDue, more: &[&str]| {
            let more = more.iter().map(ToString::to_string).collect();
            change_tls(&db, &TlsChange::Done { due: due.clone(), messages: vec![], more, now_ms: 1 })
        };
        done(one, &["https://b/"]).unwrap();
        assert!(matches!(done(one, &[]), Err(StoreError::NotFound(_))), "not twice");
        plan(&db, 12);
        let due = tls_reports_due(&db, 1, 10).unwrap();
        assert_eq!(due.len(), 1);
        change_tls(&db, &TlsChange::Later { due: due[0].clone(), next_ms: 50 }).unwrap();
        assert!(tls_reports_due(&db, 49, 10).unwrap().is_empty() && tls_reports_due(&db, 50, 10).unwrap() == due);
        done(&due[0], &[]).unwrap();
        assert!(tls_counts(&db, &period("a", 0)).unwrap().is_empty());
        assert_eq!(tls_counts(&db, &period("a", 10)).unwrap().len(), 1);
    }

    #[test]
    fn what_is_old_goes_and_a_domain_has_a_bound() {
        let db = database();
        let many = (0..500).map(|n| counted("a", 0, &n.to_string())).chain([counted("b", 0, "")]).collect();
        change_tls(&db, &TlsChange::Count(many)).unwrap();
        assert_eq!(tls_counts(&db, &period("a", 0)).unwrap().len(), usize::try_from(DOMAIN_MAX).unwrap());
        assert_eq!(tls_counts(&db, &period("b", 0)).unwrap().len(), 1);
        plan(&db, 1009);
        assert_eq!(tls_reports_due(&db, i64::MAX, 10).unwrap().len(), 2);
        plan(&db, 1010);
        assert!(tls_reports_due(&db, i64::MAX, 10).unwrap().is_empty() && tls_counts(&db, &period("b", 0)).unwrap().is_empty());
    }
}
