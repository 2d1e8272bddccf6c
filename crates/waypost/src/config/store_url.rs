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

/// An address, as libpq writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// Returns the whole, with a password that is in it.
    pub fn with_password(&self) -> &str {
        &self.0
    }
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
