//! Durable state: the queue and the directory, in SQLite or PostgreSQL.
//!
//! [`Store`] is the only door. Behind it stand two lines, of operations and of queries, and an engine that works them off: SQLite, the default (one
//! writer thread commits waiting operations together, mail under way in a journal, all else in a transaction), or PostgreSQL, which several nodes share. The
//! tables are the same in both, and so is the code for them (`tables`). Content above [`content::ROW_MAX_BYTES`] lives in a file or in pieces of rows. A table in
//! docs/queue.md lists the crash states. Invariant: times of the queue are arguments; only leases and timeouts of the database have a clock.

mod api_token;
mod batches;
mod checkpoint;
mod cluster;
pub mod content;
mod copies;
mod daily;
mod data_dir;
mod directory_handle;
mod directory_sync;
mod door;
mod door_handle;
mod engine;
mod error;
mod handle;
mod journal;
mod line;
mod message;
mod operation;
mod postgres;
mod queue_handle;
mod recipient_state;
mod report;
mod report_handle;
mod room;
mod simulated_disk;
mod simulated_node;
mod snapshot;
mod sqlite;
mod tables;
#[cfg(test)]
mod test_engines;
mod threads;
mod transfer;
mod verify;
mod verify_shared;
mod writer;

pub use api_token::{ApiToken, TokenChange};
pub use batches::BatchCounts;
pub use cluster::{Duty, News, Node, NodeState, NodeValues};
pub use content::{Content, Spool};
pub use copies::{Place, copy_for_backup, copy_store};
pub use daily::{DailyChange, DailyCount, DailyKind, DailyPeriod, DailyReportDue, DailyResult};
pub use data_dir::Swept;
pub use door::{DoorChange, LinkPurpose, OneTimeLink, PageSession, Passkey, SecondStep, TokenHash};
pub use error::StoreError;
pub use handle::Store;
pub use message::{
    Claimed, ClaimedRecipient, ClockStep, Committed, Disposition, FailedDelivery, Flow, Lease, ListFilter, ListedMessage, ListedRecipient,
    Message, NewMessage, NewRecipient, NoticeMark, QueueTotals, RecipientKey, Settlement, TlsWish, Unnoticed,
};
pub use postgres::{PostgresSettings, WallClock, check_address, read_password, root_certificates};
pub use recipient_state::RecipientState;
pub use report::{KeptReport, KeptRows, KeptTlsFailure, KeptTlsPolicy, NewReport, ReportContent, ReportFilter};
pub use simulated_disk::{CommitFate, Committing, SimulatedDisk};
pub use simulated_node::SimulatedNode;
pub use snapshot::{ContentFile, Snapshot, opens_schema};
pub use tables::{AccountChange, DirectoryChange, KnownRecipient, LaneDue, LaneLoad, LoginUse, QueueLoad};
pub use transfer::Copied;
pub use verify::{Damage, Examined, QueueReader, Verified};
pub use verify_shared::verify_postgres;
