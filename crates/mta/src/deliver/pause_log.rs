//! Logs pauses of hosts and mailboxes and their ends, and records them as events.
//!
//! Invariant: a pause that a host's reply asked for makes one event when it begins and one at the first delivery after it.

use events::{Event, EventKind, Fact};
use mail::Domain;
use policy::{Meaning, ReplyScope, Trouble};
use store::NewRecipient;

use crate::context::Shared;
use crate::deliver::delivery_log::named;
use crate::deliver::route::Plan;

/// Logs a host that cannot be reached: its mail waits, or takes another route.
pub(super) fn unreachable(shared: &Shared, host: Option<&Domain>, waiting: usize, trouble: &Trouble, instead: Option<&Plan>) {
    let (kind, shown) = (EventKind::HostPaused, host.map(tracing::field::display));
    let instead = instead.map(|plan| plan.hops.first());
    match instead {
        Some(instead) => {
            let instead = instead.map(tracing::field::display);
            tracing::warn!(host = shown, instead, waiting, %trouble, "{}; its mail uses the last-resort route", kind.words());
        }
        None => tracing::warn!(host = shown, waiting, %trouble, "{}", kind.words()),
    }
    shared.events.record_with(|| {
        let event = Event::new(kind, shared.clock.now_ms()).reason(Some(trouble.to_string())).fact(Fact::Recipients, waiting);
        let change = instead.flatten().map(|instead| format!("its mail uses the last-resort route over {instead}"));
        Event { host: host.map(ToString::to_string), ..event }.maybe(Fact::Change, change)
    });
}

/// Records that a host that could not be reached accepts mail again.
pub(super) fn reachable(shared: &Shared, host: &Domain) {
    shared.events.record_with(|| Event::new(EventKind::HostResumed, shared.clock.now_ms()).host(host.as_str()));
}

/// Whom a delivery was for: a host with its ways, or one of its mailboxes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reached<'a> {
    pub host: &'a Domain,
    pub recipient: Option<&'a NewRecipient>,
}

/// Records the pauses that a host's reply began.
pub(super) fn paused(shared: &Shared, of: Reached<'_>, opened: &[(ReplyScope, String)], meaning: &Meaning, until_ms: Option<i64>) {
    for (scope, about) in opened {
        shared.events.record_with(|| {
            let kind = if *scope == ReplyScope::Target { EventKind::MailboxPaused } else { EventKind::HostPaused };
            let (now_ms, event) = (shared.clock.now_ms(), of.event(shared, kind, *scope, about));
            let event = event.fact(Fact::Meaning, meaning.row).fact(Fact::Cause, meaning.cause).fact(Fact::NextStep, meaning.next_step);
            event.maybe(Fact::RetryInS, until_ms.map(|until_ms| (until_ms - now_ms).max(0) / 1000))
        });
    }
}

/// Records the pauses that a delivery ended.
pub(super) fn resumed(shared: &Shared, of: Reached<'_>, resumed: &[(ReplyScope, String)]) {
    for (scope, about) in resumed {
        let kind = if *scope == ReplyScope::Target { EventKind::MailboxResumed } else { EventKind::HostResumed };
        shared.events.record_with(|| of.event(shared, kind, *scope, about));
    }
}

impl Reached<'_> {
    fn event(&self, shared: &Shared, kind: EventKind, scope: ReplyScope, about: &str) -> Event {
        let event = Event::new(kind, shared.clock.now_ms()).host(self.host.as_str());
        match self.recipient {
            Some(recipient) if scope == ReplyScope::Target => named(event, recipient),
            _ => event.fact(Fact::What, format!("{scope} {about}")),
        }
    }
}
