//! The configuration of `waypost`, as a library: for tests and tools that read it as the server does.
//!
//! Invariant: everything else of the program is in its binary.

pub mod config;
