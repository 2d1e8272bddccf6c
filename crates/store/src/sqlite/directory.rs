//! The directory's tables.
//!
//! Invariant: the caller checks a change against its snapshot; only existence is checked here.

use std::collections::BTreeMap;
use std::str::FromStr;

use directory::{Alias, AliasOptions, AliasSource, Aliases, Contents, HostedDomain, KeyState, Origin, SigningKey, Target};
use mail::Domain;
use rusqlite::{Connection, params};

use super::accounts::{self, AccountChange};
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
pub(crate) fn change_directory(db: &Connection, change: &DirectoryChange) -> Result<(), StoreError> {
    use DirectoryChange as C;
    let missing = |what: String| StoreError::NotFound(format!("there is no {what}"));
    let exists = |what: String| StoreError::Exists(format!("there is already {what}"));
    let (rows, error) = match change {
        C::AddDomain(d) => (db.execute("INSERT OR IGNORE INTO domain (name) VALUES (?)", [d.as_str()])?, exists(format!("a domain {d}"))),
        C::RemoveDomain(d) => (db.execute("DELETE FROM domain WHERE name = ?", [d.as_str()])?, missing(format!("domain {d}"))),
        C::AddAlias { alias, replace } => {
            let sql = if *replace {
                "INSERT OR REPLACE INTO alias (source, targets, enabled) VALUES (?, ?, ?)"
            } else {
                "INSERT OR IGNORE INTO alias (source, targets, enabled) VALUES (?, ?, ?)"
            };
            let key = alias.source.key();
            (db.execute(sql, params![key, words(&alias.targets), alias.enabled])?, exists(format!("an alias {}", alias.source)))
        }
        C::RemoveAlias(s) => (db.execute("DELETE FROM alias WHERE source = ?", [s.key()])?, missing(format!("alias {s}"))),
        C::EnableAlias(s, on) => {
            (db.execute("UPDATE alias SET enabled = ? WHERE source = ?", params![on, s.key()])?, missing(format!("alias {s}")))
        }
        C::Account(change) => return accounts::change(db, change),
        C::AddKey(k) => {
            let sql = "INSERT OR IGNORE INTO dkim_key (domain, selector, key_type, private, public, state, since_ms) VALUES (?, ?, ?, ?, ?, ?, ?)";
            let values = params![k.domain.as_str(), k.selector, k.key_type, k.private, k.public, k.state.as_str(), k.since_ms];
            (db.execute(sql, values)?, exists(format!("a key {}", k.record_name())))
        }
        C::SetKeyState { domain, selector, state, now_ms } => {
            let sql = "UPDATE dkim_key SET state = ?, since_ms = ? WHERE domain = ? AND selector = ?";
            (db.execute(sql, params![state.as_str(), now_ms, domain.as_str(), selector])?, missing(format!("key {selector} of {domain}")))
        }
        C::SetAliasOptions(source, options) => return set_alias_options(db, source, options),
        C::RemoveKey(domain, selector) => (
            db.execute("DELETE FROM dkim_key WHERE domain = ? AND selector = ?", params![domain.as_str(), selector])?,
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

fn load_keys(db: &Connection) -> Result<Vec<SigningKey>, StoreError> {
    let mut statement = db.prepare(
        "SELECT domain, selector, key_type, private, public, state, since_ms FROM dkim_key ORDER BY domain, state, key_type DESC, selector",
    )?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let state: String = row.get("state")?;
        keys.push(SigningKey {
            domain: parsed("domain", &row.get::<_, String>("domain")?)?,
            selector: row.get("selector")?,
            key_type: row.get("key_type")?,
            private: row.get("private")?,
            public: row.get("public")?,
            state: KeyState::parse(&state).ok_or_else(|| StoreError::Corrupt(format!("key state {state:?} in the directory")))?,
            since_ms: row.get("since_ms")?,
        });
    }
    Ok(keys)
}

fn set_alias_options(db: &Connection, source: &AliasSource, options: &AliasOptions) -> Result<(), StoreError> {
    if options.is_empty() {
        db.execute("DELETE FROM alias_options WHERE source = ?", [source.key()])?;
    } else {
        let sql = "INSERT OR REPLACE INTO alias_options (source, options) VALUES (?, ?)";
        db.execute(sql, params![source.key(), options.to_string()])?;
    }
    Ok(())
}

fn load_alias_options(db: &Connection) -> Result<BTreeMap<String, AliasOptions>, StoreError> {
    let mut statement = db.prepare("SELECT source, options FROM alias_options")?;
    let mut rows = statement.query([])?;
    let mut options = BTreeMap::new();
    while let Some(row) = rows.next()? {
        options.insert(row.get("source")?, parsed("alias options", &row.get::<_, String>("options")?)?);
    }
    Ok(options)
}

/// Reads the directory without its aliases.
pub(crate) fn load_directory_beside_aliases(db: &Connection, delimiters: &str) -> Result<Contents, StoreError> {
    let mut contents = Contents {
        domains: vec![],
        aliases: Aliases::default(),
        accounts: accounts::load(db)?,
        keys: load_keys(db)?,
        alias_options: load_alias_options(db)?,
        delimiters: delimiters.to_owned(),
        incomplete: false,
    };
    let mut statement = db.prepare("SELECT name, enabled FROM domain ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        contents.domains.push(HostedDomain { name: parsed("domain", &row.get::<_, String>("name")?)?, enabled: row.get("enabled")? });
    }
    Ok(contents)
}

/// Reads the whole directory.
pub(crate) fn load_directory(db: &Connection, delimiters: &str) -> Result<Contents, StoreError> {
    let mut contents = load_directory_beside_aliases(db, delimiters)?;
    let mut statement = db.prepare("SELECT source, targets, enabled FROM alias ORDER BY source")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        contents.aliases.push(Alias {
            // By position, since there may be a million rows.
            source: parsed::<AliasSource>("alias", &row.get::<_, String>(0)?)?,
            targets: parsed_words::<Target>("target", &row.get::<_, String>(1)?)?,
            enabled: row.get(2)?,
            origin: Origin::Database,
        });
    }
    Ok(contents)
}
