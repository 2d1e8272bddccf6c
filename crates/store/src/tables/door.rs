//! The tables of the owner's page: sessions, one-time links, second steps, passkeys.
//!
//! Invariant: a link and a code are used up by the statement that finds them.

use crate::door::{DoorChange, LinkPurpose, OneTimeLink, PageSession, Passkey, SecondStep, TokenHash};
use crate::engine::{Row, Sql, values};
use crate::error::StoreError;

/// Applies one change.
pub(crate) fn change_door(db: &dyn Sql, change: &DoorChange) -> Result<(), StoreError> {
    match change {
        DoorChange::PutSession(session) => put_session(db, session),
        DoorChange::TouchSessions(used) => {
            let lists: Vec<_> = used.iter().map(|(id, used_ms)| values![*id, *used_ms].to_vec()).collect();
            db.execute_each("UPDATE page_session SET used_ms = ?2 WHERE id = ?1 AND used_ms < ?2", &lists)
        }
        DoorChange::EndSessions(ids) => {
            ids.iter().try_for_each(|id| db.execute("DELETE FROM page_session WHERE id = ?", values![id]).map(drop))?;
            Ok(())
        }
        DoorChange::PutLink(link, now_ms) => {
            db.execute("DELETE FROM one_time_link WHERE until_ms < ?", values![now_ms])?;
            let sql = "INSERT INTO one_time_link (token, login, purpose, until_ms) VALUES (?, ?, ?, ?)";
            db.execute(sql, values![link.token, link.login, link.purpose.word(), link.until_ms])?;
            Ok(())
        }
        DoorChange::TakeLink(token) => match db.execute("DELETE FROM one_time_link WHERE token = ?", values![token])? {
            0 => Err(StoreError::NotFound("this link was used before, or never made".into())),
            _ => Ok(()),
        },
        DoorChange::PutSecondStep(step) => {
            let sql = "INSERT INTO second_step (login, sealed, recovery, last_step, made_ms) VALUES (?, ?, ?, ?, ?) \
                       ON CONFLICT (login) DO UPDATE SET sealed = excluded.sealed, recovery = excluded.recovery, \
                       last_step = excluded.last_step, made_ms = excluded.made_ms";
            db.execute(sql, values![step.login, step.sealed, step.recovery.concat(), step.last_step, step.made_ms])?;
            Ok(())
        }
        DoorChange::UseCode { login, step } => {
            let rows = db.execute("UPDATE second_step SET last_step = ?2 WHERE login = ?1 AND last_step < ?2", values![login, step])?;
            used_once(rows, "this code was used before")
        }
        DoorChange::UseRecovery { login, from, left } => {
            let sql = "UPDATE second_step SET recovery = ?3 WHERE login = ?1 AND recovery = ?2";
            used_once(db.execute(sql, values![login, from.concat(), left.concat()])?, "this recovery code was used before")
        }
        DoorChange::RemoveSecondStep(login) => {
            db.execute("DELETE FROM second_step WHERE login = ?", values![login])?;
            db.execute("DELETE FROM passkey WHERE login = ?", values![login])?;
            Ok(())
        }
        DoorChange::PutPasskey(passkey) => put_passkey(db, passkey),
        DoorChange::UsePasskey { id, counter, used_ms } => {
            // An authenticator that does not count says 0 each time.
            let sql = "UPDATE passkey SET counter = ?2, used_ms = ?3 WHERE id = ?1 AND (counter < ?2 OR (counter = 0 AND ?2 = 0))";
            used_once(db.execute(sql, values![id, counter, used_ms])?, "the counter of this passkey does not go on")
        }
        DoorChange::RemovePasskey { login, id } => {
            db.execute("DELETE FROM passkey WHERE login = ? AND id = ?", values![login, id])?;
            Ok(())
        }
    }
}

fn used_once(rows: usize, what: &str) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::Conflict(what.into())) } else { Ok(()) }
}

fn put_session(db: &dyn Sql, session: &PageSession) -> Result<(), StoreError> {
    let sql = "INSERT INTO page_session (id, login, verifiers, begun_ms, used_ms, client, browser) VALUES (?, ?, ?, ?, ?, ?, ?)";
    let PageSession { id, login, verifiers, begun_ms, used_ms, client, browser } = session;
    db.execute(sql, values![id, login, verifiers.concat(), begun_ms, used_ms, client, browser])?;
    Ok(())
}

fn put_passkey(db: &dyn Sql, passkey: &Passkey) -> Result<(), StoreError> {
    let sql = "INSERT INTO passkey (id, login, name, algorithm, public_key, counter, made_ms) VALUES (?, ?, ?, ?, ?, ?, ?) \
               ON CONFLICT DO NOTHING";
    let Passkey { id, login, name, algorithm, public_key, counter, made_ms, .. } = passkey;
    used_once(db.execute(sql, values![id, login, name, algorithm, public_key, counter, made_ms])?, "this passkey is known already")
}

/// Reads passkeys; a condition follows.
const PASSKEY: &str = "SELECT id, login, name, algorithm, public_key, counter, made_ms, used_ms FROM passkey";

/// Returns the passkeys of an account, the oldest first.
pub(crate) fn passkeys(db: &dyn Sql, login: &str) -> Result<Vec<Passkey>, StoreError> {
    db.rows(&format!("{PASSKEY} WHERE login = ? ORDER BY made_ms, id"), values![login], passkey_of)
}

/// Returns a passkey by the authenticator's name of it.
pub(crate) fn passkey(db: &dyn Sql, id: &[u8]) -> Result<Option<Passkey>, StoreError> {
    db.row(&format!("{PASSKEY} WHERE id = ?"), values![id], passkey_of)
}

fn passkey_of(row: &dyn Row) -> Result<Passkey, StoreError> {
    Ok(Passkey {
        id: row.get("id")?,
        login: row.get("login")?,
        name: row.get("name")?,
        algorithm: row.get("algorithm")?,
        public_key: row.get("public_key")?,
        counter: row.get("counter")?,
        made_ms: row.get("made_ms")?,
        used_ms: row.get("used_ms")?,
    })
}

/// Splits what [`concat`](slice::concat) has joined.
fn hashes(joined: &[u8]) -> Vec<TokenHash> {
    joined.as_chunks().0.to_vec()
}

/// Returns all sessions.
pub(crate) fn page_sessions(db: &dyn Sql) -> Result<Vec<PageSession>, StoreError> {
    db.rows("SELECT id, login, verifiers, begun_ms, used_ms, client, browser FROM page_session", &[], |row| {
        Ok(PageSession {
            id: row.get("id")?,
            login: row.get("login")?,
            verifiers: hashes(&row.get::<Vec<u8>>("verifiers")?),
            begun_ms: row.get("begun_ms")?,
            used_ms: row.get("used_ms")?,
            client: row.get("client")?,
            browser: row.get("browser")?,
        })
    })
}

/// Returns the link of a token.
pub(crate) fn one_time_link(db: &dyn Sql, token: &TokenHash) -> Result<Option<OneTimeLink>, StoreError> {
    db.row("SELECT login, purpose, until_ms FROM one_time_link WHERE token = ?", values![token], |row| {
        let purpose: String = row.get("purpose")?;
        let purpose =
            LinkPurpose::of_word(&purpose).ok_or_else(|| StoreError::Corrupt(format!("purpose of a one-time link: {purpose}")))?;
        Ok(OneTimeLink { token: *token, login: row.get("login")?, purpose, until_ms: row.get("until_ms")? })
    })
}

/// Returns the second step of an account.
pub(crate) fn second_step(db: &dyn Sql, login: &str) -> Result<Option<SecondStep>, StoreError> {
    db.row("SELECT sealed, recovery, last_step, made_ms FROM second_step WHERE login = ?", values![login], |row| {
        Ok(SecondStep {
            login: login.to_owned(),
            sealed: row.get("sealed")?,
            recovery: hashes(&row.get::<Vec<u8>>("recovery")?),
            last_step: row.get("last_step")?,
            made_ms: row.get("made_ms")?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_engines::each_engine;

    #[test]
    fn a_link_works_once() {
        each_engine(|db| {
            let link =
                |n: u8, until_ms| OneTimeLink { token: [n; 32], login: "me@x.test".into(), purpose: LinkPurpose::Invitation, until_ms };
            change_door(db, &DoorChange::PutLink(link(1, 10), 0)).unwrap();
            change_door(db, &DoorChange::PutLink(link(2, 99), 11)).unwrap();
            assert_eq!(one_time_link(db, &[1; 32]).unwrap(), None, "one that has ended is removed");
            assert_eq!(one_time_link(db, &[2; 32]).unwrap(), Some(link(2, 99)));
            change_door(db, &DoorChange::TakeLink([2; 32])).unwrap();
            assert!(matches!(change_door(db, &DoorChange::TakeLink([2; 32])), Err(StoreError::NotFound(_))));
        });
    }

    #[test]
    fn codes_work_once() {
        each_engine(|db| {
            let login = || "me@x.test".to_owned();
            let step = SecondStep { login: login(), sealed: vec![7], recovery: vec![[1; 32], [2; 32]], last_step: 5, made_ms: 1 };
            change_door(db, &DoorChange::PutSecondStep(step.clone())).unwrap();
            assert_eq!(second_step(db, "me@x.test").unwrap(), Some(step));
            for (step, is_new) in [(5, false), (4, false), (6, true), (6, false)] {
                assert_eq!(change_door(db, &DoorChange::UseCode { login: login(), step }).is_ok(), is_new, "{step}");
            }
            let used = DoorChange::UseRecovery { login: login(), from: vec![[1; 32], [2; 32]], left: vec![[2; 32]] };
            change_door(db, &used).unwrap();
            assert!(matches!(change_door(db, &used), Err(StoreError::Conflict(_))));
            assert_eq!(second_step(db, "me@x.test").unwrap().unwrap().recovery, [[2; 32]]);
            change_door(db, &DoorChange::RemoveSecondStep(login())).unwrap();
            assert_eq!(second_step(db, "me@x.test").unwrap(), None);
        });
    }

    #[test]
    fn the_counter_of_a_passkey_goes_on() {
        each_engine(|db| {
            let passkey_with = |id: u8, counter| Passkey {
                id: vec![id; 16],
                login: "me@x.test".into(),
                name: "phone".into(),
                algorithm: -7,
                public_key: vec![1],
                counter,
                made_ms: i64::from(id),
                used_ms: None,
            };
            for one in [passkey_with(2, 0), passkey_with(1, 5)] {
                change_door(db, &DoorChange::PutPasskey(one.clone())).unwrap();
                assert!(matches!(change_door(db, &DoorChange::PutPasskey(one)), Err(StoreError::Conflict(_))));
            }
            assert_eq!(passkeys(db, "me@x.test").unwrap(), [passkey_with(1, 5), passkey_with(2, 0)]);
            for (id, counter, is_right) in
                [(1, 5, false), (1, 4, false), (1, 0, false), (1, 6, true), (2, 0, true), (2, 1, true), (2, 0, false)]
            {
                let used = DoorChange::UsePasskey { id: vec![id; 16], counter, used_ms: 9 };
                assert_eq!(change_door(db, &used).is_ok(), is_right, "{id} {counter}");
            }
            assert_eq!(passkey(db, &[1; 16]).unwrap(), Some(Passkey { used_ms: Some(9), ..passkey_with(1, 6) }));
            change_door(db, &DoorChange::RemovePasskey { login: "you@x.test".into(), id: vec![1; 16] }).unwrap();
            assert_eq!(passkeys(db, "me@x.test").unwrap().len(), 2, "of another account");
            change_door(db, &DoorChange::RemovePasskey { login: "me@x.test".into(), id: vec![1; 16] }).unwrap();
            assert_eq!(passkey(db, &[1; 16]).unwrap(), None);
            change_door(db, &DoorChange::RemoveSecondStep("me@x.test".into())).unwrap();
            assert!(passkeys(db, "me@x.test").unwrap().is_empty());
        });
    }

    #[test]
    fn sessions_are_kept_touched_and_ended() {
        each_engine(|db| {
            let session = PageSession {
                id: [1; 32],
                login: "me@x.test".into(),
                verifiers: vec![[3; 32], [4; 32]],
                begun_ms: 1,
                used_ms: 1,
                client: "192.0.2.1".into(),
                browser: "Firefox".into(),
            };
            change_door(db, &DoorChange::PutSession(session.clone())).unwrap();
            change_door(db, &DoorChange::TouchSessions(vec![([1; 32], 9), ([2; 32], 9)])).unwrap();
            assert_eq!(page_sessions(db).unwrap(), [PageSession { used_ms: 9, ..session }]);
            change_door(db, &DoorChange::EndSessions(vec![[1; 32], [2; 32]])).unwrap();
            assert!(page_sessions(db).unwrap().is_empty());
        });
    }
}
