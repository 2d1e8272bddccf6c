//! The tables of accounts: logins, passwords, certificates and limits.
//!
//! Invariant: the rows of an account are removed with it.

use std::collections::HashMap;

use directory::{Account, Caps, ClientCertificate, Password, SenderRule};
use mail::Mailbox;

use super::directory::{parsed, parsed_words, words};
use crate::engine::{Row, Sql, ToValue, values};
use crate::error::StoreError;

/// A change to an account.
#[derive(Debug, Clone)]
pub enum AccountChange {
    /// Adds an account, with its passwords and certificates.
    Add(Box<Account>),
    /// Adds a password, or replaces the one with its name.
    PutPassword(Mailbox, Password),
    /// Completes a password (SCRAM keys), unless its verifier has changed in the meantime.
    CompletePassword {
        /// The account.
        login: Mailbox,
        /// The verifier before.
        from: String,
        /// The same password, complete.
        to: Password,
    },
    /// Removes the password of this name.
    RemovePassword(Mailbox, String),
    /// Adds a client certificate.
    AddCertificate(Mailbox, ClientCertificate),
    /// Removes the client certificate of this name.
    RemoveCertificate(Mailbox, String),
    /// Sets the allowed senders.
    SetSenders(Mailbox, Vec<SenderRule>),
    /// Sets the allowed mechanisms that need the password itself.
    SetLegacyMechanisms(Mailbox, Vec<String>),
    /// Disables or enables it.
    Enable(Mailbox, bool),
    /// Suspends it for a reason, or ends the suspension.
    Suspend(Mailbox, Option<String>),
    /// Sets its limits.
    SetCaps(Mailbox, Caps),
    /// Sets the IMAP host of its user.
    SetImapHost(Mailbox, Option<String>),
    /// Makes it an owner, or an account like others.
    SetOwner(Mailbox, bool),
    /// Removes it.
    Remove(Mailbox),
}

impl AccountChange {
    /// Returns the login of the account.
    pub fn login(&self) -> &Mailbox {
        match self {
            Self::Add(account) => &account.login,
            Self::CompletePassword { login, .. }
            | Self::PutPassword(login, _)
            | Self::RemovePassword(login, _)
            | Self::AddCertificate(login, _)
            | Self::RemoveCertificate(login, _)
            | Self::SetSenders(login, _)
            | Self::SetLegacyMechanisms(login, _)
            | Self::Enable(login, _)
            | Self::SetOwner(login, _)
            | Self::Suspend(login, _)
            | Self::SetCaps(login, _)
            | Self::SetImapHost(login, _)
            | Self::Remove(login) => login,
        }
    }
}

/// Applies one change.
pub(super) fn change(db: &dyn Sql, change: &AccountChange) -> Result<(), StoreError> {
    use AccountChange as C;
    let missing = |login: &Mailbox| StoreError::NotFound(format!("there is no account {login}"));
    let update = |login: &Mailbox, column: &str, value: &dyn ToValue| -> Result<(), StoreError> {
        let rows = db.execute(&format!("UPDATE account SET {column} = ? WHERE login = ?"), values![value, login.key()])?;
        if rows == 0 { Err(missing(login)) } else { Ok(()) }
    };
    let remove = |table: &str, what: &str, login: &Mailbox, name: &str| -> Result<(), StoreError> {
        let rows = db.execute(&format!("DELETE FROM {table} WHERE login = ? AND name = ?"), values![login.key(), name])?;
        if rows == 0 { Err(StoreError::NotFound(format!("{login} has no {what} {name}"))) } else { Ok(()) }
    };
    match change {
        C::Add(account) => add(db, account),
        C::PutPassword(login, password) => put_password(db, login, password),
        C::CompletePassword { login, from, to } => complete_password(db, login, from, to),
        C::RemovePassword(login, name) => {
            remove("password", "password", login, name)?;
            db.execute("DELETE FROM login WHERE login = ? AND password = ?", values![login.key(), name])?;
            Ok(())
        }
        C::AddCertificate(login, certificate) => add_certificate(db, login, certificate),
        C::RemoveCertificate(login, name) => remove("client_certificate", "client certificate", login, name),
        C::SetSenders(login, rules) => update(login, "may_send_as", &words(rules)),
        C::SetLegacyMechanisms(login, names) => update(login, "legacy_mechanisms", &words(names)),
        C::Enable(login, on) => update(login, "enabled", on),
        C::Suspend(login, why) => update(login, "suspended", why),
        C::SetCaps(login, caps) => {
            update(login, "recipients_per_hour", &caps.recipients_per_hour)?;
            update(login, "new_recipients_per_day", &caps.new_recipients_per_day)
        }
        C::SetImapHost(login, host) => update(login, "imap_host", host),
        C::SetOwner(login, is_owner) => update(login, "owner", is_owner),
        C::Remove(login) => {
            for table in
                ["password", "client_certificate", "login", "known_recipient", "page_session", "one_time_link", "second_step", "passkey"]
            {
                db.execute(&format!("DELETE FROM {table} WHERE login = ?"), values![login.key()])?;
            }
            let rows = db.execute("DELETE FROM account WHERE login = ?", values![login.key()])?;
            if rows == 0 { Err(missing(login)) } else { Ok(()) }
        }
    }
}

fn add(db: &dyn Sql, account: &Account) -> Result<(), StoreError> {
    let sql = "INSERT INTO account (login, salt, legacy_mechanisms, may_send_as, enabled, suspended, recipients_per_hour, \
               new_recipients_per_day, imap_host, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
    let (caps, legacy) = (&account.caps, words(&account.legacy_mechanisms));
    let added = db.execute(
        sql,
        values![
            account.login.key(),
            account.salt,
            legacy,
            words(&account.may_send_as),
            account.enabled,
            account.suspended,
            caps.recipients_per_hour,
            caps.new_recipients_per_day,
            account.imap_host,
            account.owner
        ],
    )?;
    if added == 0 {
        return Err(StoreError::Exists(format!("there is already an account {}", account.login)));
    }
    account.passwords.iter().try_for_each(|password| put_password(db, &account.login, password))?;
    account.certificates.iter().try_for_each(|certificate| add_certificate(db, &account.login, certificate))
}

fn exists(db: &dyn Sql, login: &Mailbox) -> Result<(), StoreError> {
    let found = db.exists("SELECT 1 FROM account WHERE login = ?", values![login.key()])?;
    if found { Ok(()) } else { Err(StoreError::NotFound(format!("there is no account {login}"))) }
}

fn put_password(db: &dyn Sql, login: &Mailbox, password: &Password) -> Result<(), StoreError> {
    exists(db, login)?;
    let sql = "INSERT INTO password (login, name, verifier, scram_sha256, scram_sha1, sealed, made_ms) VALUES (?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (login, name) DO UPDATE SET verifier = excluded.verifier, scram_sha256 = excluded.scram_sha256, \
         scram_sha1 = excluded.scram_sha1, sealed = excluded.sealed, made_ms = excluded.made_ms";
    let p = password;
    db.execute(sql, values![login.key(), p.name, p.verifier, p.scram_sha256, p.scram_sha1, p.sealed, p.made_ms])?;
    Ok(())
}

fn complete_password(db: &dyn Sql, login: &Mailbox, from: &str, to: &Password) -> Result<(), StoreError> {
    let sql =
        "UPDATE password SET verifier = ?, scram_sha256 = ?, scram_sha1 = ?, sealed = ? WHERE login = ? AND name = ? AND verifier = ?";
    db.execute(sql, values![to.verifier, to.scram_sha256, to.scram_sha1, to.sealed, login.key(), to.name, from])?;
    Ok(())
}

fn add_certificate(db: &dyn Sql, login: &Mailbox, certificate: &ClientCertificate) -> Result<(), StoreError> {
    exists(db, login)?;
    let sql = "INSERT INTO client_certificate (login, name, sha256, made_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
    let rows = db.execute(sql, values![login.key(), certificate.name, certificate.sha256, certificate.made_ms])?;
    if rows == 0 { Err(StoreError::Exists(format!("{login} already has a client certificate {}", certificate.name))) } else { Ok(()) }
}

/// Reads rows of a table of accounts, by login.
fn by_login<T>(db: &dyn Sql, sql: &str, read: impl Fn(&dyn Row) -> Result<T, StoreError>) -> Result<HashMap<String, Vec<T>>, StoreError> {
    let mut found: HashMap<String, Vec<T>> = HashMap::new();
    db.query(sql, &[], &mut |row| {
        found.entry(row.get("login")?).or_default().push(read(row)?);
        Ok(())
    })?;
    Ok(found)
}

/// Reads all accounts.
pub(super) fn load(db: &dyn Sql) -> Result<Vec<Account>, StoreError> {
    let mut passwords = by_login(
        db,
        "SELECT login, name, verifier, scram_sha256, scram_sha1, sealed, made_ms FROM password ORDER BY login, made_ms, name",
        |row| {
            Ok(Password {
                name: row.get("name")?,
                verifier: row.get("verifier")?,
                scram_sha256: row.get("scram_sha256")?,
                scram_sha1: row.get("scram_sha1")?,
                sealed: row.get("sealed")?,
                made_ms: row.get("made_ms")?,
            })
        },
    )?;
    let mut certificates =
        by_login(db, "SELECT login, name, sha256, made_ms FROM client_certificate ORDER BY login, made_ms, name", |row| {
            Ok(ClientCertificate { name: row.get("name")?, sha256: row.get("sha256")?, made_ms: row.get("made_ms")? })
        })?;
    let sql = "SELECT login, salt, legacy_mechanisms, may_send_as, enabled, suspended, recipients_per_hour, new_recipients_per_day, \
               imap_host, owner FROM account ORDER BY login";
    db.rows(sql, &[], |row| {
        let login: String = row.get("login")?;
        let salt: Vec<u8> = row.get("salt")?;
        let salt = salt.try_into().map_err(|_| StoreError::Corrupt(format!("salt of {login} in the directory")))?;
        Ok(Account {
            login: parsed("account", &login)?,
            salt,
            passwords: passwords.remove(&login).unwrap_or_default(),
            certificates: certificates.remove(&login).unwrap_or_default(),
            legacy_mechanisms: parsed_words("mechanism", &row.get::<String>("legacy_mechanisms")?)?,
            may_send_as: parsed_words::<SenderRule>("sender rule", &row.get::<String>("may_send_as")?)?,
            enabled: row.get("enabled")?,
            suspended: row.get("suspended")?,
            caps: Caps { recipients_per_hour: row.get("recipients_per_hour")?, new_recipients_per_day: row.get("new_recipients_per_day")? },
            imap_host: row.get("imap_host")?,
            owner: row.get("owner")?,
        })
    })
}
