//! The tables of received DMARC and TLS reports.
//!
//! Invariant: a report is stored once, and reports are bounded by age, by rows in all, and by rows of one sender, so that no sender
//! displaces the others. The oldest are removed first.

use mail::Domain;
use reports::dmarc::{Disposition, DkimSeen, DmarcReport, Outcome, Override, ROWS_MAX, Reason, Row, SpfSeen, tame};
use reports::tls::{FailureDetails, TlsReport};

use crate::engine::{Row as SqlRow, Sql, ToValue, Value, values};
use crate::error::StoreError;
use crate::report::{FAILURES_MAX, KeptReport, KeptRows, KeptTlsFailure, KeptTlsPolicy, NewReport, ReportContent, ReportFilter};

/// Retention of reports, in milliseconds.
const AGE_MAX_MS: i64 = 400 * 86_400_000;

/// Minimum rows that a report counts as: listing all reports must stay cheap too.
const REPORT_ROWS_MIN: i64 = 10;

/// Maximum rows in all.
const ALL_ROWS_MAX: i64 = 1_000_000;

/// Maximum rows of one sender.
const SENDER_ROWS_MAX: i64 = 200_000;

/// The columns of a [`KeptReport`], which [`kept`] reads by name.
const REPORT_COLUMNS: &str = "n, kind, submitter, organisation, report_id, domain, policy, begin_s, end_s, received_ms, rows, rows_left_out, \
     messages_left_out";

/// Stores a report, unless it is stored already.
pub(crate) fn keep_report(db: &dyn Sql, new: &NewReport) -> Result<(), StoreError> {
    let n = match &new.content {
        ReportContent::Aggregate(report) => keep_aggregate(db, new, report)?,
        ReportContent::Tls(report) => keep_tls(db, new, report)?,
    };
    if n.is_some() {
        sweep(db, &new.submitter, new.received_ms)?;
    }
    Ok(())
}

/// The row of a report in the table of reports.
struct ReportHead<'a> {
    domain: String,
    policy: &'a str,
    range_s: (i64, i64),
    rows: usize,
    left_out: (u64, u64),
}

/// Returns the new report's number; `None` if it is stored already.
fn insert_head(db: &dyn Sql, new: &NewReport, head: &ReportHead<'_>) -> Result<Option<i64>, StoreError> {
    // A report that ends in the future would never expire.
    let end_s = head.range_s.1.min(new.received_ms / 1000);
    db.row(
        "INSERT INTO received_report (kind, submitter, organisation, report_id, domain, policy, begin_s, end_s, received_ms, rows, \
         rows_left_out, messages_left_out) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING n",
        values![
            new.kind(),
            new.submitter,
            tame(new.organisation()),
            tame(new.report_id()),
            head.domain,
            head.policy,
            head.range_s.0.min(end_s),
            end_s,
            new.received_ms,
            signed(head.rows as u64),
            signed(head.left_out.0),
            signed(head.left_out.1),
        ],
        |row| row.get(0),
    )
}

fn keep_aggregate(db: &dyn Sql, new: &NewReport, report: &DmarcReport) -> Result<Option<i64>, StoreError> {
    let rows = report.rows.get(..ROWS_MAX).unwrap_or(&report.rows);
    let head = ReportHead {
        domain: domain(&report.policy.domain),
        policy: report.policy.p.as_str(),
        range_s: (report.begin_s, report.end_s),
        rows: rows.len(),
        left_out: (report.rows_left_out, report.messages_left_out),
    };
    let Some(n) = insert_head(db, new, &head)? else { return Ok(None) };
    let texts: Vec<_> = rows.iter().map(|row| (row.source.to_string(), to_lines(row))).collect();
    let lists: Vec<Vec<Value<'_>>> = (0i64..)
        .zip(rows.iter().zip(&texts))
        .map(|(k, (row, (source, details)))| {
            vec![
                n.into(),
                k.into(),
                source.to_value(),
                signed(row.count).into(),
                Value::Text(row.disposition.as_str()),
                row.dkim_aligned.to_value(),
                row.spf_aligned.to_value(),
                row.header_from.to_value(),
                row.envelope_from.to_value(),
                row.envelope_to.to_value(),
                details.to_value(),
            ]
        })
        .collect();
    db.execute_each(
        "INSERT INTO received_dmarc_row (report_n, k, source, count, disposition, dkim_aligned, spf_aligned, header_from, envelope_from, envelope_to, details) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &lists,
    )?;
    Ok(Some(n))
}

fn keep_tls(db: &dyn Sql, new: &NewReport, report: &TlsReport) -> Result<Option<i64>, StoreError> {
    let failures: usize = report.policies.iter().map(|policy| policy.failures.len()).sum();
    let kept = failures.min(FAILURES_MAX);
    let head = ReportHead {
        domain: report.policies.first().map(|policy| domain(&policy.policy.domain)).unwrap_or_default(),
        policy: "",
        range_s: (report.begin_unix_s, report.end_unix_s),
        rows: report.policies.len() + kept,
        left_out: ((failures - kept) as u64, 0),
    };
    let Some(n) = insert_head(db, new, &head)? else { return Ok(None) };
    let mut room = kept;
    for (k, result) in (0i64..).zip(&report.policies) {
        let (successful, failed) = (signed(result.summary.successful), signed(result.summary.failed));
        db.execute(
            "INSERT INTO received_tls_policy (report_n, k, kind, domain, successful, failed) VALUES (?, ?, ?, ?, ?, ?)",
            values![n, k, tame(result.policy.kind.as_str()), domain(&result.policy.domain), successful, failed],
        )?;
        let failures = result.failures.get(..room.min(result.failures.len())).unwrap_or_default();
        room -= failures.len();
        keep_failures(db, (n, k), failures)?;
    }
    Ok(Some(n))
}

/// Stores the failures of a policy.
fn keep_failures(db: &dyn Sql, (n, k): (i64, i64), failures: &[FailureDetails]) -> Result<(), StoreError> {
    let texts: Vec<[String; 5]> =
        failures.iter().map(|f| [f.result.as_str(), &f.sending_ip, &f.mx_host, &f.receiving_ip, &f.reason].map(tame)).collect();
    let lists: Vec<Vec<Value<'_>>> = (0i64..)
        .zip(failures.iter().zip(&texts))
        .map(|(place, (failure, [result, sending_ip, mx_host, receiving_ip, reason]))| {
            let head = [n.into(), k.into(), place.into(), result.to_value(), sending_ip.to_value(), mx_host.to_value()];
            let tail = [receiving_ip.to_value(), signed(failure.sessions).into(), reason.to_value()];
            [&head[..], &tail[..]].concat()
        })
        .collect();
    db.execute_each(
        "INSERT INTO received_tls_failure (report_n, k, place, result, sending_ip, mx_host, receiving_ip, sessions, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &lists,
    )
}

/// Removes reports that are too old or too many.
fn sweep(db: &dyn Sql, submitter: &str, now_ms: i64) -> Result<(), StoreError> {
    let number = |row: &dyn SqlRow| row.get::<i64>(0);
    let mut expired = db.rows("SELECT n FROM received_report WHERE received_ms < ?", values![now_ms - AGE_MAX_MS], number)?;
    // Counting from the newest, the reports beyond the maximum expire.
    let beyond = |of: &str, most: i64| {
        format!(
            "SELECT n FROM (SELECT n, sum(CASE WHEN rows > {REPORT_ROWS_MIN} THEN rows ELSE {REPORT_ROWS_MIN} END) OVER (ORDER BY n DESC) AS so_far \
             FROM received_report {of}) AS counted WHERE so_far > {most}"
        )
    };
    expired.extend(db.rows(&beyond("WHERE submitter = ?", SENDER_ROWS_MAX), values![submitter], number)?);
    expired.extend(db.rows(&beyond("", ALL_ROWS_MAX), &[], number)?);
    for n in expired {
        for table in ["received_dmarc_row", "received_tls_policy", "received_tls_failure"] {
            db.execute(&format!("DELETE FROM {table} WHERE report_n = ?"), values![n])?;
        }
        db.execute("DELETE FROM received_report WHERE n = ?", values![n])?;
    }
    Ok(())
}

/// Returns the reports, the newest first.
pub(crate) fn list_reports(db: &dyn Sql, filter: &ReportFilter) -> Result<Vec<KeptReport>, StoreError> {
    let sql = format!(
        "SELECT {REPORT_COLUMNS} FROM received_report WHERE end_s >= ?1 AND (CAST(?2 AS TEXT) IS NULL OR domain = ?2) \
         AND (CAST(?3 AS BIGINT) IS NULL OR n < ?3) ORDER BY n DESC LIMIT ?4",
    );
    db.rows(&sql, values![filter.since_s, filter.domain, filter.before, filter.limit], kept)
}

/// Returns a report with its rows.
pub(crate) fn report(db: &dyn Sql, n: i64) -> Result<Option<(KeptReport, KeptRows)>, StoreError> {
    let head = db.row(&format!("SELECT {REPORT_COLUMNS} FROM received_report WHERE n = ?"), values![n], kept)?;
    let Some(head) = head else { return Ok(None) };
    let rows = if head.kind == "tls" { KeptRows::Tls(tls_policies(db, n)?) } else { KeptRows::Dmarc(dmarc_rows(db, n)?) };
    Ok(Some((head, rows)))
}

fn kept(row: &dyn SqlRow) -> Result<KeptReport, StoreError> {
    Ok(KeptReport {
        n: row.get("n")?,
        kind: row.get("kind")?,
        submitter: row.get("submitter")?,
        organisation: row.get("organisation")?,
        report_id: row.get("report_id")?,
        domain: row.get("domain")?,
        policy: row.get("policy")?,
        begin_s: row.get("begin_s")?,
        end_s: row.get("end_s")?,
        received_ms: row.get("received_ms")?,
        rows: unsigned(row.get("rows")?),
        rows_left_out: unsigned(row.get("rows_left_out")?),
        messages_left_out: unsigned(row.get("messages_left_out")?),
    })
}

fn dmarc_rows(db: &dyn Sql, n: i64) -> Result<Vec<Row>, StoreError> {
    let sql = "SELECT source, count, disposition, dkim_aligned, spf_aligned, header_from, envelope_from, envelope_to, details FROM received_dmarc_row WHERE report_n = ? ORDER BY k";
    let rows = db.rows(sql, values![n], |row| {
        let source: String = row.get("source")?;
        let disposition: String = row.get("disposition")?;
        let details: String = row.get("details")?;
        // A damaged row is left out; unlike mail, it need not be kept.
        let Ok(source) = source.parse() else { return Ok(None) };
        let mut read = Row {
            source,
            count: unsigned(row.get("count")?),
            disposition: Disposition::parse(&disposition).unwrap_or_default(),
            dkim_aligned: row.get("dkim_aligned")?,
            spf_aligned: row.get("spf_aligned")?,
            reasons: Vec::new(),
            header_from: row.get("header_from")?,
            envelope_from: row.get("envelope_from")?,
            envelope_to: row.get("envelope_to")?,
            dkim: Vec::new(),
            spf: Vec::new(),
        };
        from_lines(&details, &mut read);
        Ok(Some(read))
    })?;
    Ok(rows.into_iter().flatten().collect())
}

fn tls_policies(db: &dyn Sql, n: i64) -> Result<Vec<KeptTlsPolicy>, StoreError> {
    let sql = "SELECT kind, domain, successful, failed FROM received_tls_policy WHERE report_n = ? ORDER BY k";
    let mut policies = db.rows(sql, values![n], |row| {
        let (successful, failed) = (unsigned(row.get("successful")?), unsigned(row.get("failed")?));
        Ok(KeptTlsPolicy { kind: row.get("kind")?, domain: row.get("domain")?, successful, failed, failures: Vec::new() })
    })?;
    let sql = "SELECT k, result, sending_ip, mx_host, receiving_ip, sessions, reason FROM received_tls_failure WHERE report_n = ? ORDER BY k, place";
    let failures = db.rows(sql, values![n], |row| {
        let failure = KeptTlsFailure {
            result: row.get("result")?,
            sending_ip: row.get("sending_ip")?,
            mx_host: row.get("mx_host")?,
            receiving_ip: row.get("receiving_ip")?,
            sessions: unsigned(row.get("sessions")?),
            reason: row.get("reason")?,
        };
        Ok((row.get::<i64>("k")?, failure))
    })?;
    for (k, failure) in failures {
        if let Some(policy) = usize::try_from(k).ok().and_then(|k| policies.get_mut(k)) {
            policy.failures.push(failure);
        }
    }
    Ok(policies)
}

/// Returns checks and reasons, one per line: words without spaces, free text last.
fn to_lines(row: &Row) -> String {
    let dkim = row.dkim.iter().map(|d| format!("dkim {} {} {}", d.result.as_str(), or_dash(&d.domain), or_dash(&d.selector)));
    let spf = row.spf.iter().map(|s| format!("spf {} {}", s.result.as_str(), or_dash(&s.domain)));
    let reasons = row.reasons.iter().map(|r| format!("reason {} {}", r.kind.as_str(), r.comment));
    dkim.chain(spf).chain(reasons).collect::<Vec<_>>().join("\n")
}

fn or_dash(word: &str) -> &str {
    if word.is_empty() { "-" } else { word }
}

fn from_lines(lines: &str, row: &mut Row) {
    let word = |text: Option<&str>| text.filter(|text| *text != "-").unwrap_or_default().to_owned();
    for line in lines.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next()) {
            (Some("dkim"), Some(result)) => {
                row.dkim.push(DkimSeen { result: Outcome::parse(result), domain: word(words.next()), selector: word(words.next()) });
            }
            (Some("spf"), Some(result)) => row.spf.push(SpfSeen { result: Outcome::parse(result), domain: word(words.next()) }),
            (Some("reason"), Some(kind)) => {
                let comment = line.splitn(3, ' ').nth(2).unwrap_or_default().to_owned();
                row.reasons.push(Reason { kind: Override::parse(kind), comment });
            }
            _ => {}
        }
    }
}

/// Returns a domain in the form that searches use.
fn domain(text: &str) -> String {
    text.parse::<Domain>().map_or_else(|_| tame(text).to_lowercase(), |domain| domain.to_string())
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
