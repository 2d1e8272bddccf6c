//! The part of the handle for the directory, and for past logins, known recipients and SRS senders.
//!
//! Invariant: a change of the directory is committed as a whole or not at all.

use directory::Contents;
use mail::Mailbox;

use crate::error::StoreError;
use crate::handle::Store;
use crate::operation::Operation;
use crate::tables::{self, DirectoryChange, KnownRecipient, LoginUse};

impl Store {
    /// Applies changes to the directory: all or none.
    pub async fn change_directory(&self, changes: Vec<DirectoryChange>) -> Result<(), StoreError> {
        self.write(Operation::Directory(changes)).await.map(|_| ())
    }

    /// Reads the directory.
    pub async fn directory(&self, delimiters: String) -> Result<Contents, StoreError> {
        self.read(move |db| tables::load_directory(db, &delimiters)).await
    }

    /// Reads the directory without its aliases, of which there may be a million.
    pub async fn directory_beside_aliases(&self, delimiters: String) -> Result<Contents, StoreError> {
        self.read(move |db| tables::load_directory_beside_aliases(db, &delimiters)).await
    }

    /// Records uses of passwords.
    pub async fn record_logins(&self, uses: Vec<LoginUse>) -> Result<(), StoreError> {
        self.write(Operation::RecordLogins(uses)).await.map(|_| ())
    }

    /// Returns the uses of an account's passwords, or of all, since a time; the newest first.
    pub async fn logins(&self, login: Option<String>, since_ms: i64) -> Result<Vec<LoginUse>, StoreError> {
        self.read(move |db| tables::logins(db, login.as_deref(), since_ms)).await
    }

    /// Records recipients to which accounts have sent.
    pub async fn record_recipients(&self, recipients: Vec<KnownRecipient>) -> Result<(), StoreError> {
        self.write(Operation::RecordRecipients(recipients)).await.map(|_| ())
    }

    /// Returns the recipients to which an account has sent (hash and first time), the newest first, within the maximum.
    pub async fn known_recipients(&self, login: String) -> Result<Vec<(i64, i64)>, StoreError> {
        self.read(move |db| tables::known_recipients(db, &login)).await
    }

    /// Stores the sender of an SRS token; it is on disk, synced, when this returns.
    pub async fn remember_sender(&self, token: String, sender: &Mailbox, now_ms: i64) -> Result<(), StoreError> {
        self.write(Operation::RememberSender { token, sender: sender.to_string(), now_ms }).await.map(|_| ())
    }

    /// Returns the sender of an SRS token.
    pub async fn remembered_sender(&self, token: String) -> Result<Option<Mailbox>, StoreError> {
        self.read(move |db| tables::srs_sender(db, &token)).await
    }
}
