//! xtext, the quoting of ENVID, ORCPT and AUTH parameters.
//!
//! RFC 3461 s.4. Invariant: decoded text has no control character, so it can go into a DSN's fields.

/// Decodes xtext. `None` if it is malformed or contains a control character.
pub fn decode_xtext(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        let b = match b {
            b'+' => hex(bytes.next()?)? * 16 + hex(bytes.next()?)?,
            b'=' => return None,
            b'!'..=b'~' => b,
            _ => return None,
        };
        out.push(b);
    }
    String::from_utf8(out).ok().filter(|text| !text.chars().any(char::is_control))
}

/// Encodes as xtext.
pub fn encode_xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if (b'!'..=b'~').contains(&b) && b != b'+' && b != b'=' {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("+{b:02X}"));
        }
    }
    out
}

fn hex(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_round_trips_and_refuses_control_characters() {
        assert_eq!(decode_xtext("a+2Bb+3Dc").as_deref(), Some("a+b=c"));
        assert_eq!(encode_xtext("a+b=c d"), "a+2Bb+3Dc+20d");
        for bad in ["a+0A", "a+00", "a+", "a+2", "a+2g", "a=b", "a b", "+0D+0A", "a+7F", "+C2+85", "+C2"] {
            assert_eq!(decode_xtext(bad), None, "{bad}");
        }
    }
}
