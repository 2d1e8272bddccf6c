//! The store on a simulated disk: no threads, commits whose duration and fate the simulation decides.
//!
//! Invariant: the code that commits is the writer's own; a process that dies answers nothing any more.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::handle::Query;
use crate::line::BATCH_MAX;
use crate::operation::WriteJob;
use crate::writer::Writer;

/// What comes of a batch of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFate {
    /// It is committed.
    Done,
    /// The disk fails; nothing of it is committed.
    Fails,
    /// The process dies before the commit.
    DiesBefore,
    /// The process dies after the commit and before any outcome.
    DiesAfter,
}

/// The future of a [`CommitFate`].
pub type Committing = Pin<Box<dyn Future<Output = CommitFate> + Send>>;

/// A simulated disk.
pub trait SimulatedDisk: Debug + Send + Sync {
    /// Takes as long as the sync of a batch, and returns what comes of it.
    fn commit(&self) -> Committing;

    /// Called when the process has died: the simulation ends its runtime.
    fn died(&self);
}

/// Starts the work of the store on this runtime.
pub(crate) fn start(
    disk: Arc<dyn SimulatedDisk>,
    (writer, jobs): (Writer, mpsc::Receiver<WriteJob>),
    (reader, mut queries): (Connection, mpsc::Receiver<Query>),
) {
    tokio::spawn(write(disk, writer, jobs));
    tokio::spawn(async move {
        while let Some(query) = queries.recv().await {
            query(Ok(&reader));
        }
    });
}

async fn write(disk: Arc<dyn SimulatedDisk>, mut writer: Writer, mut line: mpsc::Receiver<WriteJob>) {
    let mut jobs = Vec::new();
    while line.recv_many(&mut jobs, BATCH_MAX).await > 0 {
        let fate = disk.commit().await;
        writer.fails_next = fate == CommitFate::Fails;
        if matches!(fate, CommitFate::DiesBefore | CommitFate::DiesAfter) {
            // Whoever waits for an outcome waits until the runtime ends.
            let _unanswered: Vec<_> = jobs.iter_mut().map(|job| std::mem::replace(&mut job.answer, oneshot::channel().0)).collect();
            if fate == CommitFate::DiesAfter {
                commit_all(&mut writer, &mut jobs);
            }
            disk.died();
            return std::future::pending().await;
        }
        commit_all(&mut writer, &mut jobs);
    }
    writer.close();
}

fn commit_all(writer: &mut Writer, jobs: &mut Vec<WriteJob>) {
    while !jobs.is_empty() {
        writer.commit(jobs);
    }
}
