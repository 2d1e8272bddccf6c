//! Lists of `name=value`, as in DIGEST-MD5 and HTTP.
//!
//! RFC 2831 s.7.1. Invariant: a name occurs once in a list, and the size of a list is bounded.

/// Maximum length of a list, in octets (RFC 2831 s.2.1.2).
const MAX_LIST_BYTES: usize = 4095;

/// Maximum directives in a list.
const MAX_DIRECTIVES: usize = 32;

/// A list.
pub(crate) struct Directives(Vec<(String, Vec<u8>)>);

impl Directives {
    /// Parses tokens and quoted strings, separated by commas and linear white space; elements can be empty.
    pub(crate) fn read(message: &[u8]) -> Option<Self> {
        let mut list: Vec<(String, Vec<u8>)> = Vec::new();
        let mut rest = Some(message).filter(|m| m.len() <= MAX_LIST_BYTES && !m.contains(&0))?;
        loop {
            rest = after_space(rest);
            let Some((first, after)) = rest.split_first() else { return Some(Self(list)) };
            if *first == b',' {
                rest = after;
                continue;
            }
            let (name, after) = token(rest)?;
            let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
            let (value, after) = value(after_space(after_space(after).strip_prefix(b"=")?))?;
            rest = after_space(after);
            let is_end = rest.first().is_none_or(|b| *b == b',');
            if !is_end || list.len() == MAX_DIRECTIVES || list.iter().any(|(known, _)| *known == name) {
                return None;
            }
            list.push((name, value));
        }
    }

    /// Takes the value of a name.
    pub(crate) fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(place).1)
    }
}

/// A quoted string.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn after_space(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_token = |b: &u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(b);
    let end = text.iter().position(|b| !is_token(b)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(token, _)| !token.is_empty())
}

fn value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(mut rest) = text.strip_prefix(b"\"") else {
        return token(text).map(|(token, rest)| (token.to_vec(), rest));
    };
    let mut value = Vec::new();
    loop {
        let (first, after) = rest.split_first()?;
        rest = after;
        match first {
            b'"' => return Some((value, rest)),
            b'\\' => {
                let (escaped, after) = rest.split_first()?;
                value.push(*escaped);
                rest = after;
            }
            other => value.push(*other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_parsed() {
        let mut list = Directives::read(b" ,a=b,, C = \"x,\\\"y\\\\\" ,d=\"\",").unwrap();
        assert_eq!(list.take("a").unwrap(), b"b");
        assert_eq!(list.take("c").unwrap(), b"x,\"y\\");
        assert_eq!(list.take("d").unwrap(), b"");
        assert_eq!(list.take("d"), None);
        assert_eq!(quoted("x\"\\"), "\"x\\\"\\\\\"");
        for bad in ["a", "a=", "=b", "a=b c", "a=\"b", "a=\"b\\", "a=b,A=c", "a=b\0", "a=\"b\"c", "a b=c", "a=b=c"] {
            assert!(Directives::read(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(Directives::read(&vec![b','; 4096]).is_none());
        let many: String = (0..33).map(|n| format!("a{n}=b,")).collect();
        assert!(Directives::read(many.as_bytes()).is_none());
    }
}
