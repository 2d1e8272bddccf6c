//! Letters to the postmaster.
//!
//! May import `support`.

pub mod outbox;
pub mod postmaster;
pub mod virtual_file;
