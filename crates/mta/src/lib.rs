//! The way of a message, one file per stage, in wings from upper to lower: `explain`, `receive`, `accept`, `queue`, `deliver`, `reporting`, `notify`, `support`.
//!
//! Each stage takes one owned type and returns the next. Invariant: the reply to content is 250 only for a
//! `Responsibility`, which takes a commit, the 250 of every target, or a dropped automatic reply. A wing imports only those after it in this list.

mod accept;
mod context;
mod deliver;
mod explain;
mod notify;
mod queue;
mod receive;
mod reporting;
mod server;
pub mod settings;
mod support;

pub use accept::gmail_confirmation::{Confirmation, Confirmations};
pub use accept::local::{LocalNames, Submission, Submitted, Submitter};
pub use accept::release::Releaser;
pub use deliver::direct::DirectSender;
pub use deliver::pauses::Pauses;
pub use deliver::resumed::Resumption;
pub use explain::explainer::{Explainer, OfflineParts};
pub use explain::explanation::{
    AddedSignature, ExplainStage, ExplainedDecision, ExplainedDelivery, ExplainedHost, ExplainedRoute, ExplainedStep, Explanation,
};
pub use explain::question::{ExplainRequest, with_crlf};
pub use explain::words;
pub use notify::postmaster::Postmaster;
pub use receive::auth::authenticator::LoggedIn;
pub use receive::auth::page_logins::{LoginRefused, PageLogins};
pub use receive::auth::passwords;
pub use receive::auth::throttle::LoginNetwork;
pub use receive::own_checks::OwnChecks;
pub use server::{Handles, Parts, Server, StartError, Status};
pub use support::directory_cache::{DirectoryError, LiveDirectory};
pub use support::headline::Headline;
pub use support::node_switch::{DrainedFile, NodeSwitch};
pub use support::panic_edge::{bugs_caught, signatures_broken};
pub use support::virtual_source::{VirtualFaults, VirtualSource};
