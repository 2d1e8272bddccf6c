//! A door over a store in a temporary directory, with a simulated clock.

use std::sync::Arc;

use directory::{Account, Password};
use events::Events;
use mta::LiveDirectory;
use mta::passwords::PasswordKey;
use net::Clock;
use store::{AccountChange, DirectoryChange, Store};

use crate::{Door, DoorParts};

/// The door, and what a test changes behind it.
pub(crate) struct TestDoor {
    pub door: Door,
    pub parts: DoorParts,
    _dir: tempfile::TempDir,
}

/// A password with this name and verifier.
pub(crate) fn password(name: &str, verifier: &str) -> Password {
    Password { name: name.into(), verifier: verifier.into(), scram_sha256: None, scram_sha1: None, sealed: None, made_ms: 0 }
}

impl TestDoor {
    /// With an owner `me@x.test`, who has the passwords `phone` and `laptop`.
    pub async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let live = Arc::new(LiveDirectory::open(store.clone(), "+", None).await.unwrap());
        let key = Arc::new(PasswordKey::new([7; 32]));
        let parts = DoorParts { store, live, key, clock: Clock::simulated(1_700_000_000_000), events: Events::default() };
        let mut account = Account::new("me@x.test".parse().unwrap(), [0; 16]);
        account.owner = true;
        account.passwords = vec![password("phone", "one"), password("laptop", "two")];
        let test = Self { door: Door::open(parts.clone()).await.unwrap(), parts, _dir: dir };
        test.change(AccountChange::Add(Box::new(account))).await;
        test
    }

    /// Changes the directory.
    pub async fn change(&self, change: AccountChange) {
        let changes = vec![DirectoryChange::Account(change)];
        self.parts.store.change_directory(changes.clone()).await.unwrap();
        self.parts.live.apply(&changes).await.unwrap();
    }
}
