//! The history: every event, kept in its own database and found by any clue.
//!
//! Invariant: no session and no delivery waits for it; losing it loses no mail.
