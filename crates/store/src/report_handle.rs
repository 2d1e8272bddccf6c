//! The part of the handle for reports: those received, and those to be sent to other domains.
//!
//! Invariant: [`Store::keep_report`] returns `Committed` only after the commit, as for mail.

use crate::daily::{DailyChange, DailyCount, DailyKind, DailyPeriod, DailyReportDue, DailyRow};
use crate::error::StoreError;
use crate::handle::Store;
use crate::message::{Committed, Lease};
use crate::operation::Operation;
use crate::report::{KeptReport, KeptRows, NewReport, ReportFilter};
use crate::tables;

impl Store {
    /// Stores a received report; it is on disk, synced, when this returns. A report that is stored already is not stored again.
    pub async fn keep_report(&self, new: NewReport) -> Result<Committed, StoreError> {
        self.write(Operation::KeepReport(Box::new(new))).await.map(|_| Committed(Lease::default()))
    }

    /// Returns received reports, the newest first.
    pub async fn reports(&self, filter: ReportFilter) -> Result<Vec<KeptReport>, StoreError> {
        self.read(move |db| tables::list_reports(db, &filter)).await
    }

    /// Returns a received report with its rows; `None` if no report has this number.
    pub async fn report(&self, n: i64) -> Result<Option<(KeptReport, KeptRows)>, StoreError> {
        self.read(move |db| tables::report(db, n)).await
    }

    /// Adds results for the reports to other domains. Returns the number of sessions or messages beyond the maximum, which are left out.
    pub async fn count_daily(&self, counts: Vec<DailyCount>) -> Result<u64, StoreError> {
        self.count(Operation::CountDaily(DailyRow::add_up(counts))).await
    }

    /// Changes which reports are due; the change is on disk, synced, when this returns.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the report was ended before.
    pub async fn change_daily(&self, change: DailyChange) -> Result<(), StoreError> {
        self.write(Operation::ChangeDaily(change)).await.map(|_| ())
    }

    /// Returns the reports of a kind that are due.
    pub async fn daily_reports_due(&self, kind: DailyKind, now_ms: i64, limit: u32) -> Result<Vec<DailyReportDue>, StoreError> {
        self.read(move |db| tables::daily_reports_due(db, kind, now_ms, limit)).await
    }

    /// Returns the results of a domain and period, ordered by policy.
    pub async fn daily_counts(&self, period: DailyPeriod) -> Result<Vec<DailyCount>, StoreError> {
        self.read(move |db| tables::daily_counts(db, &period)).await
    }
}
