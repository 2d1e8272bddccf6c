//! Logging in: the mechanism's exchange, and the check of a password on bounded threads.
//!
//! RFC 4954 s.4. Invariant: an unknown user costs as much time as a wrong password and gets the same reply; hashing never
//! uses more than [`HASHES_MAX`] threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use directory::Directory;
use mail::Reply;
use sasl::{Credentials, password};
use tokio::sync::{mpsc, oneshot};

/// Passwords hashed at a time, each in 19 MiB. The threads are always the same ones: memory that a hash leaves
/// behind in its thread would otherwise add up over all the runtime's threads.
const HASHES_MAX: usize = 2;

/// Logins that wait for a thread; more are asked to come back.
const LINE_MAX: usize = 256;

/// A password to check, against a verifier or, for an unknown user, against nothing.
#[derive(Debug)]
struct Check {
    credentials: Credentials,
    hash: Option<String>,
    answer: oneshot::Sender<bool>,
}

/// Checks logins.
#[derive(Debug)]
pub(crate) struct Logins {
    line: mpsc::Sender<Check>,
}

impl Logins {
    /// Starts the threads; they end with the last handle.
    pub fn start() -> std::io::Result<Self> {
        let (line, checks) = mpsc::channel::<Check>(LINE_MAX);
        let checks = Arc::new(Mutex::new(checks));
        for _ in 0..HASHES_MAX {
            let checks = checks.clone();
            thread::Builder::new().name("login".into()).spawn(move || {
                // The lock is held only while waiting, so one thread waits and the other works.
                while let Some(check) = { checks.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv() } {
                    let right = is_right(&check);
                    // The client may have gone meanwhile.
                    let _ = check.answer.send(right);
                }
            })?;
        }
        Ok(Self { line })
    }

    /// The login name of the account, where name and password are right; an error asks the client to come back.
    pub async fn check(&self, directory: &Directory, credentials: Credentials) -> Result<Option<String>, Reply> {
        let account = directory.account(&credentials.authcid).filter(|a| a.enabled);
        let login = account.map(|a| a.login.key());
        let hash = account.map(|a| a.password_hash.clone());
        let (answer, result) = oneshot::channel();
        let busy = || Reply::new(454, (4, 7, 0), "too many logins at once; try again in a minute");
        self.line.try_send(Check { credentials, hash, answer }).map_err(|_| busy())?;
        let right = result.await.map_err(|_| busy())?;
        Ok(login.filter(|_| right))
    }
}

fn is_right(check: &Check) -> bool {
    let password = check.credentials.password.expose();
    match &check.hash {
        Some(hash) => password::verify(password, hash),
        None => {
            password::verify_dummy(password);
            false
        }
    }
}

/// The one reply to every failed login.
pub(crate) fn refused() -> Reply {
    Reply::new(535, (5, 7, 8), "authentication failed: the user name is the full address, the password the one that Waypost printed")
}
