//! User names: from what a client sends to a name for a lookup.
//!
//! RFC 4013 (SASLprep), RFC 4616 s.2, RFC 5801 s.4. Invariant: a name is not empty, has no control character, since names are
//! logged, and no white space around it, since users paste it.

use zeroize::Zeroizing;

/// Maximum length of a name, in octets (RFC 4616 allows 255).
pub(crate) const MAX_NAME_BYTES: usize = 255;

/// Parses a name of PLAIN, LOGIN or EXTERNAL.
pub(crate) fn plain(bytes: &[u8]) -> Option<String> {
    let name = text(bytes, MAX_NAME_BYTES)?.trim();
    (!name.is_empty() && !name.contains(char::is_control)).then(|| name.to_owned())
}

/// Applies SASLprep to a name.
pub(crate) fn prepared(name: &str) -> Option<String> {
    let name = (name.len() <= MAX_NAME_BYTES).then_some(name)?;
    plain(stringprep::saslprep(name.trim()).ok()?.as_bytes())
}

/// Applies SASLprep (RFC 4013) to a password, as RFC 4616 s.2 and RFC 5802 s.2.2 require; `None` if SASLprep prohibits it.
pub fn prepared_password(password: &str) -> Option<Zeroizing<String>> {
    let prepared = Zeroizing::new(stringprep::saslprep(password).ok()?.into_owned());
    (!prepared.is_empty()).then_some(prepared)
}

/// Whether `authzid` is the login itself: acting as another user is not supported.
pub(crate) fn is_own(authzid: &str, authcid: &str) -> bool {
    authzid.is_empty() || authzid.trim().to_lowercase() == authcid.trim().to_lowercase()
}

/// Unescapes a name, in which `=2C` is a comma and `=3D` an equals sign (RFC 5801 s.4).
pub(crate) fn unescaped(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) =
            part.strip_prefix("2C").map(|rest| (',', rest)).or_else(|| part.strip_prefix("3D").map(|rest| ('=', rest)))?;
        out.push(escaped);
        out.push_str(rest);
    }
    Some(out)
}

/// Parses text that is not empty, not longer than `max` and without NUL.
pub(crate) fn text(bytes: &[u8], max: usize) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && text.len() <= max && !text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_prepared() {
        assert_eq!(plain(b" tim@x.test \r\n").unwrap(), "tim@x.test");
        assert_eq!(prepared("\u{a0}I\u{ad}X ").unwrap(), "IX", "RFC 4013 s.3, and white space");
        assert_eq!(prepared("\u{2168}").unwrap(), "IX");
        assert_eq!(prepared("user").unwrap(), "user");
        for bad in ["", " ", "\u{ad}", "a\u{7}", "a\nb", "\u{627}1", "\u{e000}"] {
            assert_eq!(prepared(bad), None, "{bad:?}");
        }
        assert_eq!(prepared(&"a".repeat(256)), None);
        assert!(prepared(&"a".repeat(255)).is_some());
    }
}
