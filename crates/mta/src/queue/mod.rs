//! The queue: commits accepted mail, claims what is due, and offers a message to its targets while the client waits.
//!
//! May import `deliver`, `reporting`, `notify` and `support`.

pub mod cut_through;
pub mod dispatch;
pub mod enqueue;
pub mod news;
pub mod not_taken;
pub mod reservation;
