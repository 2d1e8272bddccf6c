//! Address extensions: `me+shop` is `me` with the extension `+shop`.
//!
//! RFC 5233 s.3, and Postfix's recipient_delimiter. Invariant: a split never leaves an empty user, and joining its parts
//! restores the address.

use mail::{LocalPart, Mailbox};

/// Names that are never split, as in Postfix.
const WHOLE: [&str; 3] = ["postmaster", "mailer-daemon", "double-bounce"];

/// Splits a mailbox into the one without extension, and the extension with its delimiter.
/// Unlike a plain split at the delimiter, an extension may be empty (`me+` is `me`), and list addresses (`owner-x`,
/// `x-request`) are not split at `-`: both as in Postfix's alias lookup.
pub(crate) fn split<'a>(mailbox: &'a Mailbox, delimiters: &str) -> Option<(Mailbox, &'a str)> {
    let (user, extension) = split_local(&mailbox.local, delimiters)?;
    Some((Mailbox { local: local_part(user)?, domain: mailbox.domain.clone() }, extension))
}

fn split_local<'a>(local: &'a LocalPart, delimiters: &str) -> Option<(&'a str, &'a str)> {
    let text = local.as_str();
    let lower = text.to_ascii_lowercase();
    if WHOLE.contains(&lower.as_str()) {
        return None;
    }
    let list = lower.starts_with("owner-") || lower.strip_suffix("-request").is_some_and(|user| !user.is_empty());
    if delimiters.contains('-') && list {
        return None;
    }
    let at = text.find(|c| delimiters.contains(c)).filter(|at| *at > 0)?;
    text.split_at_checked(at)
}

/// Returns the mailbox with an extension; `None` if it would be too long.
pub(crate) fn with_extension(mailbox: &Mailbox, extension: &str) -> Option<Mailbox> {
    let local = local_part(&format!("{}{extension}", mailbox.local.as_str()))?;
    Some(Mailbox { local, domain: mailbox.domain.clone() })
}

/// Returns the local part of an unquoted text.
pub(crate) fn local_part(plain: &str) -> Option<LocalPart> {
    let escaped = plain.replace('\\', "\\\\").replace('"', "\\\"");
    LocalPart::parse(&format!("\"{escaped}\"")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_split_as_in_postfix() {
        for (text, delimiters, want) in [
            ("me+shop", "+", Some(("me", "+shop"))),
            ("me-a+b", "+-", Some(("me", "-a+b"))),
            ("me+", "+", Some(("me", "+"))),
            ("+shop", "+", None),
            ("+a+b", "+", None),
            ("me", "+", None),
            ("me+shop", "", None),
            ("owner-list", "-", None),
            ("List-Request", "-", None),
            ("owner+list", "+-", Some(("owner", "+list"))),
            ("Mailer-Daemon", "-", None),
            ("list-request+x", "+-", Some(("list", "-request+x"))),
            ("-x", "+-", None),
        ] {
            assert_eq!(split_local(&LocalPart::parse(text).unwrap(), delimiters), want, "{text}");
        }
    }

    #[test]
    fn quoted_users_keep_their_quotes() {
        let me: Mailbox = "\"two words+a\"@example.com".parse().unwrap();
        let (bare, extension) = split(&me, "+").unwrap();
        assert_eq!(extension, "+a");
        assert_eq!(bare.to_string(), "\"two words\"@example.com");
        assert_eq!(with_extension(&bare, "+a").unwrap(), me);
        assert_eq!(with_extension(&me, &"x".repeat(256)), None);
    }
}
