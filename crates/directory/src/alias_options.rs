//! The options of an alias: all its settings except its targets.
//!
//! RFC 9989 s.7 (strict DMARC policies), RFC 7396 (merge patch). An option is a field of [`AliasOptions`]: database, control API, `alias list`,
//! export and import take it from there. Invariant: options are read back as they were written; an unset option falls back to the configuration.

use std::fmt;
use std::str::FromStr;

use mail::Mailbox;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::alias::catch_all_key;
use crate::extension::split;
use crate::sender_list::SenderList;
use crate::snapshot::Directory;

/// The options of an alias.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AliasOptions {
    /// What to do with mail of a domain with a strict DMARC policy that would fail at the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict_domain: Option<StrictDomain>,
    /// What the owner notes about it: who has the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Senders whose mail is refused: by the reverse-path, or by the From field if all recipients block it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<SenderList>,
    /// Senders of the From field whose mail is never held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<SenderList>,
}

/// Maximum length of a note, in characters.
pub const NOTE_MAX: usize = 200;

impl From<StrictDomain> for AliasOptions {
    fn from(value: StrictDomain) -> Self {
        Self { strict_domain: Some(value), ..Self::default() }
    }
}

impl AliasOptions {
    /// Applies a merge patch (RFC 7396): a member sets an option, null unsets it.
    ///
    /// # Errors
    /// A text that names the member that is unknown or has an invalid value.
    pub fn patched(&self, patch: &Map<String, Value>) -> Result<Self, String> {
        let mut options = self.members();
        for (name, value) in patch {
            match value {
                Value::Null => drop(options.remove(name)),
                value => drop(options.insert(name.clone(), value.clone())),
            }
        }
        let read: Self = serde_json::from_value(Value::Object(options)).map_err(|error| error.to_string())?;
        let is_note = |note: &String| note.chars().count() <= NOTE_MAX && !note.chars().any(char::is_control);
        if read.note.as_ref().is_some_and(|note| !is_note(note)) {
            return Err(format!("a note has at most {NOTE_MAX} characters on one line"));
        }
        let known = read.members();
        match patch.iter().find(|(name, value)| !value.is_null() && !known.contains_key(*name)) {
            Some((unknown, _)) => Err(format!("there is no alias option `{unknown}`")),
            None => Ok(read),
        }
    }

    /// Returns the options that are set, by name.
    pub fn members(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        }
    }

    /// Returns whether no option is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the options as text for the operator: `strict domain: hold`.
    pub fn in_words(&self) -> String {
        let word = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            other => other.to_string(),
        };
        let words: Vec<String> =
            self.members().iter().map(|(name, value)| format!("{}: {}", name.replace('_', " "), word(value))).collect();
        words.join(", ")
    }
}

/// JSON.
impl fmt::Display for AliasOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value::Object(self.members()).fmt(f)
    }
}

impl FromStr for AliasOptions {
    type Err = serde_json::Error;
    fn from_str(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// What to do with mail of a domain with a strict policy that SPF alone authenticated, and that would fail at the target because it was
/// forwarded. Ordered from lenient to strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum StrictDomain {
    /// Forward it unchanged.
    AsIs,
    /// Forward it unchanged, and rewrite its From field once the target has refused it.
    Rewrite,
    /// Wrap it into a message of this server.
    Wrap,
    /// Hold it.
    Hold,
    /// Refuse it.
    Reject,
}

impl StrictDomain {
    /// All values with their words.
    pub const WORDS: [(Self, &str); 5] =
        [(Self::Rewrite, "rewrite"), (Self::Wrap, "wrap"), (Self::Hold, "hold"), (Self::Reject, "reject"), (Self::AsIs, "as-is")];
}

impl fmt::Display for StrictDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::WORDS.iter().find(|(value, _)| value == self).map_or("as-is", |(_, word)| word))
    }
}

/// A text that is not one of the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected rewrite, wrap, hold, reject or as-is")]
pub struct UnknownWord;

impl FromStr for StrictDomain {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::WORDS.iter().find(|(_, word)| *word == text).map(|(value, _)| *value).ok_or(UnknownWord)
    }
}

impl TryFrom<String> for StrictDomain {
    type Error = UnknownWord;
    fn try_from(text: String) -> Result<Self, UnknownWord> {
        text.parse()
    }
}

impl From<StrictDomain> for String {
    fn from(value: StrictDomain) -> Self {
        value.to_string()
    }
}

impl Directory {
    /// An option of the alias that takes mail for this address: of `user+ext@domain`, `user@domain` or `@domain`, the first that sets it.
    pub fn alias_option<T>(&self, address: &Mailbox, option: impl Fn(&AliasOptions) -> Option<T>) -> Option<T> {
        let options = &self.contents().alias_options;
        let bare = split(address, &self.contents().delimiters).map(|(bare, _)| bare.key());
        let keys = [Some(address.key()), bare, Some(catch_all_key(&address.domain))];
        keys.into_iter().flatten().find_map(|key| options.get(&key).and_then(&option))
    }

    /// Whether the alias that takes mail for this address, or its catch-all, blocks a sender.
    pub fn blocks(&self, address: &Mailbox, sender: &Mailbox) -> bool {
        let is_in = |options: &AliasOptions| options.blocked.as_ref().is_some_and(|list| list.has(sender)).then_some(());
        self.alias_option(address, is_in).is_some()
    }

    /// Whether the alias that takes mail for this address, or its catch-all, never holds mail of a sender.
    pub fn allows(&self, address: &Mailbox, sender: &Mailbox) -> bool {
        let is_in = |options: &AliasOptions| options.allowed.as_ref().is_some_and(|list| list.has(sender)).then_some(());
        self.alias_option(address, is_in).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Contents;

    #[test]
    fn the_nearest_alias_that_sets_an_option_counts() {
        let alias_options = [
            ("@example.test".to_owned(), AliasOptions::from(StrictDomain::Hold)),
            ("me@example.test".to_owned(), AliasOptions::from(StrictDomain::Wrap)),
            ("unset@example.test".to_owned(), AliasOptions::default()),
        ];
        let directory = Directory::new(Contents { alias_options: alias_options.into(), ..Contents::default() });
        let setting = |address: &str| directory.alias_option(&Mailbox::parse(address).unwrap(), |options| options.strict_domain);
        assert_eq!(setting("ME+shop@example.test"), Some(StrictDomain::Wrap));
        assert_eq!(setting("other@example.test"), Some(StrictDomain::Hold));
        assert_eq!(setting("unset@example.test"), Some(StrictDomain::Hold));
        assert_eq!(setting("me@other.test"), None);
    }

    #[test]
    fn senders_are_blocked_and_allowed_by_alias_and_catch_all() {
        let options = |text: &str| text.parse::<AliasOptions>().unwrap();
        let alias_options = [
            ("@example.test".to_owned(), options(r#"{"blocked":["@casino.test"]}"#)),
            ("me@example.test".to_owned(), options(r#"{"blocked":["ex@friends.test"],"allowed":["news@shop.test"]}"#)),
        ];
        let directory = Directory::new(Contents { alias_options: alias_options.into(), ..Contents::default() });
        let address = |text: &str| Mailbox::parse(text).unwrap();
        assert!(directory.blocks(&address("me+x@example.test"), &address("win@casino.test")));
        assert!(directory.blocks(&address("ME@example.test"), &address("Ex@friends.test")));
        assert!(!directory.blocks(&address("you@example.test"), &address("ex@friends.test")));
        assert!(directory.allows(&address("me@example.test"), &address("news@shop.test")));
        assert!(!directory.allows(&address("you@example.test"), &address("news@shop.test")));
        assert_eq!(options(r#"{"blocked":["B@x.test","@a.test"]}"#).in_words(), "blocked: b@x.test @a.test");
    }

    #[test]
    fn words_are_read_back_and_ordered_by_strictness() {
        for (value, word) in StrictDomain::WORDS {
            assert_eq!((word.parse(), value.to_string().as_str()), (Ok(value), word));
        }
        assert!("AS-IS".parse::<StrictDomain>().is_err() && StrictDomain::Reject > StrictDomain::Rewrite);
        assert!(StrictDomain::AsIs < StrictDomain::Rewrite && StrictDomain::Hold > StrictDomain::Wrap);
    }

    #[test]
    fn a_patch_sets_and_unsets_options_and_refuses_unknown_ones() {
        let patch = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let set = AliasOptions::default().patched(&patch(r#"{"strict_domain":"hold"}"#)).unwrap();
        assert_eq!((set.clone(), set.to_string().as_str()), (AliasOptions::from(StrictDomain::Hold), r#"{"strict_domain":"hold"}"#));
        assert_eq!(set.in_words(), "strict domain: hold");
        assert_eq!(set.to_string().parse::<AliasOptions>().unwrap(), set);
        assert!(set.patched(&patch(r#"{"strict_domain":null,"unknown":null}"#)).unwrap().is_empty());
        assert!(set.patched(&patch(r#"{"strict_domain":"always"}"#)).unwrap_err().contains("expected rewrite, wrap"));
        assert_eq!(set.patched(&patch(r#"{"striktdomain":1}"#)), Err("there is no alias option `striktdomain`".into()));
    }
}
