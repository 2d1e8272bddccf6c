//! Hashes imported passwords that are only sealed, in the background.
//!
//! RFC 9106 s.4, RFC 5802 s.3. Invariant: what is done is on disk, so a restart goes on with the rest; a password that is changed meanwhile is left alone; one
//! at a time, so that no login waits for more than one of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use directory::{Account, Password};

use crate::receive::auth::authenticator::{HashedSealed, Logins};
use crate::receive::auth::passwords::SEALED;
use crate::support::panic_edge::caught;

/// The pause between looks for such passwords.
const LOOK: Duration = Duration::from_secs(2);

/// Passwords between two readings of the directory, each of which takes as long as the directory is large.
const PIECE: usize = 200;

/// Runs until shutdown.
pub(crate) async fn run(logins: Arc<Logins>) {
    let mut work = Work::default();
    loop {
        tokio::time::sleep(LOOK).await;
        caught(work.piece(&logins)).await;
    }
}

/// What is under way.
#[derive(Default)]
struct Work {
    done: usize,
    /// Passwords whose key is lost, by login and name: each is said once.
    lost: HashSet<(String, String)>,
}

impl Work {
    async fn piece(&mut self, logins: &Logins) {
        loop {
            let directory = logins.directory().current();
            let all: Vec<(&Account, &Password)> = directory
                .contents()
                .accounts
                .iter()
                .flat_map(sealed)
                .filter(|(account, kept)| !self.lost.contains(&name(account, kept)))
                .collect();
            if all.is_empty() {
                if self.done > 0 {
                    tracing::info!(passwords = std::mem::take(&mut self.done), "all imported passwords are hashed");
                }
                return;
            }
            tracing::info!(done = self.done, left = all.len(), "imported passwords are being hashed");
            for (account, kept) in all.into_iter().take(PIECE) {
                match logins.hash_sealed(account, kept).await {
                    Ok(HashedSealed::Done) => self.done += 1,
                    Ok(HashedSealed::Busy) => return,
                    Ok(HashedSealed::Unreadable) => {
                        self.lost.insert(name(account, kept));
                        tracing::error!(login = %account.login, "an imported password cannot be read any more, since passwords.key is another one: waypost account passwd");
                    }
                    Err(error) => {
                        tracing::warn!(%error, "imported passwords cannot be hashed for now; trying again");
                        return;
                    }
                }
            }
            // No alias has changed; accounts are read again.
            if let Err(error) = logins.directory().apply(&[]).await {
                tracing::warn!(%error, "the directory could not be read again");
                return;
            }
        }
    }
}

fn sealed(account: &Account) -> impl Iterator<Item = (&Account, &Password)> {
    account.passwords.iter().filter(|kept| kept.verifier == SEALED).map(move |kept| (account, kept))
}

fn name(account: &Account, kept: &Password) -> (String, String) {
    (account.login.key(), kept.name.clone())
}
