//! Past logins and known recipients of accounts, which distinguish an account's user from an intruder.
//!
//! Invariant: both are bounded for each account; a crash that loses the newest rows loses no mail.

use std::collections::BTreeSet;

use crate::engine::{Sql, values};
use crate::error::StoreError;

/// Maximum networks kept for an account; the least recently used goes first.
const NETWORKS_MAX: i64 = 256;

/// Maximum recipients read for an account; the oldest are left out.
const RECIPIENTS_MAX: i64 = 100_000;

/// A use of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginUse {
    /// The account's login.
    pub login: String,
    /// The name of the password or client certificate.
    pub password: String,
    /// The client's network, as text.
    pub network: String,
    /// The client's address.
    pub address: String,
    /// The mechanism's name.
    pub mechanism: String,
    /// When it was used last, Unix milliseconds.
    pub last_ms: i64,
    /// Number of uses.
    pub times: u32,
}

/// A recipient to which an account has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRecipient {
    /// The account's login.
    pub login: String,
    /// A hash of the recipient.
    pub recipient: i64,
    /// When the account sent to it first, Unix milliseconds.
    pub first_ms: i64,
}

/// Records uses; adds `times` to the stored number.
pub(crate) fn record_logins(db: &dyn Sql, uses: &[LoginUse]) -> Result<(), StoreError> {
    let added: Vec<_> = uses
        .iter()
        .map(|used| values![used.login, used.password, used.network, used.address, used.mechanism, used.last_ms, used.times].to_vec())
        .collect();
    db.execute_each(
        "INSERT INTO login (login, password, network, address, mechanism, last_ms, times) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (login, password, network) DO UPDATE SET address = excluded.address, mechanism = excluded.mechanism, \
         last_ms = CASE WHEN login.last_ms > excluded.last_ms THEN login.last_ms ELSE excluded.last_ms END, \
         times = login.times + excluded.times",
        &added,
    )?;
    let logins: BTreeSet<&str> = uses.iter().map(|used| used.login.as_str()).collect();
    let bounded: Vec<_> = logins.iter().map(|login| values![**login, NETWORKS_MAX].to_vec()).collect();
    db.execute_each(
        "DELETE FROM login WHERE login = ?1 AND last_ms < (SELECT last_ms FROM login WHERE login = ?1 ORDER BY last_ms DESC LIMIT 1 OFFSET ?2)",
        &bounded,
    )
}

/// Returns the uses of an account's passwords, or of all accounts', since a time; the newest first.
pub(crate) fn logins(db: &dyn Sql, login: Option<&str>, since_ms: i64) -> Result<Vec<LoginUse>, StoreError> {
    let sql = "SELECT login, password, network, address, mechanism, last_ms, times FROM login \
               WHERE last_ms >= ?1 AND (CAST(?2 AS TEXT) IS NULL OR login = ?2) ORDER BY last_ms DESC";
    db.rows(sql, values![since_ms, login], |row| {
        Ok(LoginUse {
            login: row.get("login")?,
            password: row.get("password")?,
            network: row.get("network")?,
            address: row.get("address")?,
            mechanism: row.get("mechanism")?,
            last_ms: row.get("last_ms")?,
            times: row.get("times")?,
        })
    })
}

/// Records recipients to which accounts have sent; the first time of each counts.
pub(crate) fn record_recipients(db: &dyn Sql, recipients: &[KnownRecipient]) -> Result<(), StoreError> {
    let lists: Vec<_> = recipients.iter().map(|known| values![known.login, known.recipient, known.first_ms].to_vec()).collect();
    db.execute_each("INSERT INTO known_recipient (login, recipient, first_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", &lists)
}

/// Returns the recipients of an account (hash and first time), the newest first, at most [`RECIPIENTS_MAX`].
pub(crate) fn known_recipients(db: &dyn Sql, login: &str) -> Result<Vec<(i64, i64)>, StoreError> {
    let sql = "SELECT recipient, first_ms FROM known_recipient WHERE login = ? ORDER BY first_ms DESC LIMIT ?";
    db.rows(sql, values![login, RECIPIENTS_MAX], |row| Ok((row.get(0)?, row.get(1)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_engines::each_engine;

    #[test]
    fn uses_of_a_network_add_up_and_networks_are_bounded() {
        each_engine(|db| {
            let used = |network: String, last_ms| LoginUse {
                login: "me@example.test".into(),
                password: "phone".into(),
                network,
                address: "192.0.2.1".into(),
                mechanism: "PLAIN".into(),
                last_ms,
                times: 1,
            };
            record_logins(db, &[used("a".into(), 1), used("a".into(), 5), used("b".into(), 3)]).unwrap();
            let found = logins(db, Some("me@example.test"), 0).unwrap();
            assert_eq!(found.iter().map(|f| (f.network.as_str(), f.last_ms, f.times)).collect::<Vec<_>>(), [("a", 5, 2), ("b", 3, 1)]);
            assert!(logins(db, Some("you@example.test"), 0).unwrap().is_empty() && logins(db, None, 4).unwrap().len() == 1);
            let many: Vec<_> = (0..400).map(|n| used(format!("n{n}"), 10 + n)).collect();
            record_logins(db, &many).unwrap();
            assert_eq!(logins(db, None, 0).unwrap().len(), 257);
        });
    }

    #[test]
    fn the_first_message_to_a_recipient_counts() {
        each_engine(|db| {
            let known = |login: &str, recipient, first_ms| KnownRecipient { login: login.into(), recipient, first_ms };
            record_recipients(db, &[known("me", 7, 1), known("me", 7, 2), known("me", -8, 3), known("you", 9, 1)]).unwrap();
            assert_eq!(known_recipients(db, "me").unwrap(), [(-8, 3), (7, 1)]);
        });
    }
}
