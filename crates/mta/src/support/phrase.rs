//! Writes display names in header fields.
//!
//! RFC 5322 s.3.2.4 (quoted strings), RFC 2047 s.4.1 (encoded words).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Maximum octets of text in one encoded-word.
const WORD_MAX_BYTES: usize = 42;

/// Escapes a text for a quoted-string.
pub(crate) fn escaped(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect()
}

/// Writes an escaped text as a phrase: a quoted-string if it is ASCII, encoded-words otherwise.
pub(crate) fn encoded(text: &str) -> String {
    if text.is_ascii() {
        return format!("\"{text}\"");
    }
    let mut words = Vec::new();
    let mut piece = String::new();
    for c in text.replace("\\", "").chars() {
        if piece.len() + c.len_utf8() > WORD_MAX_BYTES {
            words.push(std::mem::take(&mut piece));
        }
        piece.push(c);
    }
    words.push(piece);
    let word = |piece: &String| format!("=?utf-8?B?{}?=", STANDARD.encode(piece));
    words.iter().map(word).collect::<Vec<_>>().join("\r\n ")
}
