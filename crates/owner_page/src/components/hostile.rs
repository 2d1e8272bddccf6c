//! Text that came from mail, DNS or other servers: addresses, names, subjects, replies.
//!
//! UAX #9 (bidirectional text). Invariants: escaped, in one direction-isolated element, without control characters and invisible marks, cut to a length
//! that the layout can bear; never a link, never an image.

use maud::{Markup, html};

/// Maximum length of an address in a list, in characters.
const ADDRESS_CHARS: usize = 64;

/// Maximum length of a whole text on its own page, in characters.
const WHOLE_CHARS: usize = 4000;

/// Maximum length of a part of a word that is left out, in octets.
const WORD_BYTES: usize = 16;

/// Maximum length of a tooltip, in characters.
const TOOLTIP_CHARS: usize = 320;

/// Returns an address or a host name, in the font of addresses, cut in its middle so that both ends are seen.
pub(crate) fn address(text: &str) -> Markup {
    let clean = visible(text, TOOLTIP_CHARS);
    let count = clean.chars().count();
    if count <= ADDRESS_CHARS && text.chars().count() <= TOOLTIP_CHARS {
        return html! { bdi.mono { (clean) } };
    }
    let side = ADDRESS_CHARS / 2;
    let start: String = clean.chars().take(side).collect();
    let end: String = clean.chars().skip(count.saturating_sub(side)).collect();
    html! { bdi.mono title=(clean) { (start) "…" (end) } }
}

/// Returns an identifier, record or other text for programs, whole, in the font of addresses.
pub(crate) fn mono(text: &str) -> Markup {
    html! { bdi.mono { (visible(text, WHOLE_CHARS)) } }
}

/// Returns a text cut after a number of characters, with more of it as its tooltip.
pub(crate) fn cut(text: &str, chars: usize) -> Markup {
    let clean = visible(text, TOOLTIP_CHARS);
    if clean.chars().count() <= chars && text.chars().count() <= TOOLTIP_CHARS {
        return html! { bdi { (clean) } };
    }
    let start: String = clean.chars().take(chars).collect();
    // At the end of a word, if one ends near.
    let end = start.rfind(' ').filter(|end| start.len() - end <= WORD_BYTES).unwrap_or(start.len());
    html! { bdi title=(clean) { (start.get(..end).unwrap_or(&start).trim_end()) "…" } }
}

/// Returns the whole text, for its own page; a text of more than 4,000 characters says how many are left out.
pub(crate) fn whole(text: &str) -> Markup {
    let count = text.chars().count();
    html! {
        bdi.whole { (visible(text, WHOLE_CHARS)) }
        @if count > WHOLE_CHARS { " " span.quiet { "(+" (count - WHOLE_CHARS) ")" } }
    }
}

/// Returns at most `chars` characters, in which nothing is invisible or moves other text: control characters and marks of direction become U+FFFD, a
/// space of any kind becomes a space, and of a pile of combining marks only four stay.
pub(crate) fn visible(text: &str, chars: usize) -> String {
    let mut out = String::new();
    let mut marks = 0;
    for c in text.chars().take(chars) {
        marks = if is_mark(c) { marks + 1 } else { 0 };
        if marks > 4 {
            continue;
        }
        out.push(match c {
            '\t' | '\r' | '\n' | '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_whitespace() => ' ',
            c if c.is_control() || is_unseen(c) => '\u{fffd}',
            c => c,
        });
    }
    out
}

/// Whether it is a combining mark of the blocks that are used to pile marks on a letter.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Whether it is a mark of direction, or a character without a shape that is used to hide text. Joiners stay: emoji and several scripts need them.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_escaped_and_direction_isolated() {
        let shown = cut("<script>alert(1)</script>\u{202e}gpj.exe", 80).into_string();
        assert_eq!(shown, "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;\u{fffd}gpj.exe</bdi>");
    }

    #[test]
    fn attributes_cannot_be_left() {
        let long = format!("\" onmouseover=\"alert(1){}", "x".repeat(100));
        assert!(!address(&long).into_string().contains("\" onmouseover"), "a quote is escaped in the tooltip");
        assert!(cut(&long, 5).into_string().contains("&quot; onmouseover"));
    }

    #[test]
    fn long_texts_are_cut_and_piles_of_marks_flattened() {
        let word = "w".repeat(10_000);
        assert!(address(&word).into_string().len() < 1000);
        assert!(cut(&word, 60).into_string().len() < 1000);
        assert!(whole(&word).into_string().contains("(+6000)"));
        let pile = format!("z{}", "\u{300}".repeat(500));
        assert_eq!(visible(&pile, 1000).chars().count(), 5);
    }

    #[test]
    fn both_ends_of_a_long_address_are_seen() {
        let shown = address(&format!("{}@example.com", "a".repeat(200))).into_string();
        assert!(shown.contains("aaa…") && shown.ends_with("@example.com</bdi>"), "{shown}");
    }

    #[test]
    fn a_text_is_cut_at_the_end_of_a_word() {
        assert_eq!(
            cut("publish an SPF record or sign", 25).into_string(),
            "<bdi title=\"publish an SPF record or sign\">publish an SPF record or…</bdi>"
        );
        assert_eq!(
            cut("publish an SPF record or sign", 27).into_string(),
            "<bdi title=\"publish an SPF record or sign\">publish an SPF record or…</bdi>"
        );
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(visible("a\u{0}b\u{1b}[31m\r\nc\u{200b}", 100), "a\u{fffd}b\u{fffd}[31m  c\u{fffd}");
    }
}
