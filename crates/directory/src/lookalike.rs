//! Domains that look like a typo of another one: `gmial.com` for `gmail.com`.
//!
//! Invariant: a well-known domain is never taken for a typo; the result is a suggestion, and refuses nothing.

use mail::Domain;
use strsim::osa_distance;

/// Domains of large mailbox providers.
const KNOWN: [&str; 40] = [
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "hotmail.com",
    "hotmail.co.uk",
    "hotmail.fr",
    "live.com",
    "msn.com",
    "yahoo.com",
    "yahoo.co.uk",
    "yahoo.co.jp",
    "yahoo.fr",
    "yahoo.de",
    "ymail.com",
    "rocketmail.com",
    "icloud.com",
    "me.com",
    "mac.com",
    "aol.com",
    "gmx.de",
    "gmx.net",
    "gmx.com",
    "gmx.at",
    "web.de",
    "t-online.de",
    "freenet.de",
    "mail.com",
    "email.com",
    "mail.ru",
    "yandex.ru",
    "yandex.com",
    "proton.me",
    "protonmail.com",
    "fastmail.com",
    "zoho.com",
    "orange.fr",
    "free.fr",
    "comcast.net",
    "posteo.de",
    "mailbox.org",
];

/// Minimum length of a compared name: shorter names have too many similar ones.
const COMPARED_MIN: usize = 8;

/// Returns the domain that was probably meant: a well-known one, or one of `others`, which the server uses already.
pub fn meant<'a>(domain: &Domain, others: impl Iterator<Item = &'a Domain>) -> Option<String> {
    let name = domain.as_str();
    if domain.address().is_some() || KNOWN.contains(&name) {
        return None;
    }
    let known = KNOWN.iter().copied().find(|known| is_typo(name, known)).map(ToOwned::to_owned);
    known.or_else(|| others.filter(|other| *other != domain).map(Domain::as_str).find(|other| is_typo(name, other)).map(ToOwned::to_owned))
}

/// Returns whether one letter is wrong, missing or extra, two are swapped, or the last label is missing.
fn is_typo(name: &str, known: &str) -> bool {
    if !name.contains('.') {
        let first = known.split('.').next().unwrap_or_default();
        return name == first || (first.len() >= COMPARED_MIN / 2 && osa_distance(name, first) == 1);
    }
    known.len() >= COMPARED_MIN && osa_distance(name, known) == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggested(name: &str) -> Option<String> {
        let others: Vec<Domain> = ["inbox.example.net", "x.test"].iter().map(|name| name.parse().unwrap()).collect();
        meant(&name.parse().unwrap(), others.iter())
    }

    #[test]
    fn typos_are_distinguished_from_other_names() {
        for (typo, name) in [
            ("gmial.com", "gmail.com"),
            ("gamil.com", "gmail.com"),
            ("gmail.con", "gmail.com"),
            ("gmail.co", "gmail.com"),
            ("gmai.com", "gmail.com"),
            ("gmaill.com", "gmail.com"),
            ("gmail", "gmail.com"),
            ("gmial", "gmail.com"),
            ("hotmial.com", "hotmail.com"),
            ("outlok.com", "outlook.com"),
            ("inbxo.example.net", "inbox.example.net"),
        ] {
            assert_eq!(suggested(typo).as_deref(), Some(name), "{typo}");
        }
        for name in [
            "gmail.com",
            "mail.com",
            "ymail.com",
            "gmx.de",
            "gmx.net",
            "example.com",
            "x.test",
            "y.test",
            "fmail.example",
            "[192.0.2.1]",
            "localhost",
        ] {
            assert_eq!(suggested(name), None, "{name}");
        }
    }
}
