//! The framing of content after DATA.
//!
//! RFC 5321 s.4.5.2.

use bytes::BytesMut;
use smtp::{Stuffer, Unstuffed, Unstuffer};

use crate::checks::{assert_lines, choice};

/// Content has only CRLF as line ends and no NUL, and is the same however the input is cut. What we stuff, we unstuff as it was.
pub fn smtp_content(data: &[u8]) {
    let (kind, wire) = choice(data);
    let repairs = kind & 1 != 0;
    let whole = unstuff(repairs, wire, wire.len().max(1));
    for size in [1, 2, 7] {
        assert_eq!(unstuff(repairs, wire, size), whole, "in pieces of {size}");
    }
    let (content, rest, found) = whole;
    if found == Unstuffed::End {
        assert_lines(&content);
        assert!(wire.ends_with(&rest));
        round_trip(&content);
    }
    // A stuffer must not trust that its content was accepted: it ends every line with CRLF. NUL alone is passed on.
    let without_nul: Vec<u8> = wire.iter().copied().filter(|byte| *byte != 0).collect();
    let (out, rest, found) = unstuff(false, &stuff(&without_nul, 5), 3);
    assert_eq!((rest.as_slice(), found), (&b""[..], Unstuffed::End), "{out:?}");
}

fn round_trip(content: &[u8]) {
    for size in [1, 3, content.len().max(1)] {
        let (out, rest, found) = unstuff(false, &stuff(content, size), 4);
        assert_eq!((out.as_slice(), rest.as_slice(), found), (content, &b""[..], Unstuffed::End));
    }
}

fn stuff(content: &[u8], size: usize) -> Vec<u8> {
    let (mut stuffer, mut out) = (Stuffer::default(), Vec::new());
    content.chunks(size).for_each(|piece| stuffer.write(piece, &mut out));
    stuffer.finish(&mut out);
    out
}

/// What comes out, what is left, and how it ended. Nothing comes out of content with an octet that is not allowed.
fn unstuff(repairs: bool, wire: &[u8], size: usize) -> (Vec<u8>, Vec<u8>, Unstuffed) {
    let mut unstuffer = if repairs { Unstuffer::repairing() } else { Unstuffer::default() };
    let (mut input, mut out, mut last) = (BytesMut::new(), Vec::new(), Unstuffed::More);
    for piece in wire.chunks(size) {
        input.extend_from_slice(piece);
        match last {
            Unstuffed::More => {
                let (content, found) = unstuffer.take(&mut input);
                out.extend_from_slice(&content);
                last = found;
            }
            Unstuffed::End => {}
            Unstuffed::Forbidden => drop(unstuffer.skip(&mut input)),
        }
    }
    if last == Unstuffed::End { (out, input.to_vec(), last) } else { (Vec::new(), Vec::new(), last) }
}
