//! Tag lists: `v=1; a=rsa-sha256; d=example.org`.
//!
//! RFC 6376 s.3.2. Stricter than mail-auth, for the checks that a signature or a key must pass. Invariant: a list with a
//! duplicate tag, or with invalid text, is not a list.

/// A parsed tag list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags(Vec<(String, String)>);

impl Tags {
    /// Reads a list; `None` if it is not one.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if text.contains(|c: char| c.is_control() && !"\r\n\t".contains(c)) {
            return None;
        }
        let mut tags: Vec<(String, String)> = Vec::new();
        let mut items = text.split(';').peekable();
        while let Some(item) = items.next() {
            if items.peek().is_none() && item.trim().is_empty() {
                break;
            }
            let (name, value) = item.split_once('=')?;
            let name = name.trim();
            let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
            if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') || tags.iter().any(|(other, _)| other == name) {
                return None;
            }
            tags.push((name.to_owned(), value.trim().to_owned()));
        }
        Some(Self(tags))
    }

    /// The value of a tag, trimmed.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The value of a tag without the white space within.
    pub fn packed(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| value.split_ascii_whitespace().collect())
    }

    /// Whether a colon-separated value contains one of these, case-insensitively.
    pub fn lists(&self, name: &str, wanted: &[&str]) -> bool {
        let mut items = self.get(name).unwrap_or_default().split(':').map(str::trim);
        items.any(|item| wanted.iter().any(|word| item.eq_ignore_ascii_case(word)))
    }

    /// The name of the first tag.
    pub fn first_name(&self) -> Option<&str> {
        self.0.first().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_lists_are_refused() {
        let tags = Tags::parse(b" v=1; h=From : to;\r\n\tb=AB\r\n CD==;").unwrap();
        assert_eq!(tags.get("v"), Some("1"));
        assert_eq!(tags.packed("b").as_deref(), Some("ABCD=="));
        assert!(tags.lists("h", &["from"]) && !tags.lists("h", &["cc"]));
        for bad in [&b"v=1; v=1"[..], b"v", b"v=1;;d=x", b"s=a\0b", b"d=\xff", b"=x"] {
            assert_eq!(Tags::parse(bad), None);
        }
    }
}
