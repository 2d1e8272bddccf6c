//! Links that work once: to log in for the first time, and to invite a person.
//!
//! Invariant: only a button behind the link uses it up, since mail programs and messengers open links to preview them.

use store::{DoorChange, LinkPurpose, OneTimeLink, StoreError};

use crate::Door;
use crate::token::{hash_of, new_token};

/// How long a link to log in works, in milliseconds.
const LOGIN_MS: i64 = 15 * 60_000;

/// How long an invitation works, in milliseconds.
const INVITATION_MS: i64 = 7 * 86_400_000;

/// A new link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeLink {
    /// Its path on the server.
    pub path: String,
    /// When it ends, Unix milliseconds.
    pub until_ms: i64,
}

impl Door {
    /// Makes a link for an account; an empty login is the operator, before there is an owner.
    ///
    /// # Errors
    /// The store failed.
    pub async fn make_link(&self, by: &str, login: &str, purpose: LinkPurpose) -> Result<MadeLink, StoreError> {
        let (token, now_ms) = (new_token(), self.now_ms());
        let (path, age_ms, what) = match purpose {
            LinkPurpose::Login => (format!("/login/link/{token}"), LOGIN_MS, "a link to log in"),
            LinkPurpose::Invitation => (format!("/invitation/{token}"), INVITATION_MS, "an invitation"),
        };
        let until_ms = now_ms + age_ms;
        let link = OneTimeLink { token: net::sha256(&[token.as_bytes()]), login: login.to_owned(), purpose, until_ms };
        self.parts().store.change_door(DoorChange::PutLink(link, now_ms)).await?;
        let whose = if login.is_empty() { "the operator" } else { login };
        self.record_change(by, "login", &format!("made {what} for {whose}"));
        Ok(MadeLink { path, until_ms })
    }

    /// Returns the link of a token, if it still works.
    ///
    /// # Errors
    /// The store failed.
    pub async fn link(&self, token: &str, purpose: LinkPurpose) -> Result<Option<OneTimeLink>, StoreError> {
        let Some(hash) = hash_of(token) else { return Ok(None) };
        let found = self.parts().store.one_time_link(hash).await?;
        Ok(found.filter(|link| link.purpose == purpose && self.now_ms() < link.until_ms && self.may_use(&link.login)))
    }

    /// Uses up the link of a token. `None` if it does not work.
    ///
    /// # Errors
    /// The store failed.
    pub async fn take_link(&self, token: &str, purpose: LinkPurpose) -> Result<Option<OneTimeLink>, StoreError> {
        let Some(link) = self.link(token, purpose).await? else { return Ok(None) };
        match self.parts().store.change_door(DoorChange::TakeLink(link.token)).await {
            Ok(()) => Ok(Some(link)),
            Err(StoreError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives back a link that was taken and did not do what it is for.
    ///
    /// # Errors
    /// The store failed.
    pub async fn give_back(&self, link: OneTimeLink) -> Result<(), StoreError> {
        self.parts().store.change_door(DoorChange::PutLink(link, self.now_ms())).await
    }

    fn may_use(&self, login: &str) -> bool {
        if login.is_empty() { !self.has_owner() } else { self.account(login).is_some() }
    }
}
