//! Sessions of the page, in memory and in the store.
//!
//! OWASP ASVS 3.3, 3.7, 3.8. Invariants: security settings change only within minutes of a proof of who the visitor is; a session ends after 12 hours without use and after 30 days; it ends with its account, with a password of its
//! account that opened it, and, for the operator, an hour after it began.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use directory::Account;
use parking_lot::Mutex;
use store::{DoorChange, PageSession, StoreError, TokenHash};

use crate::Door;
use crate::token::{derived, hash_of, new_token};

/// Maximum time between two uses, in milliseconds.
const IDLE_MS: i64 = 12 * 3_600_000;

/// Maximum age, in milliseconds.
const AGE_MS: i64 = 30 * 86_400_000;

/// Maximum age of a session of the operator, in milliseconds.
const OPERATOR_AGE_MS: i64 = 3_600_000;

/// How long a login, or its confirmation, allows changes of security settings, in milliseconds.
const FRESH_MS: i64 = 300_000;

/// Maximum sessions of an account; a new one ends the one that was used least recently.
const PER_ACCOUNT_MAX: usize = 32;

/// How often at most the last use is written, in milliseconds.
const WRITE_EVERY_MS: i64 = 300_000;

/// Maximum length kept of the name that a browser gives itself, in characters.
const BROWSER_MAX: usize = 200;

/// The name of the operator in the history.
const OPERATOR: &str = "operator";

/// The sessions by the hash of their cookie.
pub(crate) struct Sessions(Mutex<HashMap<TokenHash, LiveSession>>);

struct LiveSession {
    kept: PageSession,
    /// The last use that was written.
    written_ms: i64,
    /// When the visitor last proved who they are. It is not written: after a restart the beginning counts.
    proven_ms: i64,
}

impl Sessions {
    pub fn of(kept: Vec<PageSession>) -> Self {
        let live = kept.into_iter().map(|kept| (kept.id, LiveSession { written_ms: kept.used_ms, proven_ms: kept.begun_ms, kept }));
        Self(Mutex::new(live.collect()))
    }
}

/// A session to begin.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// The login of the account; empty for the operator.
    pub login: &'a str,
    /// The name of the password that was given; without one, the session ends with any password of the account.
    pub password: Option<&'a str>,
    /// The client's address.
    pub client: std::net::IpAddr,
    /// The name that the browser gives itself.
    pub browser: &'a str,
}

/// Who a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// The session.
    pub session: TokenHash,
    /// The login of the account; `operator` for the operator.
    pub login: String,
    /// Whether it may see and change everything.
    pub is_owner: bool,
    /// The token that every form must carry.
    pub csrf: String,
    /// Whether the login, or its confirmation, is so fresh that security settings may be changed.
    pub is_fresh: bool,
}

impl Guest {
    /// Returns the name of the session in the list.
    pub fn session_name(&self) -> String {
        HEXLOWER.encode(&self.session)
    }
}

/// A session, as its list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// Its name, which does not open it.
    pub id: String,
    /// The login of the account; `operator` for the operator.
    pub login: String,
    /// When it began, Unix milliseconds.
    pub begun_ms: i64,
    /// When it was used last, Unix milliseconds.
    pub used_ms: i64,
    /// The address of the client that began it.
    pub client: String,
    /// The name that the browser gives itself. From outside.
    pub browser: String,
}

fn verifier_hash(verifier: &str) -> TokenHash {
    net::sha256(&[b"verifier\0", verifier.as_bytes()])
}

/// The passwords that a session needs.
fn needed(account: &Account, password: Option<&str>) -> Vec<TokenHash> {
    let is_needed = |name: &str| password.is_none_or(|password| password == name);
    account.passwords.iter().filter(|stored| is_needed(&stored.name)).map(|stored| verifier_hash(&stored.verifier)).collect()
}

fn shown(login: &str) -> String {
    if login.is_empty() { OPERATOR.to_owned() } else { login.to_owned() }
}

impl Door {
    /// Begins a session; returns the value of its cookie.
    ///
    /// # Errors
    /// The store failed.
    pub async fn begin(&self, new: NewSession<'_>) -> Result<String, StoreError> {
        let (token, now_ms) = (new_token(), self.now_ms());
        let verifiers = self.account(new.login).map(|account| needed(&account, new.password)).unwrap_or_default();
        let browser = new.browser.chars().filter(|c| !c.is_control()).take(BROWSER_MAX).collect();
        let kept = PageSession {
            id: net::sha256(&[token.as_bytes()]),
            login: new.login.to_lowercase(),
            verifiers,
            begun_ms: now_ms,
            used_ms: now_ms,
            client: new.client.to_canonical().to_string(),
            browser,
        };
        self.parts().store.change_door(DoorChange::PutSession(kept.clone())).await?;
        let surplus = {
            let mut sessions = self.0.sessions.0.lock();
            let mut of_login: Vec<_> =
                sessions.values().map(|s| &s.kept).filter(|s| s.login == kept.login).map(|s| (s.used_ms, s.id)).collect();
            of_login.sort_unstable();
            sessions.insert(kept.id, LiveSession { written_ms: now_ms, proven_ms: now_ms, kept });
            of_login.iter().take((of_login.len() + 1).saturating_sub(PER_ACCOUNT_MAX)).map(|(_, id)| *id).collect()
        };
        self.remove(surplus).await;
        Ok(token)
    }

    /// Returns who a cookie belongs to, and notes the use of the session.
    pub async fn guest(&self, token: &str) -> Option<Guest> {
        let (id, now_ms) = (hash_of(token)?, self.now_ms());
        let (kept, proven_ms) = self.0.sessions.0.lock().get(&id).map(|session| (session.kept.clone(), session.proven_ms))?;
        let Some(is_owner) = self.rights(&kept, now_ms) else {
            self.remove(vec![id]).await;
            return None;
        };
        let is_due = self.0.sessions.0.lock().get_mut(&id).is_some_and(|session| {
            session.kept.used_ms = session.kept.used_ms.max(now_ms);
            let is_due = now_ms - session.written_ms >= WRITE_EVERY_MS;
            session.written_ms = if is_due { now_ms } else { session.written_ms };
            is_due
        });
        if is_due && let Err(error) = self.parts().store.change_door(DoorChange::TouchSessions(vec![(id, now_ms)])).await {
            tracing::warn!(%error, "the use of a session was not written; after a restart it may end early");
        }
        let is_fresh = now_ms - proven_ms < FRESH_MS;
        Some(Guest { session: id, login: shown(&kept.login), is_owner, csrf: derived(token, "csrf"), is_fresh })
    }

    /// Notes that the visitor of a session has proven again who they are.
    pub fn confirm(&self, session: TokenHash) {
        let now_ms = self.now_ms();
        if let Some(session) = self.0.sessions.0.lock().get_mut(&session) {
            session.proven_ms = now_ms;
        }
    }

    /// Returns whether the session is an owner's; `None` if it has ended.
    fn rights(&self, kept: &PageSession, now_ms: i64) -> Option<bool> {
        let age_ms = now_ms - kept.begun_ms;
        if now_ms - kept.used_ms >= IDLE_MS || age_ms >= AGE_MS {
            return None;
        }
        if kept.login.is_empty() {
            return (age_ms < OPERATOR_AGE_MS).then_some(true);
        }
        let directory = self.parts().live.current();
        let account = directory.active_account(&kept.login)?;
        let has = |hash: &TokenHash| account.passwords.iter().any(|stored| verifier_hash(&stored.verifier) == *hash);
        kept.verifiers.iter().all(has).then_some(account.owner)
    }

    /// Returns the sessions of an account, or all, the last used first.
    pub fn sessions(&self, login: Option<&str>) -> Vec<SessionView> {
        let now_ms = self.now_ms();
        let kept: Vec<PageSession> = self.0.sessions.0.lock().values().map(|session| session.kept.clone()).collect();
        let is_wanted = |kept: &PageSession| login.is_none_or(|login| shown(&kept.login).eq_ignore_ascii_case(login));
        let mut views: Vec<SessionView> = kept
            .into_iter()
            .filter(|kept| is_wanted(kept) && self.rights(kept, now_ms).is_some())
            .map(|kept| SessionView {
                id: HEXLOWER.encode(&kept.id),
                login: shown(&kept.login),
                begun_ms: kept.begun_ms,
                used_ms: kept.used_ms,
                client: kept.client,
                browser: kept.browser,
            })
            .collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.used_ms));
        views
    }

    /// Ends sessions of an account, or of all: the one with this name, or every one except `but`. Returns how many.
    pub async fn end(&self, login: Option<&str>, name: Option<&str>, but: Option<TokenHash>) -> usize {
        let ids: Vec<TokenHash> = {
            let sessions = self.0.sessions.0.lock();
            let is_of = |kept: &PageSession| login.is_none_or(|login| shown(&kept.login).eq_ignore_ascii_case(login));
            let is_named = |kept: &PageSession| name.is_none_or(|name| HEXLOWER.encode(&kept.id) == name);
            let kept = sessions.values().map(|session| &session.kept);
            kept.filter(|kept| is_of(kept) && is_named(kept) && but != Some(kept.id)).map(|kept| kept.id).collect()
        };
        let ended = ids.len();
        self.remove(ids).await;
        ended
    }

    /// Ends one session.
    pub async fn end_one(&self, session: TokenHash) {
        self.remove(vec![session]).await;
    }

    async fn remove(&self, ids: Vec<TokenHash>) {
        if ids.is_empty() {
            return;
        }
        {
            let mut sessions = self.0.sessions.0.lock();
            ids.iter().for_each(|id| drop(sessions.remove(id)));
        }
        if let Err(error) = self.parts().store.change_door(DoorChange::EndSessions(ids)).await {
            tracing::warn!(%error, "ended sessions could not be removed from disk; a restart may bring them back");
        }
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
