//! The part of the handle that is about reports: those of other servers, and what is to be told them.
//!
//! Invariant: what [`Store::keep_report`] answers with is made by its commit, as for mail.

use crate::error::StoreError;
use crate::handle::Store;
use crate::message::Committed;
use crate::report::{KeptReport, KeptRows, NewReport, ReportFilter};
use crate::sqlite::{self, DailyChange, DailyCount, DailyKind, DailyPeriod, DailyReportDue};
use crate::writer::Operation;

impl Store {
    /// Keeps a report; it is on disk, synced, when this returns. One that is there already is kept once.
    pub async fn keep_report(&self, new: NewReport) -> Result<Committed, StoreError> {
        self.write(Operation::KeepReport(Box::new(new))).await.map(|_| Committed(()))
    }

    /// The reports, the newest first.
    pub async fn reports(&self, filter: ReportFilter) -> Result<Vec<KeptReport>, StoreError> {
        self.read(move |db| sqlite::list_reports(db, &filter)).await
    }

    /// One report with what it says; none where no report has this number.
    pub async fn report(&self, n: i64) -> Result<Option<(KeptReport, KeptRows)>, StoreError> {
        self.read(move |db| sqlite::report(db, n)).await
    }

    /// Changes what is to be reported to others; it is on disk, synced, when this returns. Returns how many sessions or messages had no room.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where a report is done that was done before.
    pub async fn change_daily(&self, change: DailyChange) -> Result<u64, StoreError> {
        self.count(Operation::Daily(change)).await
    }

    /// Reports of a kind that are due.
    pub async fn daily_reports_due(&self, kind: DailyKind, now_ms: i64, limit: u32) -> Result<Vec<DailyReportDue>, StoreError> {
        self.read(move |db| sqlite::daily_reports_due(db, kind, now_ms, limit)).await
    }

    /// What is to be told a domain about a time.
    pub async fn daily_counts(&self, period: DailyPeriod) -> Result<Vec<DailyCount>, StoreError> {
        self.read(move |db| sqlite::daily_counts(db, &period)).await
    }
}
