//! Letters to the postmaster and to the owners of accounts.
//!
//! May import `support`.

pub mod letter;
pub mod outbox;
pub mod postmaster;
pub mod virtual_file;
