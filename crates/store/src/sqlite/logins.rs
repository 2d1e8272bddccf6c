//! Where passwords were used, and to whom accounts have sent: what tells an owner's habit from a stranger's.
//!
//! Invariant: both are bounded for each account; losing the last moments of either loses no mail.

use rusqlite::{Connection, params};

use crate::error::StoreError;

/// Networks that are remembered for each account; those not seen for the longest time go first.
const NETWORKS_MAX: i64 = 256;

/// Recipients that are remembered for each account; the oldest go first.
const RECIPIENTS_MAX: i64 = 100_000;

/// A use of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginUse {
    /// The account's login.
    pub login: String,
    /// The password's name; of a client certificate where it was one.
    pub password: String,
    /// The network that the client stood in, as text.
    pub network: String,
    /// The client's address.
    pub address: String,
    /// The mechanism's name.
    pub mechanism: String,
    /// When it was used last, Unix milliseconds.
    pub last_ms: i64,
    /// How often.
    pub times: u32,
}

/// Remembers uses; `times` is added to what is there.
pub(crate) fn record_logins(db: &Connection, uses: &[LoginUse]) -> Result<(), StoreError> {
    for used in uses {
        db.prepare_cached(
            "INSERT INTO login (login, password, network, address, mechanism, last_ms, times) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT DO UPDATE SET address = ?4, mechanism = ?5, last_ms = max(last_ms, ?6), times = times + ?7",
        )?
        .execute(params![used.login, used.password, used.network, used.address, used.mechanism, used.last_ms, used.times])?;
        db.prepare_cached(
            "DELETE FROM login WHERE login = ?1 AND last_ms < (SELECT last_ms FROM login WHERE login = ?1 ORDER BY last_ms DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![used.login, NETWORKS_MAX])?;
    }
    Ok(())
}

/// The uses of an account's passwords, or of all accounts', since a time; the newest first.
pub(crate) fn logins(db: &Connection, login: Option<&str>, since_ms: i64) -> Result<Vec<LoginUse>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT login, password, network, address, mechanism, last_ms, times FROM login WHERE last_ms >= ?1 AND (?2 IS NULL OR login = ?2) \
         ORDER BY last_ms DESC",
    )?;
    let rows = statement.query_map(params![since_ms, login], |row| {
        Ok(LoginUse {
            login: row.get(0)?,
            password: row.get(1)?,
            network: row.get(2)?,
            address: row.get(3)?,
            mechanism: row.get(4)?,
            last_ms: row.get(5)?,
            times: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Remembers to whom accounts have sent: login, recipient and time of the first message.
pub(crate) fn record_recipients(db: &Connection, recipients: &[(String, i64, i64)]) -> Result<(), StoreError> {
    for (login, recipient, first_ms) in recipients {
        db.prepare_cached("INSERT OR IGNORE INTO known_recipient (login, recipient, first_ms) VALUES (?, ?, ?)")?
            .execute(params![login, recipient, first_ms])?;
    }
    Ok(())
}

/// To whom an account has sent, and when first; the newest first, at most [`RECIPIENTS_MAX`].
pub(crate) fn known_recipients(db: &Connection, login: &str) -> Result<Vec<(i64, i64)>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT recipient, first_ms FROM known_recipient WHERE login = ? ORDER BY first_ms DESC LIMIT ?")?;
    let rows = statement.query_map(params![login, RECIPIENTS_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_add_up_and_are_bounded() {
        let db = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&db).unwrap();
        let used = |network: String, last_ms| LoginUse {
            login: "me@example.test".into(),
            password: "phone".into(),
            network,
            address: "192.0.2.1".into(),
            mechanism: "PLAIN".into(),
            last_ms,
            times: 1,
        };
        record_logins(&db, &[used("a".into(), 1), used("a".into(), 5), used("b".into(), 3)]).unwrap();
        let found = logins(&db, Some("me@example.test"), 0).unwrap();
        assert_eq!(found.iter().map(|f| (f.network.as_str(), f.last_ms, f.times)).collect::<Vec<_>>(), [("a", 5, 2), ("b", 3, 1)]);
        assert!(logins(&db, Some("you@example.test"), 0).unwrap().is_empty() && logins(&db, None, 4).unwrap().len() == 1);
        let many: Vec<_> = (0..400).map(|n| used(format!("n{n}"), 10 + n)).collect();
        record_logins(&db, &many).unwrap();
        assert_eq!(logins(&db, None, 0).unwrap().len(), 257);
    }

    #[test]
    fn the_first_time_counts() {
        let db = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&db).unwrap();
        record_recipients(&db, &[("me".into(), 7, 1), ("me".into(), 7, 2), ("me".into(), -8, 3), ("you".into(), 9, 1)]).unwrap();
        assert_eq!(known_recipients(&db, "me").unwrap(), [(-8, 3), (7, 1)]);
    }
}
