//! Text of others in one line, for logs, replies and reports.
//!
//! Invariant: no control character passes, so that no text of a peer starts a line of its own or moves a terminal's cursor.

/// Returns the text with a space in place of each control character.
pub fn one_line(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { text.replace(char::is_control, " ") }
}

/// The same, cut off after `max_chars` characters.
pub fn one_line_at_most(text: &str, max_chars: usize) -> String {
    if is_plain(text) {
        return text.get(..max_chars).unwrap_or(text).to_owned();
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max_chars).collect()
}

/// Whether the text is ASCII without control characters, as nearly all is.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|octet| (b' '..=b'~').contains(&octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(one_line("250 ok\r\nforged\u{1b}[2J\u{9b}ü"), "250 ok  forged [2J ü");
        assert_eq!(one_line_at_most("a\nüc", 3), "a ü");
        assert_eq!((one_line_at_most("abc", 2), one_line_at_most("abc", 4), one_line("a b")), ("ab".into(), "abc".into(), "a b".into()));
        assert_eq!(one_line("a\u{7f}b"), "a b");
    }
}
