//! The nouns of mail: mailboxes, paths, envelopes, replies, header and trace fields, DSNs.
//!
//! Everything here is a value. This crate knows no clock, file system, socket or runtime: time and random numbers are arguments.

mod address;
mod address_list;
pub mod auth_results;
mod date;
pub mod dkim_key;
pub mod dmarc_record;
mod domain;
pub mod dsn;
mod envelope;
pub mod evidence;
mod header;
mod letter;
mod one_line;
mod path;
mod qualify;
mod queue_id;
mod reply;
pub mod spf;
pub mod srs;
mod tags;
mod trace;
mod xtext;

pub use address::{AddressError, LocalPart, Mailbox};
pub use address_list::{AddressList, AddressListError, Member, members};
pub use date::{civil_date, rfc5322_date};
pub use domain::{Domain, DomainError};
pub use envelope::{Body, MailParameters, Notify, OriginalRecipient, Recipient, Ret};
pub use header::{Field, Fields, empty_line_end, header_len, interrupted_at, without_blanks_before_colons};
pub use letter::{AutoSubmitted, LetterHead};
pub use one_line::{one_line, one_line_at_most};
pub use path::{ForwardPath, PathError, ReversePath};
pub use qualify::qualified;
pub use queue_id::QueueId;
pub use reply::{EnhancedCode, Reply};
pub use tags::Tags;
pub use trace::{ReceivedField, with_protocol};
pub use xtext::{decode_xtext, encode_xtext};
