//! Durable state: the queue and the directory, in SQLite.
//!
//! One writer thread commits waiting operations together (group commit): mail under way in a journal, all else in a transaction of the database. A
//! reader thread runs queries concurrently. Content above
//! [`content::ROW_MAX_BYTES`] lives in a file of its own. A table in docs/queue.md lists the crash states. Invariant: this crate has no
//! socket and no clock; times are arguments.

mod api_token;
mod batches;
mod checkpoint;
pub mod content;
mod daily;
mod data_dir;
mod directory_handle;
mod directory_sync;
mod door;
mod door_handle;
mod error;
mod handle;
mod journal;
mod message;
mod operation;
mod queue_handle;
mod recipient_state;
mod report;
mod report_handle;
mod room;
mod simulated_disk;
mod snapshot;
mod sqlite;
mod threads;
mod verify;
mod writer;

pub use api_token::{ApiToken, TokenChange};
pub use batches::BatchCounts;
pub use content::{Content, Spool};
pub use daily::{DailyChange, DailyCount, DailyKind, DailyPeriod, DailyReportDue, DailyResult};
pub use data_dir::Swept;
pub use door::{DoorChange, LinkPurpose, OneTimeLink, PageSession, Passkey, SecondStep, TokenHash};
pub use error::StoreError;
pub use handle::Store;
pub use message::{
    Claimed, ClaimedRecipient, ClockStep, Committed, Disposition, FailedDelivery, Flow, ListFilter, ListedMessage, ListedRecipient,
    Message, NewMessage, NewRecipient, NoticeMark, QueueTotals, RecipientKey, Settlement, TlsWish, Unnoticed,
};
pub use recipient_state::RecipientState;
pub use report::{KeptReport, KeptRows, KeptTlsFailure, KeptTlsPolicy, NewReport, ReportContent, ReportFilter};
pub use simulated_disk::{CommitFate, Committing, SimulatedDisk};
pub use snapshot::{ContentFile, Snapshot, opens_schema};
pub use tables::{AccountChange, DirectoryChange, KnownRecipient, LaneDue, LaneLoad, LoginUse, QueueLoad};
pub use verify::{Damage, Examined, QueueReader, Verified};
