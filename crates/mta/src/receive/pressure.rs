//! Stress and the memory budget of the process: under stress, clients that the server does not know get less time and fewer mistakes; over the budget they are
//! turned away.
//!
//! As Postfix's stress-adaptive behaviour: shorter timeouts and one error instead of many while a service is overloaded, for as long as it is and a while
//! longer. Invariant: a client with a login, or from the network of one, is never affected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::receive::listen::Sessions;
use crate::settings::LiveSettings;
use crate::support::process_memory::resident_bytes;

/// Interval of the measurements.
const EVERY: Duration = Duration::from_secs(1);

/// How long the server must be at ease before stress ends: a burst often has a second wave.
const CALM: Duration = Duration::from_secs(60);

/// Stress begins at this part of the budget, in eighths.
const STRESS_EIGHTHS: u64 = 7;

/// Whether the server is under stress, or over its memory budget. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pressure(Arc<PressureFlags>);

#[derive(Debug, Default)]
struct PressureFlags {
    is_stressed: AtomicBool,
    is_over_budget: AtomicBool,
}

impl Pressure {
    /// Whether unknown clients get less time and fewer mistakes.
    pub fn is_stressed(&self) -> bool {
        self.0.is_stressed.load(Ordering::Relaxed)
    }

    /// Whether the process uses more memory than `limits.memory_bytes`.
    pub fn is_over_budget(&self) -> bool {
        self.0.is_over_budget.load(Ordering::Relaxed)
    }

    /// Notes a measurement; logs what changes. `last` is when the server was last overloaded.
    fn note(&self, used: u64, budget: u64, is_crowded: bool, last: &mut Option<Instant>, now: Instant) {
        let is_over = used > budget;
        if self.0.is_over_budget.swap(is_over, Ordering::Relaxed) != is_over {
            match is_over {
                true => tracing::warn!(
                    used,
                    budget,
                    "the memory budget is used up: new clients get 421 4.3.2, except those with a login (limits.memory_bytes)"
                ),
                false => tracing::info!(used, budget, "within the memory budget again"),
            }
        }
        if is_crowded || used > budget / 8 * STRESS_EIGHTHS {
            *last = Some(now);
        }
        let is_stressed = last.is_some_and(|last| now.saturating_duration_since(last) < CALM);
        if self.0.is_stressed.swap(is_stressed, Ordering::Relaxed) != is_stressed {
            match is_stressed {
                true => tracing::warn!(used, budget, is_crowded, "under stress: unknown clients get shorter timeouts and fewer errors"),
                false => tracing::info!("no longer under stress"),
            }
        }
    }
}

/// Measures until shutdown.
#[allow(clippy::disallowed_methods)] // how long stress lasts, which decides on no mail
pub(crate) async fn watch(pressure: Pressure, sessions: Sessions, settings: LiveSettings) {
    let mut last = None;
    loop {
        let limits = settings.load().limits.clone();
        let used = resident_bytes().unwrap_or(0);
        pressure.note(used, limits.memory_bytes, sessions.is_crowded(&limits), &mut last, Instant::now());
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // deadlines are the runtime's time
mod tests {
    use super::*;

    #[test]
    fn stress_begins_at_once_and_ends_after_a_calm_minute() {
        let (pressure, begin) = (Pressure::default(), Instant::now());
        let mut last = None;
        let mut note = |used, is_crowded, after_s| {
            pressure.note(used, 800, is_crowded, &mut last, begin + Duration::from_secs(after_s));
            (pressure.is_stressed(), pressure.is_over_budget())
        };
        assert_eq!(note(700, false, 0), (false, false));
        assert_eq!(note(701, false, 1), (true, false));
        assert_eq!(note(801, false, 2), (true, true));
        assert_eq!(note(100, false, 3), (true, false), "the budget counts at once");
        assert_eq!(note(100, false, 61), (true, false));
        assert_eq!(note(100, false, 62), (false, false));
        assert_eq!((note(100, true, 63), note(100, false, 122), note(100, false, 123)), ((true, false), (true, false), (false, false)));
    }
}
