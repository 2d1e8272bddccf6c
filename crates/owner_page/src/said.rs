//! What other parts of the server say in English, in the language of the page: findings of checks, causes and next steps of remote replies.
//!
//! Invariants: a text that is not known is shown as it is; what a text says of a name, an address or a command stays as it is.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use crate::catalogue::Text;
use crate::language::Language;

/// The Chinese texts: a line in English, then the same in Chinese. `{}` is any text.
const CHINESE: &str = include_str!("../assets/said/zh-CN.txt");

/// Where any text is.
const ANY: &str = "{}";

/// Maximum length of a text that is compared, in octets.
const ENGLISH_MAX_BYTES: usize = 2000;

/// The known texts of a language.
struct Known {
    whole: HashMap<&'static str, &'static str>,
    /// Those with `{}`, as the pieces around it, in the order of the file.
    with_any: Vec<(Vec<&'static str>, &'static str)>,
}

impl Known {
    fn of(lines: &'static str) -> Self {
        let mut known = Self { whole: HashMap::new(), with_any: Vec::new() };
        let lines: Vec<&str> = lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        for (english, other) in lines.as_chunks::<2>().0.iter().map(|[english, other]| (*english, *other)) {
            match english.contains(ANY) {
                true => known.with_any.push((english.split(ANY).collect(), other)),
                false => drop(known.whole.insert(english, other)),
            }
        }
        known
    }

    fn find(&self, english: &str) -> Option<Cow<'static, str>> {
        if let Some(other) = self.whole.get(english) {
            return Some(Cow::Borrowed(other));
        }
        self.with_any.iter().find_map(|(pieces, other)| {
            // A reason within a text may be known itself.
            let values = between(english, pieces)?.into_iter().map(|value| self.whole.get(value).copied().unwrap_or(value));
            Some(Cow::Owned(filled(other, &values.collect::<Vec<_>>())))
        })
    }
}

/// Returns the texts between these pieces, if the text begins with the first and ends with the last.
fn between<'a>(text: &'a str, pieces: &[&str]) -> Option<Vec<&'a str>> {
    let (first, others) = pieces.split_first()?;
    let (last, middle) = others.split_last()?;
    let mut rest = text.strip_prefix(first)?.strip_suffix(last)?;
    let mut found = Vec::with_capacity(others.len());
    for piece in middle {
        let (before, after) = rest.split_once(piece)?;
        found.push(before);
        rest = after;
    }
    found.push(rest);
    // What is between two pieces is a name, an address or a number, never nothing.
    found.iter().all(|one| !one.is_empty()).then_some(found)
}

fn filled(other: &str, values: &[&str]) -> String {
    let mut values = values.iter();
    let mut text = String::new();
    for (n, piece) in other.split(ANY).enumerate() {
        if n > 0 {
            text.push_str(values.next().copied().unwrap_or_default());
        }
        text.push_str(piece);
    }
    text
}

/// Returns a text of the server in the language of the page.
pub(crate) fn said(text: Text, english: &str) -> Cow<'_, str> {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    if text.0 == Language::English || english.len() > ENGLISH_MAX_BYTES {
        return Cow::Borrowed(english);
    }
    KNOWN.get_or_init(|| Known::of(CHINESE)).find(english).unwrap_or(Cow::Borrowed(english))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Text = Text(Language::Chinese);

    #[test]
    fn texts_are_known_whole_and_around_names() {
        assert_eq!(said(PAGE, "The mailbox is full."), "该邮箱已满。");
        assert_eq!(
            said(PAGE, "ask your hoster to set the PTR record of 192.0.2.1 to mx.x.test"),
            "请主机商把 192.0.2.1 的 PTR 记录设为 mx.x.test"
        );
        assert_eq!(said(PAGE, "expires in 3 days"), "将在 3 天后过期");
        assert_eq!(said(PAGE, "has no address: the name does not exist"), "没有地址：此名称不存在");
        for same in ["", "expires in  days", "a text of a stranger {}", "The mailbox is full"] {
            assert_eq!(said(PAGE, same), same);
        }
        assert_eq!(said(Text(Language::English), "The mailbox is full."), "The mailbox is full.");
    }

    #[test]
    fn each_cause_and_next_step_of_a_remote_reply_is_known() {
        let known = Known::of(CHINESE);
        let rows = include_str!("../../policy/data/replies.toml").lines();
        let said = rows.filter_map(|row| row.strip_prefix("cause = \"").or_else(|| row.strip_prefix("next = \"")));
        let said: Vec<String> = said.filter_map(|row| Some(row.strip_suffix('"')?.replace("\\\"", "\""))).collect();
        assert!(said.len() > 120, "{}", said.len());
        let missing: Vec<&String> = said.iter().filter(|text| !known.whole.contains_key(text.as_str())).collect();
        assert!(missing.is_empty(), "assets/said/zh-CN.txt lacks: {missing:#?}");
    }

    #[test]
    fn a_translation_keeps_the_number_of_names() {
        for (pieces, other) in Known::of(CHINESE).with_any {
            assert_eq!(pieces.len(), other.split(ANY).count(), "{other}");
        }
    }
}
