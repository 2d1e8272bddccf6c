//! Deliveries to other servers: route, connection, TLS, one transaction, and the outcome on disk.
//!
//! May import `reporting`, `notify` and `support`.

pub mod breaker_file;
pub mod breakers;
pub mod clock_step;
pub mod connect;
pub mod connection_limit;
pub mod dedup;
pub mod delivery_log;
pub mod direct;
pub mod dmarc_mitigation;
pub mod dsn;
pub mod ipv6;
pub mod job;
pub mod lane;
pub mod maildir;
pub mod mta_sts;
pub mod open_session;
pub mod outbound;
mod pause_log;
pub mod pauses;
pub mod resumed;
pub mod route;
pub mod settle;
pub mod tls_history;
pub mod tls_policy;
pub mod transaction;
pub mod window;
