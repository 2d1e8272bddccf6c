//! Decisions, pure: who may relay, what becomes of a message, where it goes next, when it is tried again, what a
//! remote reply means.
//!
//! Invariant: this crate knows no clock, file system, socket or runtime. Everything it decides on stands in the arguments,
//! so each decision can be asked again (`explain`, tests) and gives the same answer.

mod authentic;
mod automatic;
mod circuit;
mod disposition;
mod local;
mod maildir;
mod meaning;
mod mta_sts;
mod recipient;
mod remote;
mod replies;
mod report_address;
mod route;
mod schedule;
mod sender;
mod sts_received;
mod trouble;

pub use authentic::{Treatment, Unauthenticated, authentic, may_report};
pub use automatic::{Writer, writer};
pub use circuit::{Admission, CIRCUITS_MAX, Circuits, Keys, Pass, Pause, Told};
pub use disposition::{LOOP_FIELD, RECEIVED_MAX, disposition, no_from, well_formed};
pub use local::{LocalRule, LocalRules, LocalUser};
pub use maildir::MaildirPlace;
pub use meaning::{Meaning, Reaction, ReplyScope, Severity};
pub use mta_sts::{STS_AGE_MAX_S, StsMode, StsPolicy};
pub use recipient::{AcceptedRecipient, Client, Rules, recipient};
pub use remote::{is_dmarc_refusal, our_refusal, trouble_of_failure, trouble_of_reply};
pub use replies::{meaning, pasted_host, pasted_reply, provider_of};
pub use report_address::{DMARC_USER, TLS_USER, report_submitter, takes_reports};
pub use route::{MxRecord, NextHop, NextHops, RouteFailure, next_hops};
pub use schedule::Schedule;
pub use sender::{from_header, reverse_path};
pub use sts_received::{StsReceived, sts_id};
pub use trouble::{Said, Scope, Trouble};
