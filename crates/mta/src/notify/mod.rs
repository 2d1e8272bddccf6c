//! Letters to the postmaster.
//!
//! May import `support`.

pub mod postmaster;
pub mod virtual_file;
