//! What would happen to a message: the stages of the mail flow, run without an effect, in words.
//!
//! Every decision is made by the function that handles real mail. Invariant: nothing is sent or stored, no count changes; contents stay in memory,
//! and counts of the stages are those of a server that has just started. May import every wing but `server`.

mod content;
mod deliveries;
mod envelope;
pub mod explainer;
pub mod explanation;
mod prediction;
pub mod question;
mod route;
pub mod words;
