//! Logging in: the mechanism's exchange, and the check of a password on bounded threads.
//!
//! RFC 4954 s.4. Invariant: an unknown user costs as much time as a wrong password and gets the same reply; hashing never
//! uses more than [`HASHES_MAX`] threads.

use std::sync::Arc;

use directory::Directory;
use mail::Reply;
use sasl::{Credentials, password};
use tokio::sync::Semaphore;

/// Passwords hashed at a time.
const HASHES_MAX: usize = 2;

/// Checks logins.
#[derive(Debug)]
pub(crate) struct Logins {
    hashing: Arc<Semaphore>,
}

impl Logins {
    pub fn new() -> Self {
        Self { hashing: Arc::new(Semaphore::new(HASHES_MAX)) }
    }

    /// The login name of the account, where name and password are right.
    pub async fn check(&self, directory: &Directory, credentials: Credentials) -> Option<String> {
        let account = directory.account(&credentials.authcid).filter(|a| a.enabled);
        let login = account.map(|a| a.login.key());
        let hash = account.map(|a| a.password_hash.clone());
        let permit = self.hashing.clone().acquire_owned().await.ok()?;
        let right = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            match hash {
                Some(hash) => password::verify(credentials.password.expose(), &hash),
                None => {
                    password::verify_dummy(credentials.password.expose());
                    false
                }
            }
        })
        .await
        .unwrap_or(false);
        login.filter(|_| right)
    }
}

/// The one reply to every failed login.
pub(crate) fn refused() -> Reply {
    Reply::new(535, (5, 7, 8), "authentication failed: the user name is the full address, the password the one that Waypost printed")
}
