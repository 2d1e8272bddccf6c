//! What becomes of mail of a domain with a strict DMARC policy that an alias would forward: a setting of the alias, where it has one.
//!
//! RFC 9989 s.7. Invariant: each word reads back as the value that wrote it.

use std::fmt;
use std::str::FromStr;

use mail::Mailbox;

use crate::alias::catch_all_key;
use crate::extension::split;
use crate::snapshot::Directory;

/// What becomes of mail of a domain with a strict policy that was authentic when it came, by SPF only, and would fail at the target for having
/// been forwarded. The later, the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StrictDomain {
    /// Forwarded as it is.
    AsIs,
    /// Forwarded as it is; where the target refuses it for that reason, its From field is rewritten.
    Rewrite,
    /// Sent within a message of ours.
    Wrap,
    /// Held.
    Hold,
    /// Refused.
    Reject,
}

const WORDS: [(StrictDomain, &str); 5] = [
    (StrictDomain::AsIs, "as-is"),
    (StrictDomain::Rewrite, "rewrite"),
    (StrictDomain::Wrap, "wrap"),
    (StrictDomain::Hold, "hold"),
    (StrictDomain::Reject, "reject"),
];

impl fmt::Display for StrictDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WORDS.iter().find(|(value, _)| value == self).map_or("as-is", |(_, word)| word))
    }
}

/// A word that is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is one of as-is, rewrite, wrap, hold and reject")]
pub struct UnknownWord;

impl FromStr for StrictDomain {
    type Err = UnknownWord;
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        WORDS.iter().find(|(_, word)| *word == text).map(|(value, _)| *value).ok_or(UnknownWord)
    }
}

impl Directory {
    /// The setting of the alias that takes mail for this address: of `user+ext@domain`, `user@domain` or `@domain`, the first that has one.
    pub fn strict_domain(&self, address: &Mailbox) -> Option<StrictDomain> {
        let settings = &self.contents().strict_domains;
        let bare = split(address, &self.contents().delimiters).map(|(bare, _)| bare.key());
        let keys = [Some(address.key()), bare, Some(catch_all_key(&address.domain))];
        keys.into_iter().flatten().find_map(|key| settings.iter().find(|(source, _)| source.key() == key).map(|(_, setting)| *setting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Contents;

    #[test]
    fn the_nearest_setting_counts() {
        let of = |source: &str, setting| (source.parse().unwrap(), setting);
        let strict_domains = vec![of("@example.test", StrictDomain::Hold), of("me@example.test", StrictDomain::Wrap)];
        let directory = Directory::new(Contents { strict_domains, ..Contents::default() });
        let setting = |address: &str| directory.strict_domain(&Mailbox::parse(address).unwrap());
        assert_eq!(setting("ME+shop@example.test"), Some(StrictDomain::Wrap));
        assert_eq!(setting("other@example.test"), Some(StrictDomain::Hold));
        assert_eq!(setting("me@other.test"), None);
    }

    #[test]
    fn words_read_back_and_are_in_order() {
        for (value, word) in WORDS {
            assert_eq!((word.parse(), value.to_string().as_str()), (Ok(value), word));
        }
        assert!("AS-IS".parse::<StrictDomain>().is_err() && StrictDomain::Reject > StrictDomain::Rewrite);
    }
}
