//! Canonicalization of header fields and bodies, where mail-auth's is not accessible.
//!
//! RFC 6376 s.3.4. Invariant: pure, one pass, no buffering.

use mail::{Field, Fields};

/// A canonicalization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Unchanged (s.3.4.1, s.3.4.3).
    Simple,
    /// Tolerates common changes in transit (s.3.4.2, s.3.4.4).
    Relaxed,
}

/// Appends a field with its CRLF.
pub(crate) fn field(out: &mut Vec<u8>, field: &Field<'_>, form: Form) {
    match form {
        Form::Simple => out.extend_from_slice(field.raw),
        Form::Relaxed => {
            relaxed(out, field.name, field.value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Appends the signature's own field, with an empty `b=` and without CRLF (s.3.7).
pub(crate) fn signature_field(out: &mut Vec<u8>, field: &Field<'_>, form: Form) {
    let value = without_signature(field.value);
    match form {
        Form::Simple => {
            let head = field.raw.len() - field.raw.iter().rev().take_while(|b| matches!(b, b'\r' | b'\n')).count() - field.value.len();
            out.extend_from_slice(field.raw.get(..head).unwrap_or_default());
            out.extend_from_slice(&value);
        }
        Form::Relaxed => relaxed(out, field.name, &value),
    }
}

/// Appends the fields that `h=` names; a name that is repeated selects from the bottom up (s.5.4.2).
pub(crate) fn signed_fields<'a>(out: &mut Vec<u8>, content: &[u8], names: impl Iterator<Item = &'a str>, form: Form) {
    let fields: Vec<Field<'_>> = Fields::new(content).collect();
    let mut used = vec![false; fields.len()];
    for name in names {
        let last = fields.iter().zip(&mut used).rev().find(|(field, used)| !**used && field.is(name));
        if let Some((found, used)) = last {
            *used = true;
            field(out, found, form);
        }
    }
}

fn relaxed(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    for (n, word) in value.split(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).filter(|word| !word.is_empty()).enumerate() {
        if n > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

/// A tag list with an empty `b=`.
fn without_signature(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for (n, tag) in value.split(|b| *b == b';').enumerate() {
        if n > 0 {
            out.push(b';');
        }
        let equals = tag.iter().position(|b| *b == b'=');
        let name = equals.and_then(|at| tag.get(..at)).unwrap_or_default().trim_ascii();
        let kept = if name == b"b" { equals.map_or(tag.len(), |at| at + 1) } else { tag.len() };
        out.extend_from_slice(tag.get(..kept).unwrap_or_default());
    }
    out
}

/// Passes the canonical body to `hash`, in pieces.
pub(crate) fn body(body: &[u8], form: Form, mut hash: impl FnMut(&[u8])) {
    let mut empty_lines = 0_u64;
    let mut is_empty = true;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let end = if form == Form::Relaxed { without_blanks_at_end(line) } else { line };
        if end.is_empty() {
            empty_lines += 1;
            continue;
        }
        (0..empty_lines).for_each(|_| hash(b"\r\n"));
        (empty_lines, is_empty) = (0, false);
        if form == Form::Relaxed {
            relaxed_line(end, &mut hash)
        } else {
            hash(end)
        }
        hash(b"\r\n");
    }
    if is_empty && form == Form::Simple {
        hash(b"\r\n");
    }
}

/// Length of the canonical body, in octets.
pub(crate) fn body_len(octets: &[u8], form: Form) -> u64 {
    let mut length = 0;
    body(octets, form, |piece| length += piece.len() as u64);
    length
}

fn relaxed_line(line: &[u8], hash: &mut impl FnMut(&[u8])) {
    let mut rest = line;
    while let Some(at) = rest.iter().position(is_blank) {
        let (word, blanks) = rest.split_at_checked(at).unwrap_or((rest, b""));
        hash(word);
        hash(b" ");
        rest = blanks.get(blanks.iter().take_while(|b| is_blank(b)).count()..).unwrap_or_default();
    }
    hash(rest);
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn without_blanks_at_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !is_blank(byte)).map_or(0, |at| at + 1);
    line.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(octets: &[u8], form: Form) -> String {
        let mut out = Vec::new();
        body(octets, form, |piece| out.extend_from_slice(piece));
        assert_eq!(body_len(octets, form), out.len() as u64);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bodies_match_rfc6376() {
        let octets = b" C \r\nD \t E\r\n\r\n\r\n";
        assert_eq!(of(octets, Form::Relaxed), " C\r\nD E\r\n");
        assert_eq!(of(octets, Form::Simple), " C \r\nD \t E\r\n");
        assert_eq!((of(b"", Form::Simple).as_str(), of(b"", Form::Relaxed).as_str()), ("\r\n", ""));
        assert_eq!(of(b"\r\n \r\n", Form::Relaxed), "");
        assert_eq!(of(b"a\r\n\r\n\tb", Form::Relaxed), "a\r\n\r\n b\r\n");
    }

    #[test]
    fn header_fields_match_rfc6376() {
        let content = b"A: X\r\nB : Y\t\r\n\tZ  \r\nA: W\r\n\r\n";
        let mut out = Vec::new();
        signed_fields(&mut out, content, ["b", "a", "a", "a", "c"].into_iter(), Form::Relaxed);
        assert_eq!(out, b"b:Y Z\r\na:W\r\na:X\r\n");
        let mut simple = Vec::new();
        signed_fields(&mut simple, content, ["B"].into_iter(), Form::Simple);
        assert_eq!(simple, b"B : Y\t\r\n\tZ  \r\n");
        let signature = Fields::new(b"DKIM-Signature : v=1; b = AB\r\n CD;\r\n bh=EF=\r\n\r\n").next().unwrap();
        let (mut relaxed, mut simple) = (Vec::new(), Vec::new());
        signature_field(&mut relaxed, &signature, Form::Relaxed);
        signature_field(&mut simple, &signature, Form::Simple);
        assert_eq!(relaxed, b"dkim-signature:v=1; b =; bh=EF=");
        assert_eq!(simple, b"DKIM-Signature : v=1; b =;\r\n bh=EF=");
    }
}
