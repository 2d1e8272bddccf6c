//! The part of the handle for sessions, one-time links, second steps and passkeys of the owner's page.
//!
//! Invariant: what works once is used up by the commit that says so.

use crate::door::{DoorChange, OneTimeLink, PageSession, Passkey, SecondStep, TokenHash};
use crate::error::StoreError;
use crate::handle::Store;
use crate::operation::Operation;
use crate::tables;

impl Store {
    /// Applies a change.
    ///
    /// # Errors
    /// What was to be used once was used before ([`StoreError::NotFound`], [`StoreError::Conflict`]), or the store failed.
    pub async fn change_door(&self, change: DoorChange) -> Result<(), StoreError> {
        self.write(Operation::Door(change)).await.map(|_| ())
    }

    /// Returns all sessions of the page.
    pub async fn page_sessions(&self) -> Result<Vec<PageSession>, StoreError> {
        self.read(tables::page_sessions).await
    }

    /// Returns the link of a token.
    pub async fn one_time_link(&self, token: TokenHash) -> Result<Option<OneTimeLink>, StoreError> {
        self.read(move |db| tables::one_time_link(db, &token)).await
    }

    /// Returns the second step of an account, by its login in lower case.
    pub async fn second_step(&self, login: String) -> Result<Option<SecondStep>, StoreError> {
        self.read(move |db| tables::second_step(db, &login)).await
    }

    /// Returns the passkeys of an account, by its login in lower case, the oldest first.
    pub async fn passkeys(&self, login: String) -> Result<Vec<Passkey>, StoreError> {
        self.read(move |db| tables::passkeys(db, &login)).await
    }

    /// Returns a passkey by the authenticator's name of it.
    pub async fn passkey(&self, id: Vec<u8>) -> Result<Option<Passkey>, StoreError> {
        self.read(move |db| tables::passkey(db, &id)).await
    }
}
