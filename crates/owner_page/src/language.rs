//! The languages of the page, and which one a visitor gets.
//!
//! RFC 9110 s.12.5.4 (Accept-Language). Invariant: an unknown language is English.

use std::cmp::Reverse;

/// A language of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese, simplified.
    Chinese,
}

impl Language {
    /// All languages, in the order of the switch.
    pub const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// Returns its tag (RFC 5646), as in the `lang` attribute.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// Returns its own name.
    pub fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "中文",
        }
    }

    /// Returns the language of a tag; every kind of Chinese is [`Language::Chinese`].
    pub fn of_tag(tag: &str) -> Option<Self> {
        match tag.split(['-', '_']).next()?.to_ascii_lowercase().as_str() {
            "en" => Some(Self::English),
            "zh" => Some(Self::Chinese),
            _ => None,
        }
    }

    /// Returns the first acceptable language of an Accept-Language field, by its weights.
    pub fn of_field(field: &str) -> Self {
        let mut wanted: Vec<(u16, Self)> = field
            .split(',')
            .take(20)
            .filter_map(|item| {
                let (tag, weight) = item.split_once(';').unwrap_or((item, "q=1"));
                let weight: f32 = weight.trim().strip_prefix("q=")?.parse().ok()?;
                let thousandths = (weight.clamp(0.0, 1.0) * 1000.0) as u16;
                Self::of_tag(tag.trim()).filter(|_| thousandths > 0).map(|language| (thousandths, language))
            })
            .collect();
        wanted.sort_by_key(|(weight, _)| Reverse(*weight));
        wanted.first().map(|(_, language)| *language).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_order_languages_and_unknown_ones_are_english() {
        for (field, language) in [
            ("", Language::English),
            ("zh-TW,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("en-GB,zh;q=0.9", Language::English),
            ("de,fr;q=0.5,zh;q=0.1", Language::Chinese),
            ("zh;q=0,en;q=0.1", Language::English),
            ("zh;q=nonsense", Language::English),
            (";;;,q=,\u{0},,", Language::English),
        ] {
            assert_eq!(Language::of_field(field), language, "{field}");
        }
    }
}
