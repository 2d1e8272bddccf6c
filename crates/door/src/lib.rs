//! Who gets in to the owner's page: sessions, one-time links, second steps, passkeys.
//!
//! The check of passwords is `mta`'s ([`mta::PageLogins`]), so that guesses count together with those of SASL. Invariants: what is stored is not enough to
//! get in; a session ends as soon as its account may not log in or has lost the password that opened it.

mod challenge;
mod links;
mod passkeys;
mod second_step;
mod sessions;
#[cfg(test)]
mod test_door;
mod token;
mod webauthn;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use directory::Account;
use events::{Event, EventKind, Events, Fact};
use mta::LiveDirectory;
use mta::passwords::PasswordKey;
use net::Clock;
use store::{Store, StoreError};

pub use links::MadeLink;
pub use passkeys::{NewPasskey, PasskeyAnswer, PasskeyPurpose, PasskeyRefused};
pub use second_step::{CodeRefused, Enrolment, SecondStepView};
pub use sessions::{Guest, NewSession, SessionView};
pub use store::{LinkPurpose, OneTimeLink, Passkey};
pub use webauthn::PasskeySite;

use challenge::Challenges;
use second_step::WrongCodes;
use sessions::Sessions;

/// What the door is built from.
#[derive(Clone)]
pub struct DoorParts {
    /// Where it keeps sessions, links and second steps.
    pub store: Store,
    /// The directory in effect.
    pub live: Arc<LiveDirectory>,
    /// The key that seals secrets.
    pub key: Arc<PasswordKey>,
    /// The time.
    pub clock: Clock,
    /// Where logins and changes are recorded.
    pub events: Events,
}

/// The door of the owner's page. Clones share it.
#[derive(Clone)]
pub struct Door(Arc<DoorState>);

struct DoorState {
    parts: DoorParts,
    sessions: Sessions,
    wrong_codes: WrongCodes,
    challenges: Challenges,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

impl Door {
    /// Opens the door with the sessions of an earlier process.
    ///
    /// # Errors
    /// The store failed.
    pub async fn open(parts: DoorParts) -> Result<Self, StoreError> {
        let sessions = Sessions::of(parts.store.page_sessions().await?);
        Ok(Self(Arc::new(DoorState { parts, sessions, wrong_codes: WrongCodes::default(), challenges: Challenges::default() })))
    }

    fn parts(&self) -> &DoorParts {
        &self.0.parts
    }

    fn now_ms(&self) -> i64 {
        self.parts().clock.now_ms()
    }

    /// Returns the account of a login, if it may log in.
    pub fn account(&self, login: &str) -> Option<Account> {
        self.parts().live.current().active_account(login).cloned()
    }

    /// Whether some account is an owner.
    pub fn has_owner(&self) -> bool {
        self.parts().live.current().contents().accounts.iter().any(|account| account.owner)
    }

    /// Records that an owner or another account opened the page, `how` in words; `news` of its network ([`mta::LoginNetwork::news`]).
    pub fn record_login(&self, login: &str, client: IpAddr, how: &str, news: Option<&str>) {
        let kind = EventKind::OwnerLoggedIn;
        tracing::info!(%client, login, how, new = news, "{}", kind.words());
        let event = Event::new(kind, self.now_ms()).client(client).login(Some(login)).fact(Fact::Mechanism, how);
        self.parts().events.record(event.maybe(Fact::New, news));
    }

    /// Records a change of sessions, links or second steps, `words` about `what`.
    pub fn record_change(&self, by: &str, what: &str, words: &str) {
        let kind = EventKind::ServerChanged;
        tracing::info!(by, changed = words, "{}", kind.words());
        let event = Event::new(kind, self.now_ms()).login(Some(by));
        self.parts().events.record(event.fact(Fact::What, what).fact(Fact::Change, words));
    }
}
