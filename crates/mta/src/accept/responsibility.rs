//! The proof that lets the server reply 250.
//!
//! RFC 5321 s.4.2.5 and s.6.1. Invariant: it is made only from a commit, from the 250 of every target, or from a dropped automatic reply.

use store::Committed;

use crate::accept::auto_replies::Dropped;
use crate::queue::cut_through::{CutThrough, TakenOver};

/// Proof of who is responsible for the message: this server, since the message is on disk, or the servers that accepted it.
#[derive(Debug)]
pub(crate) enum Responsibility {
    /// It is on disk, synced.
    Ours(#[allow(dead_code, reason = "the proof is that it is there")] Committed),
    /// It is a report, and its contents are on disk, synced.
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
