//! The directory's tables.
//!
//! Invariant: the caller checks a change against its snapshot; only existence is checked here.

use std::collections::BTreeMap;
use std::str::FromStr;

use directory::{Alias, AliasOptions, AliasSource, Aliases, Contents, HostedDomain, KeyState, Origin, SigningKey, Target};
use mail::Domain;

use super::accounts::{self, AccountChange};
use crate::engine::{Row, Sql, values};
use crate::error::StoreError;

/// A change to the directory.
#[derive(Debug, Clone)]
pub enum DirectoryChange {
    /// Hosts a domain.
    AddDomain(Domain),
    /// No longer hosts a domain.
    RemoveDomain(Domain),
    /// Adds an alias.
    AddAlias {
        /// The alias.
        alias: Alias,
        /// Whether an existing one is replaced.
        replace: bool,
    },
    /// Removes an alias.
    RemoveAlias(AliasSource),
    /// Disables or enables an alias.
    EnableAlias(AliasSource, bool),
    /// Changes an account.
    Account(AccountChange),
    /// Adds a DKIM key.
    AddKey(SigningKey),
    /// Changes the state of a DKIM key.
    SetKeyState {
        /// Its domain.
        domain: Domain,
        /// Its selector.
        selector: String,
        /// The new state.
        state: KeyState,
        /// Now, Unix milliseconds.
        now_ms: i64,
    },
    /// Replaces the options of an alias.
    SetAliasOptions(AliasSource, AliasOptions),
    /// Removes a DKIM key.
    RemoveKey(Domain, String),
}

pub(super) fn words<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Applies one change.
pub(crate) fn change_directory(db: &dyn Sql, change: &DirectoryChange) -> Result<(), StoreError> {
    use DirectoryChange as C;
    let missing = |what: String| StoreError::NotFound(format!("there is no {what}"));
    let exists = |what: String| StoreError::Exists(format!("there is already {what}"));
    let (rows, error) = match change {
        C::AddDomain(d) => (
            db.execute("INSERT INTO domain (name) VALUES (?) ON CONFLICT DO NOTHING", values![d.as_str()])?,
            exists(format!("a domain {d}")),
        ),
        C::RemoveDomain(d) => (db.execute("DELETE FROM domain WHERE name = ?", values![d.as_str()])?, missing(format!("domain {d}"))),
        C::AddAlias { alias, replace } => {
            let sql = if *replace {
                "INSERT INTO alias (source, targets, enabled) VALUES (?, ?, ?) \
                 ON CONFLICT (source) DO UPDATE SET targets = excluded.targets, enabled = excluded.enabled"
            } else {
                "INSERT INTO alias (source, targets, enabled) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            };
            let key = alias.source.key();
            (db.execute(sql, values![key, words(&alias.targets), alias.enabled])?, exists(format!("an alias {}", alias.source)))
        }
        C::RemoveAlias(s) => (db.execute("DELETE FROM alias WHERE source = ?", values![s.key()])?, missing(format!("alias {s}"))),
        C::EnableAlias(s, on) => {
            (db.execute("UPDATE alias SET enabled = ? WHERE source = ?", values![on, s.key()])?, missing(format!("alias {s}")))
        }
        C::Account(change) => return accounts::change(db, change),
        C::AddKey(k) => {
            let sql = "INSERT INTO dkim_key (domain, selector, key_type, private, public, state, since_ms) VALUES (?, ?, ?, ?, ?, ?, ?) \
                       ON CONFLICT DO NOTHING";
            let rows =
                db.execute(sql, values![k.domain.as_str(), k.selector, k.key_type, k.private, k.public, k.state.as_str(), k.since_ms])?;
            (rows, exists(format!("a key {}", k.record_name())))
        }
        C::SetKeyState { domain, selector, state, now_ms } => {
            let sql = "UPDATE dkim_key SET state = ?, since_ms = ? WHERE domain = ? AND selector = ?";
            (db.execute(sql, values![state.as_str(), now_ms, domain.as_str(), selector])?, missing(format!("key {selector} of {domain}")))
        }
        C::SetAliasOptions(source, options) => return set_alias_options(db, source, options),
        C::RemoveKey(domain, selector) => (
            db.execute("DELETE FROM dkim_key WHERE domain = ? AND selector = ?", values![domain.as_str(), selector])?,
            missing(format!("key {selector} of {domain}")),
        ),
    };
    if rows == 0 { Err(error) } else { Ok(()) }
}

pub(super) fn parsed<T: FromStr>(what: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt(format!("{what} {text:?} in the directory")))
}

pub(super) fn parsed_words<T: FromStr>(what: &str, text: &str) -> Result<Vec<T>, StoreError> {
    text.split('\n').filter(|word| !word.is_empty()).map(|word| parsed(what, word)).collect()
}

fn load_keys(db: &dyn Sql) -> Result<Vec<SigningKey>, StoreError> {
    let sql = "SELECT domain, selector, key_type, private, public, state, since_ms FROM dkim_key \
               ORDER BY domain, state, key_type DESC, selector";
    db.rows(sql, &[], |row| {
        let state: String = row.get("state")?;
        Ok(SigningKey {
            domain: parsed("domain", &row.get::<String>("domain")?)?,
            selector: row.get("selector")?,
            key_type: row.get("key_type")?,
            private: row.get("private")?,
            public: row.get("public")?,
            state: KeyState::parse(&state).ok_or_else(|| StoreError::Corrupt(format!("key state {state:?} in the directory")))?,
            since_ms: row.get("since_ms")?,
        })
    })
}

fn set_alias_options(db: &dyn Sql, source: &AliasSource, options: &AliasOptions) -> Result<(), StoreError> {
    if options.is_empty() {
        db.execute("DELETE FROM alias_options WHERE source = ?", values![source.key()])?;
    } else {
        let sql = "INSERT INTO alias_options (source, options) VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET options = excluded.options";
        db.execute(sql, values![source.key(), options.to_string()])?;
    }
    Ok(())
}

fn load_alias_options(db: &dyn Sql) -> Result<BTreeMap<String, AliasOptions>, StoreError> {
    let read = |row: &dyn Row| Ok((row.get("source")?, parsed("alias options", &row.get::<String>("options")?)?));
    Ok(db.rows("SELECT source, options FROM alias_options", &[], read)?.into_iter().collect())
}

/// Reads the directory without its aliases.
pub(crate) fn load_directory_beside_aliases(db: &dyn Sql, delimiters: &str) -> Result<Contents, StoreError> {
    let domain = |row: &dyn Row| Ok(HostedDomain { name: parsed("domain", &row.get::<String>("name")?)?, enabled: row.get("enabled")? });
    Ok(Contents {
        domains: db.rows("SELECT name, enabled FROM domain ORDER BY name", &[], domain)?,
        aliases: Aliases::default(),
        accounts: accounts::load(db)?,
        keys: load_keys(db)?,
        alias_options: load_alias_options(db)?,
        delimiters: delimiters.to_owned(),
        incomplete: false,
    })
}

/// Reads the whole directory.
pub(crate) fn load_directory(db: &dyn Sql, delimiters: &str) -> Result<Contents, StoreError> {
    let mut contents = load_directory_beside_aliases(db, delimiters)?;
    db.query("SELECT source, targets, enabled FROM alias ORDER BY source", &[], &mut |row| {
        contents.aliases.push(Alias {
            // By position, since there may be a million rows.
            source: parsed::<AliasSource>("alias", &row.get::<String>(0)?)?,
            targets: parsed_words::<Target>("target", &row.get::<String>(1)?)?,
            enabled: row.get(2)?,
            origin: Origin::Database,
        });
        Ok(())
    })?;
    Ok(contents)
}
