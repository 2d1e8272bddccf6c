//! What owners and operators change, as events for the history.
//!
//! Invariant: every change through the API is recorded once, with who made it.

use events::{Event, EventKind, Events, Fact};
use mail::QueueId;
use net::Clock;
use store::DirectoryChange;

use crate::actor::Actor;

/// Records changes.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub events: Events,
    pub clock: Clock,
}

impl Recorder {
    fn change(&self, kind: EventKind, actor: &Actor) -> Event {
        Event::new(kind, self.clock.now_ms()).login(Some(actor.name.clone()))
    }

    /// Records a change of the directory, described by `words`.
    pub fn directory(&self, actor: &Actor, words: &str, changes: &[DirectoryChange]) {
        let mut event = self.change(EventKind::DirectoryChanged, actor).fact(Fact::Change, words);
        match changes.first().map(object) {
            Some((what, Object::Address(address))) => event = event.fact(Fact::What, what).to(address),
            Some((what, Object::Domain(domain))) => event = event.fact(Fact::What, what).fact(Fact::Domain, domain),
            None => {}
        }
        tracing::info!(changed = words, by = actor.name, "directory changed");
        self.events.record(event);
    }

    /// Records a change of something else, described by `words`.
    pub fn server(&self, actor: &Actor, what: &str, words: &str) {
        tracing::info!(changed = words, by = actor.name, "server changed");
        self.events.record(self.change(EventKind::ServerChanged, actor).fact(Fact::What, what).fact(Fact::Change, words));
    }

    /// Records that a held message was released, and leaves under this queue ID.
    pub fn released(&self, actor: &Actor, id: QueueId, leaves_as: QueueId, words: &str) {
        tracing::info!(%id, changed = words, by = actor.name, "held message released");
        let event = self.change(EventKind::Released, actor).of_message(id).fact(Fact::Change, words);
        self.events.record(event.maybe(Fact::Copies, (leaves_as != id).then_some(leaves_as)));
    }

    /// Records that a message was dropped.
    pub fn dropped(&self, actor: &Actor, id: QueueId, words: &str) {
        tracing::info!(%id, changed = words, by = actor.name, "message dropped");
        self.events.record(self.change(EventKind::Dropped, actor).of_message(id).fact(Fact::Change, words));
    }
}

/// What a change is about.
enum Object {
    Address(String),
    Domain(String),
}

fn object(change: &DirectoryChange) -> (&'static str, Object) {
    use DirectoryChange as C;
    match change {
        C::AddDomain(domain) | C::RemoveDomain(domain) => ("domain", Object::Domain(domain.to_string())),
        C::AddAlias { alias, .. } => ("alias", Object::Address(alias.source.to_string())),
        C::RemoveAlias(source) | C::EnableAlias(source, _) | C::SetAliasOptions(source, _) => {
            ("alias", Object::Address(source.to_string()))
        }
        C::AddKey(key) => ("key", Object::Domain(key.domain.to_string())),
        C::SetKeyState { domain, .. } | C::RemoveKey(domain, _) => ("key", Object::Domain(domain.to_string())),
        C::Account(change) => ("account", Object::Address(change.login().to_string())),
    }
}
