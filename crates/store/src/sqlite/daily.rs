//! What other domains are told once a day, until it is told: how sessions with their hosts went (TLS), what came under their names (DMARC).
//!
//! RFC 8460 s.4.1, RFC 9990. Invariant: results go in the transaction that queues their last report or gives it up, so none is reported twice and
//! none is lost; both tables are bounded, and what does not fit is counted for the log.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, OptionalExtension, params};

use super::queue::enqueue;
use crate::error::StoreError;
use crate::message::NewMessage;

/// A report that could not be delivered is given up after this time, in milliseconds.
const GIVE_UP_MS: i64 = 86_400_000;

/// What is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DailyKind {
    /// How TLS went.
    Tls,
    /// What was seen of mail under a domain's name.
    Dmarc,
}

/// How many rows of results are kept; what is new beyond them is left out.
struct Bounds {
    /// In all.
    rows: i64,
    /// Of one domain and time.
    domain_rows: i64,
    /// Domains of one time.
    domains: i64,
}

impl DailyKind {
    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Dmarc => "dmarc",
        }
    }

    /// Whom we write to we choose ourselves; who writes to us chooses his names, so there are fewer rows of these.
    fn bounds(self) -> Bounds {
        match self {
            Self::Tls => Bounds { rows: 200_000, domain_rows: 200, domains: 200_000 },
            Self::Dmarc => Bounds { rows: 50_000, domain_rows: 1000, domains: 5000 },
        }
    }
}

/// Whose results, of when.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DailyPeriod {
    /// What is reported.
    pub kind: DailyKind,
    /// Where it begins, in Unix seconds.
    pub begin_s: i64,
    /// Where it ends.
    pub end_s: i64,
    /// The policy domain.
    pub domain: String,
}

/// Sessions that went alike, or messages that were alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyCount {
    /// Whose, of when.
    pub period: DailyPeriod,
    /// The policy, as JSON.
    pub policy: String,
    /// What was wrong, as JSON, and empty where nothing was (TLS); what was seen, as JSON (DMARC).
    pub detail: String,
    /// What was said about it last (TLS); when the last one came, in Unix seconds (DMARC).
    pub reason: String,
    /// How many.
    pub times: u64,
}

/// A report that is due.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DailyReportDue {
    /// Whose, of when.
    pub period: DailyPeriod,
    /// Where to; empty where nobody has asked yet.
    pub target: String,
    /// When it is given up, Unix milliseconds.
    pub give_up_ms: i64,
}

/// A change of what is to be reported.
#[derive(Debug, Clone)]
pub enum DailyChange {
    /// Sessions or messages.
    Count(Vec<DailyCount>),
    /// What has ended before `ended_s` is to be reported, at a time between now and `spread_ms` later; what ended before `old_s` is forgotten.
    Plan {
        /// What is reported.
        kind: DailyKind,
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
        due: DailyReportDue,
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
        due: DailyReportDue,
        /// When, Unix milliseconds.
        next_ms: i64,
    },
}

/// Applies a change. Returns how many sessions or messages were left out for lack of room.
pub(crate) fn change_daily(db: &Connection, change: &DailyChange) -> Result<u64, StoreError> {
    match change {
        DailyChange::Count(counts) => return count(db, counts),
        DailyChange::Plan { kind, ended_s, old_s, now_ms, spread_ms } => {
            db.prepare_cached("DELETE FROM daily_result WHERE kind = ? AND end_s <= ?")?.execute(params![kind.as_str(), old_s])?;
            db.prepare_cached("DELETE FROM daily_report WHERE kind = ? AND end_s <= ?")?.execute(params![kind.as_str(), old_s])?;
            db.prepare_cached(
                "INSERT INTO daily_report (kind, begin_s, end_s, domain, target, next_ms, give_up_ms) \
                 SELECT ?5, begin_s, end_s, domain, '', ?2 + abs(random() % max(?3, 1)), ?2 + ?3 + ?4 \
                 FROM (SELECT DISTINCT begin_s, end_s, domain FROM daily_result WHERE kind = ?5 AND end_s <= ?1) r \
                 WHERE NOT EXISTS (SELECT 1 FROM daily_report t \
                 WHERE t.kind = ?5 AND t.begin_s = r.begin_s AND t.end_s = r.end_s AND t.domain = r.domain)",
            )?
            .execute(params![ended_s, now_ms, spread_ms, GIVE_UP_MS, kind.as_str()])?;
        }
        DailyChange::Done { due, messages, more, now_ms } => done(db, due, messages, more, *now_ms)?,
        DailyChange::Later { due, next_ms } => {
            let DailyPeriod { kind, begin_s, end_s, domain } = &due.period;
            db.prepare_cached(
                "UPDATE daily_report SET next_ms = ? WHERE kind = ? AND begin_s = ? AND end_s = ? AND domain = ? AND target = ?",
            )?
            .execute(params![next_ms, kind.as_str(), begin_s, end_s, domain, due.target])?;
        }
    }
    Ok(0)
}

/// What there is of a kind, while some of it is counted.
struct Room {
    kind: DailyKind,
    rows: i64,
    /// Domains, by period.
    domains: HashMap<(i64, i64), i64>,
}

impl Room {
    fn of(db: &Connection, kind: DailyKind) -> Result<Self, StoreError> {
        let rows = "SELECT count(*) FROM daily_result WHERE kind = ?";
        let rows = db.prepare_cached(rows)?.query_row([kind.as_str()], |row| row.get(0))?;
        Ok(Self { kind, rows, domains: HashMap::new() })
    }

    /// Takes a place for one more row, where there is one.
    fn take(&mut self, db: &Connection, period: &DailyPeriod) -> Result<bool, StoreError> {
        let (bounds, kind, DailyPeriod { begin_s, end_s, domain, .. }) = (self.kind.bounds(), self.kind.as_str(), period);
        let of_domain: i64 = db
            .prepare_cached("SELECT count(*) FROM daily_result WHERE kind = ? AND begin_s = ? AND end_s = ? AND domain = ?")?
            .query_row(params![kind, begin_s, end_s, domain], |row| row.get(0))?;
        if self.rows >= bounds.rows || of_domain >= bounds.domain_rows {
            return Ok(false);
        }
        if of_domain == 0 {
            let domains = match self.domains.entry((*begin_s, *end_s)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(
                    db.prepare_cached("SELECT count(DISTINCT domain) FROM daily_result WHERE kind = ? AND begin_s = ? AND end_s = ?")?
                        .query_row(params![kind, begin_s, end_s], |row| row.get(0))?,
                ),
            };
            if *domains >= bounds.domains {
                return Ok(false);
            }
            *domains += 1;
        }
        self.rows += 1;
        Ok(true)
    }
}

fn count(db: &Connection, counts: &[DailyCount]) -> Result<u64, StoreError> {
    let mut rooms: Vec<Room> = Vec::new();
    let mut left_out = 0;
    for DailyCount { period, policy, detail, reason, times } in counts {
        let DailyPeriod { kind, begin_s, end_s, domain } = period;
        let count = i64::try_from(*times).unwrap_or(i64::MAX);
        let known = db
            .prepare_cached(
                "UPDATE daily_result SET times = times + ?6, reason = ?7 \
                 WHERE kind = ?8 AND begin_s = ?1 AND end_s = ?2 AND domain = ?3 AND policy = ?4 AND detail = ?5",
            )?
            .execute(params![begin_s, end_s, domain, policy, detail, count, reason, kind.as_str()])?;
        if known > 0 {
            continue;
        }
        if !rooms.iter().any(|room| room.kind == *kind) {
            rooms.push(Room::of(db, *kind)?);
        }
        let Some(room) = rooms.iter_mut().find(|room| room.kind == *kind) else { continue };
        if !room.take(db, period)? {
            left_out += times;
            continue;
        }
        db.prepare_cached(
            "INSERT INTO daily_result (kind, begin_s, end_s, domain, policy, detail, times, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![kind.as_str(), begin_s, end_s, domain, policy, detail, count, reason])?;
    }
    Ok(left_out)
}

fn done(db: &Connection, due: &DailyReportDue, messages: &[NewMessage], more: &[String], now_ms: i64) -> Result<(), StoreError> {
    let DailyPeriod { kind, begin_s, end_s, domain } = &due.period;
    let kind = kind.as_str();
    let removed = db
        .prepare_cached("DELETE FROM daily_report WHERE kind = ? AND begin_s = ? AND end_s = ? AND domain = ? AND target = ?")?
        .execute(params![kind, begin_s, end_s, domain, due.target])?;
    if removed == 0 {
        return Err(StoreError::NotFound(format!("the report ({kind}) about {domain}, which is sent already")));
    }
    for target in more {
        db.prepare_cached(
            "INSERT OR IGNORE INTO daily_report (kind, begin_s, end_s, domain, target, next_ms, give_up_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![kind, begin_s, end_s, domain, target, now_ms, due.give_up_ms])?;
    }
    let left = db
        .prepare_cached("SELECT 1 FROM daily_report WHERE kind = ? AND begin_s = ? AND end_s = ? AND domain = ? LIMIT 1")?
        .query_row(params![kind, begin_s, end_s, domain], |_| Ok(()))
        .optional()?;
    if left.is_none() {
        db.prepare_cached("DELETE FROM daily_result WHERE kind = ? AND begin_s = ? AND end_s = ? AND domain = ?")?
            .execute(params![kind, begin_s, end_s, domain])?;
    }
    if messages.is_empty() { Ok(()) } else { enqueue(db, messages, now_ms) }
}

/// Reports of a kind that are due, those that waited for the longest time first.
pub(crate) fn daily_reports_due(db: &Connection, kind: DailyKind, now_ms: i64, limit: u32) -> Result<Vec<DailyReportDue>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT begin_s, end_s, domain, target, give_up_ms FROM daily_report WHERE kind = ? AND next_ms <= ? ORDER BY next_ms LIMIT ?",
    )?;
    let rows = statement.query_map(params![kind.as_str(), now_ms, limit], |row| {
        let period = DailyPeriod { kind, begin_s: row.get(0)?, end_s: row.get(1)?, domain: row.get(2)? };
        Ok(DailyReportDue { period, target: row.get(3)?, give_up_ms: row.get(4)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The results of a domain and time.
pub(crate) fn daily_counts(db: &Connection, period: &DailyPeriod) -> Result<Vec<DailyCount>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT policy, detail, reason, times FROM daily_result WHERE kind = ? AND begin_s = ? AND end_s = ? AND domain = ? \
         ORDER BY policy, detail",
    )?;
    let rows = statement.query_map(params![period.kind.as_str(), period.begin_s, period.end_s, period.domain], |row| {
        let times: i64 = row.get(3)?;
        Ok(DailyCount {
            period: period.clone(),
            policy: row.get(0)?,
            detail: row.get(1)?,
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

    fn period(domain: &str, begin_s: i64) -> DailyPeriod {
        DailyPeriod { kind: DailyKind::Tls, begin_s, end_s: begin_s + 10, domain: domain.into() }
    }

    fn counted(domain: &str, begin_s: i64, failure: &str) -> DailyCount {
        DailyCount { period: period(domain, begin_s), policy: "{}".into(), detail: failure.into(), reason: "r".into(), times: 2 }
    }

    fn plan(db: &Connection, now_s: i64) {
        let change = DailyChange::Plan { kind: DailyKind::Tls, ended_s: now_s, old_s: now_s - 1000, now_ms: now_s * 1000, spread_ms: 5000 };
        change_daily(db, &change).unwrap();
    }

    #[test]
    fn results_are_reported_once_and_after_their_end() {
        let db = database();
        change_daily(&db, &DailyChange::Count(vec![counted("a", 0, ""), counted("a", 0, "x"), counted("a", 0, ""), counted("a", 10, "")]))
            .unwrap();
        plan(&db, 9);
        assert!(daily_reports_due(&db, DailyKind::Tls, i64::MAX, 10).unwrap().is_empty());
        plan(&db, 10);
        plan(&db, 11);
        assert!(daily_reports_due(&db, DailyKind::Tls, 9999, 10).unwrap().is_empty());
        let due = daily_reports_due(&db, DailyKind::Tls, 15_000, 10).unwrap();
        let [one] = &due[..] else { panic!("{due:?}") };
        assert_eq!((one.period.clone(), one.target.as_str(), one.give_up_ms), (period("a", 0), "", 10_000 + 5000 + GIVE_UP_MS));
        let counts = daily_counts(&db, &one.period).unwrap();
        assert_eq!(counts.iter().map(|c| (c.detail.as_str(), c.times)).collect::<Vec<_>>(), [("", 4), ("x", 2)]);
        let done = |due: &DailyReportDue, more: &[&str]| {
            let more = more.iter().map(ToString::to_string).collect();
            change_daily(&db, &DailyChange::Done { due: due.clone(), messages: vec![], more, now_ms: 1 })
        };
        done(one, &["https://b/"]).unwrap();
        assert!(matches!(done(one, &[]), Err(StoreError::NotFound(_))), "not twice");
        plan(&db, 12);
        let due = daily_reports_due(&db, DailyKind::Tls, 1, 10).unwrap();
        assert_eq!(due.len(), 1);
        change_daily(&db, &DailyChange::Later { due: due[0].clone(), next_ms: 50 }).unwrap();
        assert!(
            daily_reports_due(&db, DailyKind::Tls, 49, 10).unwrap().is_empty()
                && daily_reports_due(&db, DailyKind::Tls, 50, 10).unwrap() == due
        );
        done(&due[0], &[]).unwrap();
        assert!(daily_counts(&db, &period("a", 0)).unwrap().is_empty());
        assert_eq!(daily_counts(&db, &period("a", 10)).unwrap().len(), 1);
    }

    #[test]
    fn what_is_old_goes_and_a_domain_has_a_bound() {
        let db = database();
        let many = (0..500).map(|n| counted("a", 0, &n.to_string())).chain([counted("b", 0, "")]).collect();
        change_daily(&db, &DailyChange::Count(many)).unwrap();
        assert_eq!(daily_counts(&db, &period("a", 0)).unwrap().len(), 200);
        assert_eq!(daily_counts(&db, &period("b", 0)).unwrap().len(), 1);
        plan(&db, 1009);
        assert_eq!(daily_reports_due(&db, DailyKind::Tls, i64::MAX, 10).unwrap().len(), 2);
        plan(&db, 1010);
        assert!(
            daily_reports_due(&db, DailyKind::Tls, i64::MAX, 10).unwrap().is_empty()
                && daily_counts(&db, &period("b", 0)).unwrap().is_empty()
        );
    }

    #[test]
    fn kinds_do_not_meet_and_domains_have_a_bound() {
        let db = database();
        let of =
            |domain: String| DailyCount { period: DailyPeriod { kind: DailyKind::Dmarc, ..period(&domain, 0) }, ..counted("", 0, "x") };
        let many: Vec<DailyCount> = (0..10_000).map(|n| of(format!("d{n}"))).chain([counted("d1", 0, "")]).collect();
        assert_eq!(change_daily(&db, &DailyChange::Count(many)).unwrap(), 10_000, "two of each of five thousand");
        assert_eq!(change_daily(&db, &DailyChange::Count(vec![of("d1".into()), of("new".into())])).unwrap(), 2);
        plan(&db, 20);
        let due = daily_reports_due(&db, DailyKind::Tls, i64::MAX, 10).unwrap();
        assert!(due.len() == 1 && daily_reports_due(&db, DailyKind::Dmarc, i64::MAX, 10).unwrap().is_empty());
        change_daily(&db, &DailyChange::Done { due: due[0].clone(), messages: vec![], more: vec![], now_ms: 1 }).unwrap();
        let left = daily_counts(&db, &of("d1".into()).period).unwrap();
        assert_eq!(left.iter().map(|count| count.times).collect::<Vec<_>>(), [4]);
    }
}
