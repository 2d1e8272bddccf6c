//! The table of the tokens of the HTTP API.
//!
//! Invariant: a name and a token are in one row at most.

use super::directory::{parsed_words, words};
use crate::api_token::{ApiToken, TokenChange};
use crate::engine::{Sql, values};
use crate::error::StoreError;

/// Applies one change.
pub(crate) fn change_tokens(db: &dyn Sql, change: &TokenChange) -> Result<(), StoreError> {
    match change {
        TokenChange::Add(token) => {
            let sql = "INSERT INTO api_token (name, hash, scopes, domains, login, made_ms, until_ms) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
            let ApiToken { name, hash, scopes, domains, login, made_ms, until_ms, .. } = token.as_ref();
            match db.execute(sql, values![name, hash, words(scopes), words(domains), login, made_ms, until_ms])? {
                0 => Err(StoreError::Exists(format!("there is already a token {name}"))),
                _ => Ok(()),
            }
        }
        TokenChange::Remove(name) => match db.execute("DELETE FROM api_token WHERE name = ?", values![name])? {
            0 => Err(StoreError::NotFound(format!("there is no token {name}"))),
            _ => Ok(()),
        },
        TokenChange::Touch(name, used_ms) => {
            db.execute("UPDATE api_token SET used_ms = ?2 WHERE name = ?1 AND coalesce(used_ms, 0) < ?2", values![name, used_ms])?;
            Ok(())
        }
    }
}

/// Returns all tokens, by name.
pub(crate) fn api_tokens(db: &dyn Sql) -> Result<Vec<ApiToken>, StoreError> {
    let sql = "SELECT name, hash, scopes, domains, login, made_ms, until_ms, used_ms FROM api_token ORDER BY name";
    db.rows(sql, &[], |row| {
        Ok(ApiToken {
            name: row.get("name")?,
            hash: row.get("hash")?,
            scopes: parsed_words("scope", &row.get::<String>("scopes")?)?,
            domains: parsed_words("domain", &row.get::<String>("domains")?)?,
            login: row.get("login")?,
            made_ms: row.get("made_ms")?,
            until_ms: row.get("until_ms")?,
            used_ms: row.get("used_ms")?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_engines::each_engine;

    #[test]
    fn tokens_are_kept_used_and_removed() {
        each_engine(|db| {
            let token = ApiToken {
                name: "phone".into(),
                hash: [7; 32],
                scopes: vec!["aliases".into(), "read".into()],
                domains: vec!["x.test".into()],
                login: Some("me@x.test".into()),
                made_ms: 1,
                until_ms: Some(9),
                used_ms: None,
            };
            let add = |token: &ApiToken| change_tokens(db, &TokenChange::Add(Box::new(token.clone())));
            add(&token).unwrap();
            assert!(matches!(add(&ApiToken { hash: [8; 32], ..token.clone() }), Err(StoreError::Exists(_))), "the same name");
            assert!(matches!(add(&ApiToken { name: "other".into(), ..token.clone() }), Err(StoreError::Exists(_))), "the same token");
            change_tokens(db, &TokenChange::Touch("phone".into(), 5)).unwrap();
            change_tokens(db, &TokenChange::Touch("phone".into(), 3)).unwrap();
            assert_eq!(api_tokens(db).unwrap(), [ApiToken { used_ms: Some(5), ..token }]);
            change_tokens(db, &TokenChange::Remove("phone".into())).unwrap();
            assert!(matches!(change_tokens(db, &TokenChange::Remove("phone".into())), Err(StoreError::NotFound(_))));
            assert!(api_tokens(db).unwrap().is_empty());
        });
    }
}
