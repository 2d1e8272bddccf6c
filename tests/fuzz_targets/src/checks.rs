//! What must hold for text and octets that leave the server, whatever came in.
//!
//! RFC 5321 s.2.3.8. Invariant: a check panics with what it has found.

/// Maximum octets of an input that a target uses.
pub(crate) const INPUT_MAX_BYTES: usize = 1 << 16;

/// The input as text, with invalid UTF-8 replaced.
pub(crate) fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(&data[..data.len().min(INPUT_MAX_BYTES)]).into_owned()
}

/// The input as texts, separated by NUL.
pub(crate) fn texts(data: &[u8]) -> impl Iterator<Item = String> {
    data[..data.len().min(INPUT_MAX_BYTES)].split(|byte| *byte == 0).map(|piece| String::from_utf8_lossy(piece).into_owned())
}

/// The text is one line without a control character.
pub(crate) fn assert_one_line(text: &str) {
    assert!(!text.chars().any(char::is_control), "a control character in {text:?}");
}

/// The octets are lines that end with CRLF, without bare CR, bare LF or NUL.
pub(crate) fn assert_lines(octets: &[u8]) {
    assert_no_bare_ends(octets);
    assert!(octets.is_empty() || octets.ends_with(b"\r\n"), "no CRLF at the end of {:?}", String::from_utf8_lossy(octets));
}

/// The octets have no bare CR, bare LF or NUL.
pub(crate) fn assert_no_bare_ends(octets: &[u8]) {
    for (at, byte) in octets.iter().enumerate() {
        let is_right = match byte {
            0 => false,
            b'\r' => octets.get(at + 1) == Some(&b'\n'),
            b'\n' => at > 0 && octets[at - 1] == b'\r',
            _ => true,
        };
        assert!(is_right, "a bare CR, LF or NUL at {at} of {:?}", String::from_utf8_lossy(octets));
    }
}

/// The pieces of a stream that end with each LF, so that no piece has what follows a line.
pub(crate) fn by_line(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    stream.split_inclusive(|byte| *byte == b'\n')
}

/// The first octet as a choice: `0` is 0, so that a corpus can be read and typed.
pub(crate) fn choice(data: &[u8]) -> (u8, &[u8]) {
    match data.split_first() {
        Some((first, rest)) => (first.wrapping_sub(b'0'), &rest[..rest.len().min(INPUT_MAX_BYTES)]),
        None => (0, data),
    }
}
