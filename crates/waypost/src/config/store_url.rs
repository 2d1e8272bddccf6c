//! The address of a PostgreSQL, which may have a password in it.
//!
//! Invariant: whatever prints an address prints it without its password; only what connects has the whole.

use std::convert::Infallible;
use std::fmt::{self, Display};
use std::str::FromStr;

use super::values::TextOption;

/// What stands in place of a password.
const HIDDEN: &str = "***";

/// The name of the parameter that has a password.
const PARAMETER: &str = "password";

/// The schemes of PostgreSQL.
const SCHEMES: [&str; 2] = ["postgres", "postgresql"];

/// Keys of libpq's other form, `host=db user=waypost`.
const KEYS: [&str; 12] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "options",
    "service",
    "passfile",
    "sslmode",
    "sslrootcert",
    "application_name",
];

/// What to do about characters that have a meaning in a URL.
const ESCAPE: &str =
    "write @ as %40, / as %2F, ? as %3F and % as %25; or put the password into a file, unescaped, and name it as password_file";

/// An address: a URL as libpq reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

/// What is wrong with an address or its password, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFault {
    /// What is wrong, without the password.
    pub what: String,
    /// What to do, or what to write instead.
    pub hint: String,
}

impl StoreUrl {
    /// Returns the whole, with a password that is in it.
    pub fn with_password(&self) -> &str {
        &self.0
    }

    /// Checks that a PostgreSQL can be reached by it; nothing is connected.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), StoreFault> {
        let example = format!("write it as {}", Self::EXAMPLE);
        let wrong = |what: &str, hint: &str| StoreFault { what: what.to_owned(), hint: hint.to_owned() };
        let rest = match self.0.split_once("://") {
            Some((scheme, rest)) if SCHEMES.contains(&scheme) => rest,
            Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                return Err(wrong(&format!("{scheme}:// is not PostgreSQL"), &example));
            }
            _ if self.has_keys() => return Err(wrong("it is in the form KEY=VALUE", &example)),
            _ if self.0.is_empty() => {
                return Err(wrong("it is empty", &format!("{example}; or remove the option: then the mail is in data_dir (SQLite)")));
            }
            _ => return Err(wrong("it is no URL", &example)),
        };
        if let Some((credentials, hosts)) = rest.split_once('@')
            && (credentials.contains(['/', '?']) || before_query(hosts).contains('@') || !is_escaped(credentials))
        {
            return Err(wrong("its user or password has a character that means something else in a URL", ESCAPE));
        }
        store::check_address(&self.0).map_err(|error| {
            // What it names may be a part of the password.
            if parameter(&self.0, PARAMETER).is_some() {
                return wrong("a parameter is wrong", "put the password into a file and name it as password_file, then try again");
            }
            let text = error.to_string();
            wrong(text.trim_start_matches("store.url cannot be read: ").trim_start_matches("store.url: "), &example)
        })
    }

    /// Whether it has a password.
    pub fn has_password(&self) -> bool {
        without_password(&self.0) != self.0
    }

    /// Whether it is in libpq's other form.
    pub fn has_keys(&self) -> bool {
        self.0.trim_start().split_once('=').is_some_and(|(key, _)| KEYS.contains(&key.trim_end()))
    }
}

/// The part of an address before its database and its parameters.
fn before_query(hosts: &str) -> &str {
    hosts.split(['/', '?']).next().unwrap_or_default()
}

/// Whether each % begins an escape.
fn is_escaped(text: &str) -> bool {
    let is_hex = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    text.split('%').skip(1).all(is_hex)
}

/// The value of a parameter.
fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = text.split_once('?')?;
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

impl FromStr for StoreUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(&self.0))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

impl TextOption for StoreUrl {
    const WHAT: &'static str = "the address of a PostgreSQL";
    const EXAMPLE: &'static str = "postgres://waypost@db.example.net/waypost?sslmode=verify-full";
}

/// Returns an address without its password.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return without_word(text) };
    let (front, query) = rest.split_once('?').map_or((rest, None), |(front, query)| (front, Some(query)));
    // A password may have a slash or an at sign that was not escaped.
    let front = match front.rsplit_once('@') {
        Some((user, hosts)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:{HIDDEN}@{hosts}"),
            None => front.to_owned(),
        },
        None => front.to_owned(),
    };
    let hide = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if name.eq_ignore_ascii_case(PARAMETER) => format!("{name}={HIDDEN}"),
        _ => pair.to_owned(),
    };
    let query = query.map(|query| query.split('&').map(hide).collect::<Vec<_>>().join("&"));
    format!("{scheme}://{front}{}", query.map(|query| format!("?{query}")).unwrap_or_default())
}

/// The same for the form `host=db user=waypost password=secret`: what follows is not shown either, since a value may have quotes.
fn without_word(text: &str) -> String {
    match text.to_ascii_lowercase().find(PARAMETER).and_then(|place| text.get(..place)) {
        Some(before) => format!("{before}{PARAMETER}={HIDDEN}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (text, shown) in [
            ("postgres://me:se%3Acret@db/x?sslmode=disable", "postgres://me:***@db/x?sslmode=disable"),
            ("postgresql://me:a/b@c:d@db1,db2:5433/x", "postgresql://me:***@db1,db2:5433/x"),
            ("postgres://me@db/x?password=secret&sslmode=require", "postgres://me@db/x?password=***&sslmode=require"),
            ("postgres:///x?host=/run/postgresql", "postgres:///x?host=/run/postgresql"),
            ("postgres://db:5432/x", "postgres://db:5432/x"),
            ("host=db Password='se cret' user=me", "host=db password=***"),
            ("host=db user=me", "host=db user=me"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), format!("{url:?}")), (shown, format!("StoreUrl({shown})")));
            assert_eq!(url.with_password(), text);
        }
    }
}
