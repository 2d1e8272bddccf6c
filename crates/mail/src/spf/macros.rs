//! Macro strings: `%{ir}.%{v}._spf.%{d2}`.
//!
//! RFC 7208 s.7. Invariant: an invalid macro is refused when the record is parsed, and an expanded name has at most
//! 253 octets, cut off at a dot from the left.

use std::net::IpAddr;

use super::Malformed;

/// Maximum length of an expanded name, in octets.
const MAX_NAME: usize = 253;

/// A parsed macro string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MacroString(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Macro { letter: char, escaped: bool, keep: Option<usize>, reversed: bool, delimiters: String },
}

/// The values of the letters.
#[derive(Debug, Clone, Copy)]
pub struct MacroValues<'a> {
    /// The local part of the sender.
    pub local_part: &'a str,
    /// The sender's domain.
    pub sender_domain: &'a str,
    /// The client's address.
    pub client: IpAddr,
    /// The HELO name.
    pub hello: &'a str,
    /// The domain whose record is evaluated.
    pub domain: &'a str,
    /// The client's confirmed name, for `p`; looked up only if a record [`MacroString::wants_name`].
    pub client_name: &'a str,
}

impl MacroString {
    /// A macro string that ends in a top label or in a macro, as a name must.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn domain(text: &str) -> Result<Self, Malformed> {
        let spec = Self::text(text)?;
        match spec.0.last() {
            Some(Part::Macro { .. }) => Ok(spec),
            Some(Part::Text(end)) if ends_in_top_label(end) => Ok(spec),
            _ => Err(Malformed),
        }
    }

    /// Any macro string.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn text(text: &str) -> Result<Self, Malformed> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '%' => match rest.next() {
                    Some('%') => literal.push('%'),
                    Some('_') => literal.push(' '),
                    Some('-') => literal.push_str("%20"),
                    Some('{') => {
                        let (body, after) = rest.as_str().split_once('}').ok_or(Malformed)?;
                        if !literal.is_empty() {
                            parts.push(Part::Text(std::mem::take(&mut literal)));
                        }
                        parts.push(expansion(body)?);
                        rest = after.chars();
                    }
                    _ => return Err(Malformed),
                },
                '!'..='~' => literal.push(c),
                _ => return Err(Malformed),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// The text, if it has no macro: then it is the same for every message.
    pub fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it uses the client's name.
    pub fn wants_name(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Macro { letter: 'p', .. }))
    }

    /// Expands it to a name.
    pub fn expand(&self, values: &MacroValues<'_>) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Macro { letter, escaped, keep, reversed, delimiters } => {
                    let value = transformed(&value_of(*letter, values), *keep, *reversed, delimiters);
                    if *escaped { escape_into(&mut out, &value) } else { out.push_str(&value) }
                }
            }
        }
        let mut name = out.as_str();
        while name.len() > MAX_NAME {
            let Some((_, rest)) = name.split_once('.') else { break };
            name = rest;
        }
        name.to_owned()
    }
}

fn ends_in_top_label(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    // A dot must come before it: after a macro the text starts with one.
    let Some((_, label)) = text.rsplit_once('.') else { return false };
    let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    !label.is_empty() && inner && !label.starts_with('-') && !label.ends_with('-') && !label.bytes().all(|b| b.is_ascii_digit())
}

fn expansion(body: &str) -> Result<Part, Malformed> {
    let mut rest = body.chars();
    let written = rest.next().ok_or(Malformed)?;
    let letter = written.to_ascii_lowercase();
    // `c`, `r` and `t` are for explanations only (s.7.2).
    if !"slodiphv".contains(letter) {
        return Err(Malformed);
    }
    let after = rest.as_str();
    let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, after) = after.split_at_checked(digits).ok_or(Malformed)?;
    let keep = if number.is_empty() { None } else { Some(number.parse::<usize>().unwrap_or(usize::MAX)) };
    if keep == Some(0) {
        return Err(Malformed);
    }
    let (reversed, delimiters) = match after.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, after),
    };
    if !delimiters.chars().all(|c| ".-+,/_=".contains(c)) {
        return Err(Malformed);
    }
    Ok(Part::Macro { letter, escaped: written.is_ascii_uppercase(), keep, reversed, delimiters: delimiters.to_owned() })
}

fn value_of(letter: char, values: &MacroValues<'_>) -> String {
    match letter {
        's' => format!("{}@{}", values.local_part, values.sender_domain),
        'l' => values.local_part.to_owned(),
        'o' => values.sender_domain.to_owned(),
        'd' => values.domain.to_owned(),
        'h' => values.hello.to_owned(),
        'p' => values.client_name.to_owned(),
        'v' => if values.client.is_ipv4() { "in-addr" } else { "ip6" }.to_owned(),
        _ => match values.client {
            IpAddr::V4(a) => a.to_string(),
            IpAddr::V6(a) => {
                let nibbles = a.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]);
                nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join(".")
            }
        },
    }
}

fn transformed(value: &str, keep: Option<usize>, reversed: bool, delimiters: &str) -> String {
    if keep.is_none() && !reversed && delimiters.is_empty() {
        return value.to_owned();
    }
    let split = |c: char| if delimiters.is_empty() { c == '.' } else { delimiters.contains(c) };
    let mut parts: Vec<&str> = value.split(split).collect();
    if reversed {
        parts.reverse();
    }
    let kept = parts.len().saturating_sub(keep.unwrap_or(usize::MAX));
    parts.get(kept..).unwrap_or_default().join(".")
}

fn escape_into(out: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7208 s.7.4.
    #[test]
    fn the_examples_of_the_rfc_expand() {
        let v4 = MacroValues {
            local_part: "strong-bad",
            sender_domain: "email.example.com",
            client: "192.0.2.3".parse().unwrap(),
            hello: "x",
            domain: "email.example.com",
            client_name: "unknown",
        };
        let v6 = MacroValues { client: "2001:db8::cb01".parse().unwrap(), ..v4 };
        for (spec, wanted) in [
            ("%{s}", "strong-bad@email.example.com"),
            ("%{d2}", "example.com"),
            ("%{d1}", "com"),
            ("%{dr}", "com.example.email"),
            ("%{d2r}", "example.email"),
            ("%{l-}", "strong.bad"),
            ("%{lr-}", "bad.strong"),
            ("%{l1r-}", "strong"),
            ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
            ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ] {
            assert_eq!(MacroString::text(spec).unwrap().expand(&v4), wanted, "{spec}");
        }
        let wanted = "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com";
        assert_eq!(MacroString::domain("%{ir}.%{v}._spf.%{d2}").unwrap().expand(&v6), wanted);
    }
}
