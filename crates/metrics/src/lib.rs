//! Counters and histograms of the server, as Prometheus text and OpenMetrics.
//!
//! [`Metrics`] counts events, [`ServerState`] is read at each scrape, [`expose`] writes both. Every metric is a row of [`CATALOGUE`], from which
//! docs/metrics.md is generated. Invariant: a measurement costs no allocation and waits for nothing; a label takes its value from a closed list, never
//! from mail.

mod catalogue;
mod cells;
mod expose;
mod format;
mod measure;
mod minutes;
mod state;
mod words;

pub use catalogue::{CATALOGUE, MetricKind, MetricRow};
pub use expose::expose;
pub use format::Exposition;
pub use measure::Metrics;
pub use minutes::HourOfFlow;
pub use state::{ProcessState, ServerState};
