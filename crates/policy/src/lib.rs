//! Decisions, pure: relaying, the disposition of a message, its next hops, retries, the meaning of a remote reply.
//!
//! Invariant: this crate knows no clock, file system, socket or runtime. A decision depends on its arguments only, so it can be repeated
//! (`waypost explain-reply`, tests) with the same answer.

mod authentication;
mod breaker;
mod cause;
mod header_check;
mod local;
mod maildir;
mod meaning;
mod mta_sts;
mod pace;
mod recipient;
mod remote;
mod replies;
mod report_address;
mod route;
mod schedule;
mod sender;
mod sts_received;
mod trouble;
mod writer;

pub use authentication::{Treatment, Unauthenticated, decide_treatment, may_report};
pub use breaker::{Admission, BREAKERS_MAX, BreakerChange, BreakerKeys, BreakerMemory, Breakers, Pass, Pause};
pub use cause::Cause;
pub use header_check::{LOOP_FIELD, RECEIVED_MAX, check_header, check_well_formed, missing_from};
pub use local::{LocalRule, LocalRules, LocalUser};
pub use maildir::MaildirPlace;
pub use meaning::{Meaning, PauseRule, Reaction, ReplyScope, Severity};
pub use mta_sts::{STS_AGE_MAX_S, StsMode, StsPolicy};
pub use recipient::{AcceptedRecipient, Client, Rules, blocked, decide_recipient, is_target};
pub use replies::{classify_reply, parse_pasted_host, parse_pasted_reply, provider_of, reply_rows};
pub use report_address::{DMARC_USER, TLS_USER, check_report_submitter, takes_reports};
pub use route::{MxRecord, NextHop, NextHops, RouteFailure, rank_mx_hosts};
pub use schedule::Schedule;
pub use sender::{check_from, check_reverse_path};
pub use sts_received::{StsReceived, parse_sts_id};
pub use trouble::{HostReply, Scope, Trouble, TroubleKind};
pub use writer::{Writer, classify_writer};
