//! Handles a complete message: evidence, decision, header fields, signatures, and the reply to the client.
//!
//! May import `queue`, `deliver`, `reporting`, `notify` and `support`.

pub mod alter;
pub mod auto_replies;
pub mod auto_reply_limit;
pub mod chain;
pub mod decide;
mod decision_log;
pub mod disclosed;
pub mod dmarc_results;
pub mod fields;
pub mod filter;
pub mod forged_results;
pub mod gmail_confirmation;
pub mod held_room;
pub mod hourly_limit;
pub mod inbound_report;
pub mod local;
pub mod local_fixup;
pub mod message_auth;
pub mod over_limit;
pub mod pipeline;
pub mod prepare;
pub mod received;
pub mod release;
pub mod responsibility;
pub mod returned_chain;
pub mod sanitize_dsn;
pub mod send_limit;
pub mod sign;
pub mod submission_fixup;
pub mod wrapped;
