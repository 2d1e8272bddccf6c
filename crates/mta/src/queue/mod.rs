//! The queue: commits accepted mail, claims what is due, and offers a message to its targets while the client waits.
//!
//! May import `deliver`, `reporting`, `notify` and `support`.

pub mod clock_step;
pub mod cut_through;
pub mod dedup;
pub mod dispatch;
pub mod enqueue;
pub mod reservation;
pub mod responsibility;
