//! The proof that a client may be told 250.
//!
//! RFC 5321 s.4.2.5 and s.6.1. Invariant: it is made of a commit, of a next hop's own 250, or of an automatic answer that nobody waits for, and of
//! nothing else.

use store::Committed;

use crate::accept::auto_replies::Dropped;
use crate::queue::cut_through::TakenOver;

/// Somebody answers for the message: we, since it is on our disk, or the server that took it.
#[derive(Debug)]
pub(crate) enum Responsibility {
    /// It is on our disk, synced.
    Ours(#[allow(dead_code, reason = "the proof is that it is there")] Committed),
    /// It is a report, and what it says is on our disk.
    Kept(#[allow(dead_code, reason = "the proof is that it is there")] Committed),
    /// Every target has taken it.
    TakenOver(#[allow(dead_code, reason = "the proof is that it is there")] TakenOver),
    /// It is an automatic answer to a return address, and goes nowhere.
    Dropped(#[allow(dead_code, reason = "the proof is that it is there")] Dropped),
}
