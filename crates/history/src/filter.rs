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
    /// Whether a clue matches only what others than owners may see ([`without_targets`]).
    pub without_targets: bool,
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
        self.only(|kind| kind.level() >= level)
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
            && self.clue.as_ref().is_none_or(|clue| self.is_found(clue, event))
    }

    fn is_found(&self, clue: &Clue, event: &Event) -> bool {
        if self.without_targets { clue.matches(&without_targets(event)) } else { clue.matches(event) }
    }
}

/// Returns what others than owners may see of an event: neither the mailbox behind an alias nor what may name it, its host and replies.
pub fn without_targets(event: &Event) -> Event {
    let is_shown = event.kind.group() != Group::Delivery;
    Event {
        target: None,
        reply: event.reply.clone().filter(|_| is_shown && event.target.is_none()),
        reason: event.reason.clone().filter(|_| is_shown),
        host: event.host.clone().filter(|_| is_shown),
        client: event.client.filter(|_| is_shown),
        ..event.clone()
    }
}
