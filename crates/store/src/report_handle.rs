//! The part of the handle that is about reports of other servers.
//!
//! Invariant: what [`Store::keep_report`] answers with is made by its commit, as for mail.

use crate::error::StoreError;
use crate::handle::Store;
use crate::message::Committed;
use crate::report::{KeptReport, KeptRows, NewReport, ReportFilter};
use crate::sqlite;
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
}
