//! Counters and histograms of the server, as Prometheus text and OpenMetrics.
//!
//! Invariant: a measurement costs no allocation and waits for nothing.
