//! The way of one message, one file a stage: listen, receive, authenticate, filter, decide, prepare, enqueue; dispatch,
//! deliver, settle, report.
//!
//! Each stage takes one owned type and returns the next. Invariant: a client hears 250 only by way of a
//! `Responsibility`, which nothing but a commit can make.

mod admit;
mod allowance;
mod authenticate;
mod bug;
mod caps;
mod circuits;
mod complete;
mod confirmation;
mod connect;
mod decide;
mod deliver;
mod demand;
mod dispatch;
mod enqueue;
mod fields;
mod filter;
mod fingerprint;
mod greet;
mod guard;
mod habits;
mod hand_over;
mod handshake;
mod hashing;
mod host_places;
mod ipv6;
mod job;
mod kept_file;
mod lane;
mod listen;
mod live_directory;
mod log_in;
mod logins;
mod maildir;
mod notice;
pub mod passwords;
mod plan;
mod prepare;
mod receive;
mod received;
mod release;
mod remedy;
mod remembered;
mod report;
mod report_in;
mod reservation;
mod responsibility;
mod returns;
mod reword;
mod seal;
mod server;
pub mod settings;
mod settle;
mod signing;
mod spooling;
mod stream;
mod strip;
mod sts;
mod submit;
mod take;
mod tls_memory;
mod tls_reports;
mod tls_results;

pub use bug::{bugs_caught, signatures_broken};
pub use confirmation::{Confirmation, Confirmations};
pub use live_directory::{DirectoryError, LiveDirectory};
pub use notice::Postmaster;
pub use release::Releaser;
pub use server::{Parts, Server, StartError, Status};
pub use submit::{LocalNames, Submission, Submitted, Submitter};
