//! DKIM2 chains from end to end: a stranger signs, we forward, a strict receiver verifies every hop and restores what came. Stranger and receiver are
//! mail-auth, called by the test.

mod forged;
mod forwards;
mod own;
mod returned;
mod stage;
mod vectors;
