//! The proof that lets the server reply 250.
//!
//! RFC 5321 s.4.2.5 and s.6.1. Invariant: it is made only of a commit, of a next hop's own 250, or of a dropped automatic reply.

use store::Committed;

use crate::accept::auto_replies::Dropped;
use crate::queue::cut_through::{CutThrough, TakenOver};

/// We are responsible for the message, since it is on our disk, or the server that accepted it is.
#[derive(Debug)]
pub(crate) enum Responsibility {
    /// It is on our disk, synced.
    Ours(#[allow(dead_code, reason = "the proof is that it is there")] Committed),
    /// It is a report, and its contents are on our disk.
    Kept(#[allow(dead_code, reason = "the proof is that it is there")] Committed),
    /// Every target has accepted it.
    TakenOver(#[allow(dead_code, reason = "the proof is that it is there")] TakenOver),
    /// It was an automatic reply to a return address, and was dropped.
    Dropped(#[allow(dead_code, reason = "the proof is that it is there")] Dropped),
}

impl From<CutThrough> for Responsibility {
    fn from(handed: CutThrough) -> Self {
        match handed {
            CutThrough::ToTargets(taken) => Self::TakenOver(taken),
            CutThrough::ToQueue(committed) => Self::Ours(committed),
        }
    }
}
