//! Why a login was refused, and what its client is told.
//!
//! RFC 4954 s.6. Invariant: every failed login has the same reply, so that it tells nobody which names exist.

use mail::Reply;

/// Why a login was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Name or password are wrong, or the account may not log in.
    Wrong,
    /// Too many failed logins.
    TooMany,
    /// Too many logins wait to be checked.
    Busy,
}

impl Denied {
    /// The reason, for the owner.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Wrong => "name or password are wrong, or the account may not log in",
            Self::TooMany => "too many failed logins",
            Self::Busy => "too many logins at once",
        }
    }

    /// The reply; `before` is how often this session was refused for too many failures.
    pub fn reply(self, before: u32) -> Reply {
        match self {
            Self::Wrong => refused(),
            Self::Busy => Reply::new(454, (4, 7, 0), "too many logins at once; try again in a minute"),
            Self::TooMany if before == 0 => Reply::new(454, (4, 7, 0), "too many failed logins; try again in ten minutes"),
            Self::TooMany => Reply::new(421, (4, 7, 0), "too many failed logins; goodbye"),
        }
    }
}

/// The one reply to every failed login.
fn refused() -> Reply {
    Reply::new(535, (5, 7, 8), "authentication failed: the user name is the full address, the password the one that Waypost printed")
}
