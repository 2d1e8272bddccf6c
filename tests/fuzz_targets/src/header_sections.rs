//! The header section of a message, and what is decided by it.
//!
//! RFC 5322 s.2.2, RFC 3834.

use mail::{Fields, Mailbox, ReversePath, empty_line_end, header_len, interrupted_at, without_blanks_before_colons};
use policy::{check_header, check_well_formed, classify_writer, missing_from};

use crate::checks::{INPUT_MAX_BYTES, assert_one_line};

/// The fields are the section, octet by octet; without blanks before the colons they are the same fields; a refusal is one reply.
pub fn header_sections(data: &[u8]) {
    let content = &data[..data.len().min(INPUT_MAX_BYTES)];
    let joined: Vec<u8> = Fields::new(content).flat_map(|field| field.raw.iter().copied()).collect();
    assert!(content.starts_with(&joined));
    let length = header_len(content);
    assert!(length == joined.len() || (length == joined.len() + 2 && content[..length].ends_with(b"\r\n")));
    assert!(empty_line_end(content).is_none_or(|end| end <= content.len() && length <= end));
    assert!(interrupted_at(content).is_none_or(|line| line >= 1 && length == joined.len()));

    let unblanked = without_blanks_before_colons(content);
    let named = |content: &[u8]| Fields::new(content).map(|field| (field.name.to_vec(), field.value.to_vec())).collect::<Vec<_>>();
    assert_eq!(named(&unblanked), named(content));
    assert!(!Fields::new(&unblanked).any(|field| field.has_blank_before_colon()));
    for field in Fields::new(content) {
        assert!(!field.name.is_empty() && field.name.iter().all(u8::is_ascii_graphic));
        let _ = field.unfolded();
    }

    let alias = Mailbox::parse("me@example.test").expect("a mailbox");
    let replies = [check_header(content, [alias].iter()).err(), check_well_formed(content, false).err(), Some(missing_from(content))];
    for reply in replies.into_iter().flatten() {
        assert!(matches!(reply.code, 550 | 554));
        assert_one_line(&reply.to_string());
    }
    let _ = classify_writer(&ReversePath::Null, content);
}
