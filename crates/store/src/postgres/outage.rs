//! What the log says of a database that cannot be reached.
//!
//! Invariant: a long outage is a line a minute, however often a connection is tried, and each new reason is said at once.

use std::time::Duration;

use crate::error::StoreError;

/// Time after which the same reason is said again.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// An outage: what was said last, and when.
#[derive(Debug, Default)]
pub(super) struct Outage(Option<(Duration, String)>);

impl Outage {
    /// Whether to say this reason at this time of the steady clock; then it counts as said.
    pub fn is_news(&mut self, at: Duration, error: &StoreError) -> bool {
        let text = error.to_string();
        let is_known = self.0.as_ref().is_some_and(|(said, known)| *known == text && at.saturating_sub(*said) < AGAIN_AFTER);
        if !is_known {
            self.0 = Some((at, text));
        }
        !is_known
    }

    /// Ends it. Returns whether there was one.
    pub fn end(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_once_a_minute_and_another_at_once() {
        let (mut outage, at) = (Outage::default(), Duration::from_secs);
        let [away, full] = ["away", "full"].map(|text| StoreError::Unavailable(text.into()));
        let said =
            [(0, &away), (1, &away), (59, &away), (60, &away), (61, &full), (62, &full)].map(|(s, error)| outage.is_news(at(s), error));
        assert_eq!(said, [true, false, false, true, true, false]);
        assert!(outage.end() && !outage.end());
        assert!(outage.is_news(at(63), &full));
    }
}
