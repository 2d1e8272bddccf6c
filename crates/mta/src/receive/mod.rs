//! Sessions with clients: connections, TLS, logins, commands, content.
//!
//! May import every other wing.

pub mod auth;
pub mod content_quota;
pub mod inbound;
pub mod known_networks;
pub mod listen;
mod no_sooner;
pub mod own_checks;
pub mod pressure;
pub mod rcpt;
pub mod sender;
pub mod session;
mod session_log;
pub mod shares;
pub mod timeouts;
pub mod tls_accept;
