//! Logins to the owner's page: the same check, the same cost and the same limits as SASL's.
//!
//! RFC 4954 s.4, NIST SP 800-63B. Invariant: there is no second check of passwords, and no way to guess here that is not counted there.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sasl::{Credentials, Secret};

use crate::receive::auth::authenticator::{Authenticator, LoggedIn, LoginAttempt, LoginWay};
use crate::receive::auth::denied::Denied;

/// Why a login was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginRefused {
    /// Name or password are wrong, or the account may not log in.
    Wrong,
    /// Too many failed logins; the counts refill within ten minutes.
    TooMany,
    /// Too many logins wait to be checked.
    Busy,
}

impl From<Denied> for LoginRefused {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Wrong => Self::Wrong,
            Denied::TooMany => Self::TooMany,
            Denied::Busy => Self::Busy,
        }
    }
}

/// Checks the logins of the owner's page.
#[derive(Debug, Clone)]
pub struct PageLogins(Arc<Authenticator>);

impl PageLogins {
    pub(crate) fn new(logins: Arc<Authenticator>) -> Self {
        Self(logins)
    }

    /// Checks a name and a password.
    ///
    /// # Errors
    /// As for a login to send mail; the refusal is logged.
    pub fn check<'a>(&'a self, client: IpAddr, name: &'a str, password: &'a str) -> BoxFuture<'a, Result<LoggedIn, LoginRefused>> {
        Box::pin(self.checked(client, name, password))
    }

    async fn checked(&self, client: IpAddr, name: &str, password: &str) -> Result<LoggedIn, LoginRefused> {
        let credentials = Credentials { authzid: String::new(), authcid: name.to_owned(), password: Secret::new(password) };
        let attempt = LoginAttempt { client, mechanism: LoginWay::Page };
        match self.0.check(attempt, &credentials).await {
            Ok(found) => Ok(found),
            Err(denied) => Err(self.refused(client, name, denied)),
        }
    }

    /// Logs a refused login, also for a wrong second step.
    fn refused(&self, client: IpAddr, name: &str, denied: Denied) -> LoginRefused {
        self.0.log_refused(client, Some(LoginWay::Page.name()), self.0.claimed(name), denied, &denied.reply(0));
        denied.into()
    }

    /// Logs a wrong code of a second step.
    pub fn log_wrong_code(&self, client: IpAddr, login: &str) {
        self.refused(client, login, Denied::Wrong);
    }

    /// Logs in the holder of a one-time link.
    pub fn by_link(&self, client: IpAddr, login: &str) -> LoggedIn {
        self.0.on_the_page(client, login.to_owned(), "one-time link".into())
    }

    /// Logs in the holder of a passkey with this name.
    pub fn by_passkey(&self, client: IpAddr, login: &str, name: &str) -> LoggedIn {
        self.0.on_the_page(client, login.to_owned(), format!("passkey {name}"))
    }

    /// Counts a guess at a second step as a failed login, until [`Self::excuse`].
    ///
    /// # Errors
    /// There were too many already.
    pub fn count_guess(&self, client: IpAddr, login: &str) -> Result<(), LoginRefused> {
        self.0.count_guess(client, login).map_err(|denied| self.refused(client, login, denied))
    }

    /// Uncounts a guess that was right.
    pub fn excuse(&self, client: IpAddr, login: &str) {
        self.0.excuse_guess(client, login);
    }
}
