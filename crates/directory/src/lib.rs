//! The directory: hosted domains, aliases and accounts as one immutable snapshot, and the expansion of addresses.
//!
//! Invariant: this crate has no disk, clock or network. A change builds a new [`Directory`]; a reader keeps the one that it
//! started with.

mod account;
mod alias;
mod alias_options;
mod aliases;
mod credential;
mod expansion;
mod extension;
mod lookalike;
mod names;
mod problem;
mod reading;
mod right_side;
mod sender_list;
mod signing_key;
mod snapshot;
pub mod virtual_file;

pub use account::{Account, Caps, SenderRule};
pub use alias::{Alias, AliasSource, Origin, Target};
pub use alias_options::{AliasOptions, NOTE_MAX, StrictDomain, UnknownWord};
pub use aliases::Aliases;
pub use credential::{ClientCertificate, Password};
pub use expansion::{ExpandError, Expansion, MAX_DEPTH, MAX_TARGETS, Step};
pub use lookalike::meant;
pub use names::invisible_in;
pub use problem::Problem;
pub use reading::imap_host_behind;
pub use sender_list::{SENDERS_MAX, SenderList, SenderPattern, SenderPatternError};
pub use signing_key::{KeyState, SigningKey};
pub use snapshot::{Contents, Directory, HostedDomain};
