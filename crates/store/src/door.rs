//! What the owner's page keeps about who gets in: sessions, one-time links, second steps, passkeys.
//!
//! RFC 6238 s.5.2 (a code counts once). Invariant: no value here is enough to get in: tokens are kept as their SHA-256, the secret of a second step is
//! sealed with a key that is not in the database.

/// A SHA-256, under which a token is kept.
pub type TokenHash = [u8; 32];

/// A session of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSession {
    /// The SHA-256 of its cookie.
    pub id: TokenHash,
    /// The login of the account; empty for the operator before there is an account.
    pub login: String,
    /// The SHA-256 of each password verifier that the account must still have.
    pub verifiers: Vec<TokenHash>,
    /// When it began, Unix milliseconds.
    pub begun_ms: i64,
    /// When it was used last, Unix milliseconds.
    pub used_ms: i64,
    /// The client's address.
    pub client: String,
    /// The name that the browser gives itself, cut.
    pub browser: String,
}

/// What a one-time link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPurpose {
    /// To log in.
    Login,
    /// To choose the first password of an account.
    Invitation,
}

impl LinkPurpose {
    /// Returns its word in the database.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Invitation => "invitation",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        [Self::Login, Self::Invitation].into_iter().find(|purpose| purpose.word() == word)
    }
}

/// A link that works once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTimeLink {
    /// The SHA-256 of its token.
    pub token: TokenHash,
    /// The login of the account; empty for the operator before there is an account.
    pub login: String,
    /// What it is for.
    pub purpose: LinkPurpose,
    /// When it ends, Unix milliseconds.
    pub until_ms: i64,
}

/// The second step of an account's login (RFC 6238).
#[derive(Clone, PartialEq, Eq)]
pub struct SecondStep {
    /// The login of the account.
    pub login: String,
    /// The secret of an authenticator app, sealed; empty if there is none, and passkeys are the second step.
    pub sealed: Vec<u8>,
    /// The SHA-256 of each recovery code that is left.
    pub recovery: Vec<TokenHash>,
    /// The time step of the last code that was used.
    pub last_step: i64,
    /// When it was set up, Unix milliseconds.
    pub made_ms: i64,
}

impl std::fmt::Debug for SecondStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecondStep").field("login", &self.login).field("made_ms", &self.made_ms).finish_non_exhaustive()
    }
}

/// A passkey of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// The authenticator's name of it.
    pub id: Vec<u8>,
    /// The login of the account.
    pub login: String,
    /// What its owner calls it.
    pub name: String,
    /// The algorithm of its signatures, as COSE numbers it.
    pub algorithm: i32,
    /// The public key, a SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// How many signatures the authenticator had made at its last use; 0 if it does not count.
    pub counter: u32,
    /// When it was added, Unix milliseconds.
    pub made_ms: i64,
    /// When it was used last, Unix milliseconds.
    pub used_ms: Option<i64>,
}

/// A change of these.
#[derive(Debug, Clone)]
pub enum DoorChange {
    /// Keeps a session.
    PutSession(PageSession),
    /// Sets when sessions were used last.
    TouchSessions(Vec<(TokenHash, i64)>),
    /// Ends sessions; those that are not there are ignored.
    EndSessions(Vec<TokenHash>),
    /// Keeps a link, and removes those that had ended before this time.
    PutLink(OneTimeLink, i64),
    /// Uses up a link. [`crate::StoreError::NotFound`] if it was used before.
    TakeLink(TokenHash),
    /// Sets the second step of an account.
    PutSecondStep(SecondStep),
    /// Uses up the code of a time step. [`crate::StoreError::Conflict`] if it, or a later one, was used before.
    UseCode {
        /// The login of the account.
        login: String,
        /// The time step.
        step: i64,
    },
    /// Replaces the recovery codes that are left. [`crate::StoreError::Conflict`] if they are not `from` any more.
    UseRecovery {
        /// The login of the account.
        login: String,
        /// Those before.
        from: Vec<TokenHash>,
        /// Those that are left.
        left: Vec<TokenHash>,
    },
    /// Removes the second step of an account, with its passkeys.
    RemoveSecondStep(String),
    /// Keeps a passkey. [`crate::StoreError::Conflict`] if it is known already.
    PutPasskey(Passkey),
    /// Notes the use of a passkey. [`crate::StoreError::Conflict`] if its counter does not go on, or it is gone.
    UsePasskey {
        /// The authenticator's name of it.
        id: Vec<u8>,
        /// Its counter now.
        counter: u32,
        /// When, Unix milliseconds.
        used_ms: i64,
    },
    /// Removes a passkey of an account.
    RemovePasskey {
        /// The login of the account.
        login: String,
        /// The authenticator's name of it.
        id: Vec<u8>,
    },
}
