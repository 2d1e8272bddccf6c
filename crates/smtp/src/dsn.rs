//! ORCPT: the wire format of the original recipient.
//!
//! RFC 3461 s.4.2 (xtext) and RFC 6533 s.3 (the utf-8 address type). Invariant: a parsed value has no control character,
//! and a written value has no space.

use mail::{OriginalRecipient, decode_xtext, encode_xtext};

/// Parses the value of ORCPT. Raw UTF-8 is valid only with SMTPUTF8.
pub(crate) fn parse_orcpt(value: &str, smtputf8: bool) -> Option<OriginalRecipient> {
    let (kind, text) = value.split_once(';')?;
    let is_atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_atom || text.is_empty() || value.len() > 500 {
        return None;
    }
    let kind = kind.to_ascii_lowercase();
    let address = if kind == "utf-8" { decode_unitext(text, smtputf8)? } else { decode_xtext(text)? };
    Some(OriginalRecipient { kind, address })
}

/// Formats the value of ORCPT. UTF-8 is written raw only with SMTPUTF8.
pub(crate) fn write_orcpt(orcpt: &OriginalRecipient, smtputf8: bool) -> String {
    let kind: String = orcpt.kind.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if kind != "utf-8" {
        return format!("{kind};{}", encode_xtext(&orcpt.address));
    }
    let mut text = String::from("utf-8;");
    for c in orcpt.address.chars() {
        let plain = if c.is_ascii() { c.is_ascii_graphic() && !"+=\\".contains(c) } else { smtputf8 };
        if plain {
            text.push(c);
        } else {
            text.push_str(&format!("\\x{{{:02X}}}", u32::from(c)));
        }
    }
    text
}

fn decode_unitext(text: &str, smtputf8: bool) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (c, after) = if let Some(escape) = rest.strip_prefix("\\x{") {
            let (digits, after) = escape.split_once('}')?;
            let is_hex = digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            (is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten().and_then(char::from_u32)?, after)
        } else if c == '\\' || (!c.is_ascii() && !smtputf8) {
            return None;
        } else {
            (c, rest.get(c.len_utf8()..)?)
        };
        if c.is_control() {
            return None;
        }
        out.push(c);
        rest = after;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orcpt_round_trips() {
        for (kind, address, smtputf8, wire) in [
            ("rfc822", "a+b@x.org", false, "rfc822;a+2Bb@x.org"),
            ("utf-8", "grüße@x.org", false, "utf-8;gr\\x{FC}\\x{DF}e@x.org"),
            ("utf-8", "grüße@x.org", true, "utf-8;grüße@x.org"),
            ("utf-8", "a+b=c\\ d", true, "utf-8;a\\x{2B}b\\x{3D}c\\x{5C}\\x{20}d"),
        ] {
            let orcpt = OriginalRecipient { kind: kind.into(), address: address.into() };
            assert_eq!(write_orcpt(&orcpt, smtputf8), wire);
            assert_eq!(parse_orcpt(wire, smtputf8), Some(orcpt));
        }
    }

    #[test]
    fn control_characters_and_malformed_values_are_refused() {
        for bad in ["", ";a", "rfc822;", "rfc822", "rfc822;a+0Ab", "rfc822;a+00", "utf-8;a\\x{0A}", "utf-8;a\\x{", "utf-8;ü", "r c;a"] {
            assert_eq!(parse_orcpt(bad, false), None, "{bad}");
        }
    }
}
