//! Hashes imported passwords that are only sealed, in the background.
//!
//! RFC 9106 s.4, RFC 5802 s.3. Invariant: each result is on disk, so a restart continues with the rest; a password that changes meanwhile is
//! not overwritten; one at a time, so that no login waits for more than one of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use directory::{Account, Password};

use crate::receive::auth::authenticator::{Authenticator, HashedSealed};
use crate::receive::auth::passwords::SEALED;
use crate::support::panic_edge::caught;

/// Interval between two searches for sealed passwords.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// Passwords hashed between two reloads of the directory, whose cost grows with its size.
const BATCH: usize = 200;

/// Runs until shutdown.
pub(crate) async fn run(logins: Arc<Authenticator>) {
    let mut work = RehashRun::default();
    loop {
        tokio::time::sleep(POLL_EVERY).await;
        caught(work.batch(&logins)).await;
    }
}

/// Progress.
#[derive(Default)]
struct RehashRun {
    done: usize,
    /// Passwords that cannot be opened, by login and name: each is logged once.
    lost: HashSet<(String, String)>,
}

impl RehashRun {
    async fn batch(&mut self, logins: &Authenticator) {
        loop {
            let directory = logins.directory().current();
            let all: Vec<(&Account, &Password)> = directory
                .contents()
                .accounts
                .iter()
                .flat_map(sealed)
                .filter(|(account, stored)| !self.lost.contains(&name(account, stored)))
                .collect();
            if all.is_empty() {
                if self.done > 0 {
                    tracing::info!(passwords = std::mem::take(&mut self.done), "all imported passwords are hashed");
                }
                return;
            }
            tracing::info!(done = self.done, left = all.len(), "hashing imported passwords");
            for (account, stored) in all.into_iter().take(BATCH) {
                match logins.hash_sealed(account, stored).await {
                    Ok(HashedSealed::Done) => self.done += 1,
                    Ok(HashedSealed::Busy) => return,
                    Ok(HashedSealed::Unreadable) => {
                        self.lost.insert(name(account, stored));
                        tracing::error!(login = %account.login, "an imported password cannot be opened, since passwords.key has changed: set a new one with `waypost account passwd`");
                    }
                    Err(error) => {
                        tracing::warn!(%error, "imported passwords could not be hashed; trying again");
                        return;
                    }
                }
            }
            // No alias has changed; this reloads the accounts.
            if let Err(error) = logins.directory().apply(&[]).await {
                tracing::warn!(%error, "the directory could not be reloaded");
                return;
            }
        }
    }
}

fn sealed(account: &Account) -> impl Iterator<Item = (&Account, &Password)> {
    account.passwords.iter().filter(|stored| stored.verifier == SEALED).map(move |stored| (account, stored))
}

fn name(account: &Account, stored: &Password) -> (String, String) {
    (account.login.key(), stored.name.clone())
}
