//! The tables of results for DMARC and TLS reports, and of the reports that are due.
//!
//! RFC 8460 s.4.1, RFC 9990. Invariant: results are removed in the transaction that queues their last report or gives it up, so none is reported
//! twice and none is lost; both tables are bounded, and results that do not fit are counted for the log.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::daily::{DailyChange, DailyCount, DailyKind, DailyPeriod, DailyReportDue, DailyRow};
use crate::engine::{Sql, ToValue, values};
use crate::error::StoreError;
use crate::message::NewMessage;

/// Time after which an undelivered report is given up, in milliseconds.
const GIVE_UP_MS: i64 = 86_400_000;

/// Applies a change.
pub(crate) fn change_daily(db: &dyn Sql, change: &DailyChange) -> Result<(), StoreError> {
    match change {
        DailyChange::Plan { kind, ended_s, old_s, now_ms, spread_ms } => {
            db.execute("DELETE FROM daily_result WHERE kind = ? AND end_s <= ?", values![kind.as_str(), old_s])?;
            db.execute("DELETE FROM daily_report WHERE kind = ? AND end_s <= ?", values![kind.as_str(), old_s])?;
            plan(db, *kind, *ended_s, (*now_ms, *spread_ms))?;
        }
        DailyChange::Done { due, messages, more, now_ms } => done(db, due, messages, more, *now_ms)?,
        DailyChange::Later { due, next_ms } => {
            let DailyPeriod { kind, begin_s, end_s, domain } = &due.period;
            db.execute(
                "UPDATE daily_report SET next_ms = ? WHERE kind = ? AND begin_s = ? AND end_s = ? AND domain = ? AND target = ?",
                values![next_ms, kind.as_str(), begin_s, end_s, domain, due.target],
            )?;
        }
    }
    Ok(())
}

/// Makes a report due for each period that has ended and has none, at a time within the spread that differs by domain.
fn plan(db: &dyn Sql, kind: DailyKind, ended_s: i64, (now_ms, spread_ms): (i64, i64)) -> Result<(), StoreError> {
    let sql = "SELECT DISTINCT begin_s, end_s, domain FROM daily_result r WHERE kind = ?1 AND end_s <= ?2 AND NOT EXISTS \
               (SELECT 1 FROM daily_report t WHERE t.kind = r.kind AND t.begin_s = r.begin_s AND t.end_s = r.end_s AND t.domain = r.domain)";
    let ended = db.rows(sql, values![kind.as_str(), ended_s], |row| {
        let domain: String = row.get("domain")?;
        let offset = crc32fast::hash(format!("{domain} {now_ms}").as_bytes());
        Ok((row.get::<i64>("begin_s")?, row.get::<i64>("end_s")?, domain, now_ms + i64::from(offset) % spread_ms.max(1)))
    })?;
    let give_up_ms = now_ms + spread_ms + GIVE_UP_MS;
    let lists: Vec<_> = ended
        .iter()
        .map(|(begin_s, end_s, domain, next_ms)| {
            vec![
                kind.as_str().to_value(),
                begin_s.to_value(),
                end_s.to_value(),
                domain.to_value(),
                next_ms.to_value(),
                give_up_ms.to_value(),
            ]
        })
        .collect();
    db.execute_each(
        "INSERT INTO daily_report (kind, begin_s, end_s, domain, target, next_ms, give_up_ms) VALUES (?1, ?2, ?3, ?4, '', ?5, ?6)",
        &lists,
    )
}

/// Counts the rows of a kind while results are added.
struct RowCounts {
    kind: DailyKind,
    rows: i64,
    /// Domains, by period.
    domains: HashMap<(i64, i64), i64>,
}

impl RowCounts {
    fn of(db: &dyn Sql, kind: DailyKind) -> Result<Self, StoreError> {
        let rows = db.one("SELECT count(*) FROM daily_result WHERE kind = ?", values![kind.as_str()])?;
        Ok(Self { kind, rows, domains: HashMap::new() })
    }

    /// Counts one more row if it is within the bounds.
    fn take(&mut self, db: &dyn Sql, period: &DailyPeriod) -> Result<bool, StoreError> {
        let (bounds, kind, DailyPeriod { begin_s, end_s, domain, .. }) = (self.kind.bounds(), self.kind.as_str(), period);
        let of_domain: i64 = db.one(
            "SELECT count(*) FROM daily_result WHERE kind = ? AND begin_s = ? AND end_s = ? AND domain = ?",
            values![kind, begin_s, end_s, domain],
        )?;
        if self.rows >= bounds.rows || of_domain >= bounds.domain_rows {
            return Ok(false);
        }
        if of_domain == 0 {
            let domains = match self.domains.entry((*begin_s, *end_s)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(db.one(
                    "SELECT count(DISTINCT domain) FROM daily_result WHERE kind = ? AND begin_s = ? AND end_s = ?",
                    values![kind, begin_s, end_s],
                )?),
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

/// Adds results. Returns the number of sessions or messages beyond the maximum, which are left out.
pub(crate) fn count_daily(db: &dyn Sql, rows: &[DailyRow]) -> Result<u64, StoreError> {
    let mut totals: Vec<RowCounts> = Vec::new();
    let mut left_out = 0;
    for DailyRow { period, policy, detail, note, times } in rows {
        let DailyPeriod { kind, begin_s, end_s, domain } = period;
        let count = i64::try_from(*times).unwrap_or(i64::MAX);
        let known = db.execute(
            "UPDATE daily_result SET times = times + ?6, reason = ?7 \
             WHERE kind = ?8 AND begin_s = ?1 AND end_s = ?2 AND domain = ?3 AND policy = ?4 AND detail = ?5",
            values![begin_s, end_s, domain, policy, detail, count, note, kind.as_str()],
        )?;
        if known > 0 {
            continue;
        }
        if !totals.iter().any(|total| total.kind == *kind) {
            totals.push(RowCounts::of(db, *kind)?);
        }
        let Some(total) = totals.iter_mut().find(|total| total.kind == *kind) else { continue };
        if !total.take(db, period)? {
            left_out += times;
            continue;
        }
        db.execute(
            "INSERT INTO daily_result (kind, begin_s, end_s, domain, policy, detail, times, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values![kind.as_str(), begin_s, end_s, domain, policy, detail, count, note],
        )?;
    }
    Ok(left_out)
}

fn done(db: &dyn Sql, due: &DailyReportDue, messages: &[NewMessage], more: &[String], now_ms: i64) -> Result<(), StoreError> {
    let DailyPeriod { kind, begin_s, end_s, domain } = &due.period;
    let kind = kind.as_str();
    let removed = db.execute(
        "DELETE FROM daily_report WHERE kind = ? AND begin_s = ? AND end_s = ? AND domain = ? AND target = ?",
        values![kind, begin_s, end_s, domain, due.target],
    )?;
    if removed == 0 {
        return Err(StoreError::NotFound(format!("the {kind} report to {domain} was sent already")));
    }
    for target in more {
        db.execute(
            "INSERT INTO daily_report (kind, begin_s, end_s, domain, target, next_ms, give_up_ms) VALUES (?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
            values![kind, begin_s, end_s, domain, target, now_ms, due.give_up_ms],
        )?;
    }
    let left = "SELECT 1 FROM daily_report WHERE kind = ? AND begin_s = ? AND end_s = ? AND domain = ? LIMIT 1";
    if !db.exists(left, values![kind, begin_s, end_s, domain])? {
        let sql = "DELETE FROM daily_result WHERE kind = ? AND begin_s = ? AND end_s = ? AND domain = ?";
        db.execute(sql, values![kind, begin_s, end_s, domain])?;
    }
    if messages.is_empty() { Ok(()) } else { db.enqueue(messages, now_ms) }
}

/// Returns the reports of a kind that are due, the longest due first.
pub(crate) fn daily_reports_due(db: &dyn Sql, kind: DailyKind, now_ms: i64, limit: u32) -> Result<Vec<DailyReportDue>, StoreError> {
    let sql =
        "SELECT begin_s, end_s, domain, target, give_up_ms FROM daily_report WHERE kind = ? AND next_ms <= ? ORDER BY next_ms LIMIT ?";
    db.rows(sql, values![kind.as_str(), now_ms, limit], |row| {
        let period = DailyPeriod { kind, begin_s: row.get("begin_s")?, end_s: row.get("end_s")?, domain: row.get("domain")? };
        Ok(DailyReportDue { period, target: row.get("target")?, give_up_ms: row.get("give_up_ms")? })
    })
}

/// Returns the results of a domain and period; unreadable ones are left out.
pub(crate) fn daily_counts(db: &dyn Sql, period: &DailyPeriod) -> Result<Vec<DailyCount>, StoreError> {
    let sql = "SELECT policy, detail, reason, times FROM daily_result WHERE kind = ? AND begin_s = ? AND end_s = ? AND domain = ? \
               ORDER BY policy, detail";
    let rows = db.rows(sql, values![period.kind.as_str(), period.begin_s, period.end_s, period.domain], |row| {
        let times = u64::try_from(row.get::<i64>("times")?).unwrap_or(0);
        let (policy, detail, note) = (row.get("policy")?, row.get("detail")?, row.get("reason")?);
        Ok(DailyRow { period: period.clone(), policy, detail, note, times })
    })?;
    Ok(rows.into_iter().filter_map(DailyRow::read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daily::DailyResult;
    use crate::test_engines::each_engine;

    fn period(domain: &str, begin_s: i64) -> DailyPeriod {
        DailyPeriod { kind: DailyKind::Tls, begin_s, end_s: begin_s + 10, domain: domain.into() }
    }

    fn row(domain: &str, begin_s: i64, host: &str) -> DailyRow {
        let detail = if host.is_empty() {
            String::new()
        } else {
            format!(r#"{{"result-type":"certificate-expired","receiving-mx-hostname":"{host}"}}"#)
        };
        let policy = r#"{"policy-type":"sts"}"#.into();
        DailyRow { period: period(domain, begin_s), policy, detail, note: "r".into(), times: 2 }
    }

    fn host(count: &DailyCount) -> &str {
        let DailyResult::Tls { failure, .. } = &count.result else { panic!("{count:?}") };
        failure.as_ref().map_or("", |failure| &failure.mx_host)
    }

    fn plan(db: &dyn Sql, now_s: i64) {
        let change = DailyChange::Plan { kind: DailyKind::Tls, ended_s: now_s, old_s: now_s - 1000, now_ms: now_s * 1000, spread_ms: 5000 };
        change_daily(db, &change).unwrap();
    }

    #[test]
    fn results_are_reported_once_and_after_their_end() {
        each_engine(|db| {
            count_daily(db, &[row("a", 0, ""), row("a", 0, "x"), row("a", 0, ""), row("a", 10, "")]).unwrap();
            plan(db, 9);
            assert!(daily_reports_due(db, DailyKind::Tls, i64::MAX, 10).unwrap().is_empty());
            plan(db, 10);
            plan(db, 11);
            assert!(daily_reports_due(db, DailyKind::Tls, 9999, 10).unwrap().is_empty());
            let due = daily_reports_due(db, DailyKind::Tls, 15_000, 10).unwrap();
            let [one] = &due[..] else { panic!("{due:?}") };
            assert_eq!((one.period.clone(), one.target.as_str(), one.give_up_ms), (period("a", 0), "", 10_000 + 5000 + GIVE_UP_MS));
            let counts = daily_counts(db, &one.period).unwrap();
            assert_eq!(counts.iter().map(|c| (host(c), c.times)).collect::<Vec<_>>(), [("", 4), ("x", 2)]);
            let done = |due: &DailyReportDue, more: &[&str]| {
                let more = more.iter().map(ToString::to_string).collect();
                change_daily(db, &DailyChange::Done { due: due.clone(), messages: vec![], more, now_ms: 1 })
            };
            done(one, &["https://b/"]).unwrap();
            assert!(matches!(done(one, &[]), Err(StoreError::NotFound(_))), "not twice");
            plan(db, 12);
            let due = daily_reports_due(db, DailyKind::Tls, 1, 10).unwrap();
            assert_eq!(due.len(), 1);
            change_daily(db, &DailyChange::Later { due: due[0].clone(), next_ms: 50 }).unwrap();
            assert!(
                daily_reports_due(db, DailyKind::Tls, 49, 10).unwrap().is_empty()
                    && daily_reports_due(db, DailyKind::Tls, 50, 10).unwrap() == due
            );
            done(&due[0], &[]).unwrap();
            assert!(daily_counts(db, &period("a", 0)).unwrap().is_empty());
            assert_eq!(daily_counts(db, &period("a", 10)).unwrap().len(), 1);
        });
    }

    #[test]
    fn old_results_are_removed_and_rows_of_a_domain_are_bounded() {
        each_engine(|db| {
            let many: Vec<DailyRow> = (0..500).map(|n| row("a", 0, &n.to_string())).chain([row("b", 0, "")]).collect();
            count_daily(db, &many).unwrap();
            assert_eq!(daily_counts(db, &period("a", 0)).unwrap().len(), 200);
            assert_eq!(daily_counts(db, &period("b", 0)).unwrap().len(), 1);
            plan(db, 1009);
            assert_eq!(daily_reports_due(db, DailyKind::Tls, i64::MAX, 10).unwrap().len(), 2);
            plan(db, 1010);
            assert!(
                daily_reports_due(db, DailyKind::Tls, i64::MAX, 10).unwrap().is_empty()
                    && daily_counts(db, &period("b", 0)).unwrap().is_empty()
            );
        });
    }

    #[test]
    fn kinds_are_counted_apart_and_domains_are_bounded() {
        each_engine(|db| {
            let of = |domain: String| {
                let period = DailyPeriod { kind: DailyKind::Dmarc, ..period(&domain, 0) };
                DailyRow { period, ..row("", 0, "x") }
            };
            let many: Vec<DailyRow> = (0..10_000).map(|n| of(format!("d{n}"))).chain([row("d1", 0, "")]).collect();
            assert_eq!(count_daily(db, &many).unwrap(), 10_000, "two of each of five thousand");
            assert_eq!(count_daily(db, &[of("d1".into()), of("new".into())]).unwrap(), 2);
            plan(db, 20);
            let due = daily_reports_due(db, DailyKind::Tls, i64::MAX, 10).unwrap();
            assert!(due.len() == 1 && daily_reports_due(db, DailyKind::Dmarc, i64::MAX, 10).unwrap().is_empty());
            change_daily(db, &DailyChange::Done { due: due[0].clone(), messages: vec![], more: vec![], now_ms: 1 }).unwrap();
            let left = "SELECT CAST(sum(times) AS bigint) FROM daily_result WHERE kind = 'dmarc' AND domain = 'd1'";
            assert_eq!(db.one::<i64>(left, &[]).unwrap(), 4);
        });
    }
}
