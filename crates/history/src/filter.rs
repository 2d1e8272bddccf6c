//! Which events a query is about.
//!
//! Invariant: a live view and a query with the same filter show the same events.

use events::{Event, EventKind, Group, Level};

use crate::clue::Clue;

/// Selects events. The default selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only events that match this clue.
    pub clue: Option<Clue>,
    /// Only events of these kinds; all if empty.
    pub kinds: Vec<EventKind>,
    /// Only events of this time or later, in Unix milliseconds.
    pub since_ms: Option<i64>,
    /// Only events before this time.
    pub until_ms: Option<i64>,
}

impl Filter {
    /// Selects events that match a clue.
    pub fn of_clue(clue: Clue) -> Self {
        Self { clue: Some(clue), ..Self::default() }
    }

    /// Keeps only kinds of a group.
    #[must_use]
    pub fn group(self, group: Group) -> Self {
        self.only(|kind| kind.group() == group)
    }

    /// Keeps only kinds that need at least this attention.
    #[must_use]
    pub fn level(self, level: Level) -> Self {
        let rank = |level: Level| match level {
            Level::Info => 0,
            Level::Warning => 1,
            Level::Error => 2,
        };
        self.only(|kind| rank(kind.level()) >= rank(level))
    }

    fn only(mut self, keep: impl Fn(EventKind) -> bool) -> Self {
        let among = if self.kinds.is_empty() { EventKind::ALL } else { &self.kinds };
        self.kinds = among.iter().copied().filter(|kind| keep(*kind)).collect();
        self
    }

    /// Whether it selects an event.
    pub fn matches(&self, event: &Event) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.since_ms.is_none_or(|since| event.at_ms >= since)
            && self.until_ms.is_none_or(|until| event.at_ms < until)
            && self.clue.as_ref().is_none_or(|clue| clue.matches(event))
    }
}
