//! Invisible characters, which no name of an account or alias may contain.
//!
//! RFC 8264 s.9.13 (PrecisIgnorableProperties), Unicode's Default_Ignorable_Code_Point. Invariant: every visible character of every script is allowed.

/// Ranges of invisible characters: marks of direction, joiners, fillers, variation selectors, byte order marks, tags, and spaces other than that of
/// ASCII.
const INVISIBLE: [(char, char); 24] = [
    ('\u{a0}', '\u{a0}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{2000}', '\u{200f}'),
    ('\u{2028}', '\u{202f}'),
    ('\u{205f}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
    ('\u{e000}', '\u{f8ff}'),
    ('\u{f0000}', '\u{ffffd}'),
    ('\u{100000}', '\u{10fffd}'),
];

/// Returns the first invisible character of a name.
pub fn invisible_in(name: &str) -> Option<char> {
    name.chars().find(|c| c.is_control() || INVISIBLE.iter().any(|(first, last)| (first..=last).contains(&c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_found_and_letters_of_all_scripts_allowed() {
        for name in [
            "\u{feff}me@x.test",
            "me\u{200b}@x.test",
            "me@x\u{ad}.test",
            "m\u{a0}e@x.test",
            "\u{202e}me@x.test",
            "me\t@x.test",
            "me\u{2066}@x.test",
        ] {
            assert!(invisible_in(name).is_some(), "{name:?}");
        }
        for name in ["me@example.com", "\"two words\"@x.test", "jürgen@x.test", "用户@例子.test", "पता@x.test", "ไทย@x.test", "👋@x.test"]
        {
            assert_eq!(invisible_in(name), None, "{name}");
        }
    }
}
