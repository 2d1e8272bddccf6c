//! The nouns of mail: mailboxes, paths, envelopes, replies, header and trace fields, reports.
//!
//! Everything here is a value. This crate knows no clock, file system, socket or runtime; whoever
//! needs the time or a random number passes it in.

mod address;
mod address_list;
pub mod auth_results;
mod date;
pub mod dkim_key;
pub mod dmarc_record;
mod domain;
mod envelope;
pub mod evidence;
mod header;
mod one_line;
mod path;
mod qualify;
mod queue_id;
mod reply;
pub mod report;
pub mod spf;
pub mod srs;
mod tags;
mod trace;
mod xtext;

pub use address::{AddressError, LocalPart, Mailbox};
pub use address_list::{AddressList, AddressListError, Member, members};
pub use date::rfc5322_date;
pub use domain::{Domain, DomainError};
pub use envelope::{Body, MailParameters, Notify, OriginalRecipient, Recipient, Ret};
pub use header::{Field, Fields, empty_line_end, header_len, interrupted_at, without_blanks_before_colons};
pub use one_line::{one_line, one_line_at_most};
pub use path::{ForwardPath, PathError, ReversePath};
pub use qualify::qualified;
pub use queue_id::QueueId;
pub use reply::{EnhancedCode, Reply};
pub use tags::Tags;
pub use trace::{ReceivedField, with_protocol};
pub use xtext::{decode_xtext, encode_xtext};
