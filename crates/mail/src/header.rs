//! A message's header section, read in place.
//!
//! RFC 5322 s.2.2 and s.3.6.8. Invariant: fields are slices of the original section. The section ends at the first line that is neither a field nor
//! a continuation, empty or not, as in Postfix: everything from such a line on is body.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::{memchr, memchr_iter, memmem};

/// Finds an empty line; building it costs more than a search.
static EMPTY_LINE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\r\n\r\n"));

/// One field: its name, and its value (folded, without the final line end).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, in its original case.
    pub name: &'a [u8],
    /// The text after the colon.
    pub value: &'a [u8],
    /// The whole field, with the final line end.
    pub raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// Whether the field has this name, case-insensitively.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether there is white space between name and colon, as the obsolete syntax allows (RFC 5322 s.4.5).
    pub fn has_blank_before_colon(&self) -> bool {
        self.raw.get(self.name.len()) != Some(&b':')
    }

    /// The value unfolded and trimmed, with invalid UTF-8 replaced.
    pub fn unfolded(&self) -> String {
        let text = String::from_utf8_lossy(self.value);
        if memchr(b'\r', self.value).is_none() { text.trim().to_owned() } else { text.replace("\r\n", "").trim().to_owned() }
    }
}

/// The end of the first empty line, if there is one.
pub fn empty_line_end(content: &[u8]) -> Option<usize> {
    if content.starts_with(b"\r\n") {
        return Some(2);
    }
    EMPTY_LINE.find(content).map(|at| at + 4)
}

/// The length of the fields at the start.
fn fields_len(content: &[u8]) -> usize {
    Fields::new(content).map(|field| field.raw.len()).sum()
}

/// The length of the header section, with the empty line that ends it. Another line that ends it is body.
pub fn header_len(content: &[u8]) -> usize {
    let fields = fields_len(content);
    if content.get(fields..).is_some_and(|rest| rest.starts_with(b"\r\n")) { fields + 2 } else { fields }
}

/// The number, from 1, of the line that ends the header section without being empty: neither a field nor a continuation. `None` if the section
/// ends with an empty line or with the content.
pub fn interrupted_at(content: &[u8]) -> Option<usize> {
    let (fields, rest) = content.split_at_checked(fields_len(content))?;
    let is_in_order = rest.is_empty() || rest.starts_with(b"\r\n");
    (!is_in_order).then(|| memchr_iter(b'\n', fields).count() + 1)
}

/// Removes white space before the colons of fields, as relaxed canonicalization does (RFC 6376 s.3.4.2).
pub fn without_blanks_before_colons(content: &[u8]) -> Cow<'_, [u8]> {
    if !Fields::new(content).any(|field| field.has_blank_before_colon()) {
        return Cow::Borrowed(content);
    }
    let mut out = Vec::with_capacity(content.len());
    let mut read = 0;
    for field in Fields::new(content) {
        read += field.raw.len();
        out.extend_from_slice(field.name);
        let colon = memchr(b':', field.raw).unwrap_or(field.name.len());
        out.extend_from_slice(field.raw.get(colon..).unwrap_or_default());
    }
    out.extend_from_slice(content.get(read..).unwrap_or_default());
    Cow::Owned(out)
}

/// The fields of a header section, in order.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads the fields at the start of `content`.
    pub fn new(content: &'a [u8]) -> Self {
        Self { rest: content.get(..empty_line_end(content).unwrap_or(content.len())).unwrap_or_default() }
    }

    /// The first field of this name.
    pub fn find_first(content: &'a [u8], name: &str) -> Option<Field<'a>> {
        Self::new(content).find(|field| field.is(name))
    }
}

/// The place of the first CRLF.
fn line_end(text: &[u8]) -> Option<usize> {
    memchr_iter(b'\n', text).map(|at| at.wrapping_sub(1)).find(|at| text.get(*at) == Some(&b'\r'))
}

/// The length of the field at the start, with its continuation lines and final CRLF.
fn field_len(rest: &[u8]) -> usize {
    let mut from = 0;
    loop {
        let Some(line_end) = rest.get(from..).and_then(line_end) else {
            return rest.len();
        };
        from += line_end + 2;
        if !matches!(rest.get(from), Some(b' ' | b'\t')) {
            return from;
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let (raw, rest) = self.rest.split_at_checked(field_len(self.rest))?;
        let colon = memchr(b':', raw)?;
        let (name, value) = raw.split_at_checked(colon)?;
        let name = name.trim_ascii_end();
        if name.is_empty() || !name.iter().all(|b| (b'!'..=b'~').contains(b)) {
            return None;
        }
        self.rest = rest;
        let value = value.get(1..).unwrap_or_default();
        Some(Field { name, value: value.strip_suffix(b"\r\n").unwrap_or(value), raw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_folded_and_in_order() {
        let content = b"Subject: a\r\n b\r\nTo: x\r\n\r\nbody: no\r\n";
        let fields: Vec<_> = Fields::new(content).collect();
        assert_eq!(fields.len(), 2);
        assert_eq!(fields[0].unfolded(), "a b");
        assert_eq!(Fields::find_first(content, "to").unwrap().unfolded(), "x");
        assert_eq!(header_len(content), 25);
    }

    #[test]
    fn only_blanks_before_colons_are_removed() {
        let content = b"Subject : a : b\r\n c \r\nTo\t:x\r\nCc: y\r\n\r\nbody : b\r\n";
        let mended = without_blanks_before_colons(content);
        assert_eq!(mended.as_ref(), b"Subject: a : b\r\n c \r\nTo:x\r\nCc: y\r\n\r\nbody : b\r\n");
        assert!(matches!(without_blanks_before_colons(&mended), Cow::Borrowed(_)));
        assert_eq!(Fields::new(content).filter(Field::has_blank_before_colon).count(), 2);
    }

    #[test]
    fn invalid_lines_end_the_section() {
        assert_eq!(Fields::new(b"\r\nA: b\r\n").count(), 0);
        assert_eq!(Fields::new(b"").count(), 0);
        assert_eq!(Fields::new(b"no colon\r\nA: b\r\n\r\n").count(), 0);
        assert_eq!(Fields::new(b"A: b\r\nno colon here\r\nC: d\r\n\r\n").count(), 1);
        assert_eq!(Fields::new(b" starts folded: x\r\n\r\n").count(), 0);
    }

    #[test]
    fn a_line_without_a_colon_is_body() {
        for (content, length, line) in [
            ("A: b\r\n\r\nbody\r\n", 8, None),
            ("A: b\r\nno colon here\r\nC: d\r\n\r\nbody", 6, Some(2)),
            ("A: b\r\n c\r\nX Y: z\r\n", 10, Some(3)),
            ("From her@x.test Sat Nov 28\r\nA: b\r\n\r\n", 0, Some(1)),
            ("body alone", 0, Some(1)),
            ("\r\nbody", 2, None),
            ("A: b\r\n", 6, None),
            ("A: b", 4, None),
            ("", 0, None),
        ] {
            assert_eq!((header_len(content.as_bytes()), interrupted_at(content.as_bytes())), (length, line), "{content:?}");
        }
    }
}
