//! The server unstuffs what the client stuffs, in pieces of any size.
#![allow(clippy::indexing_slicing, clippy::string_slice)]

use bytes::BytesMut;
use smtp::{Stuffer, Unstuffed, Unstuffer};

fn random(state: &mut u64, below: u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    ((*state >> 11) % below) as usize
}

fn content(state: &mut u64) -> Vec<u8> {
    let pieces: [&[u8]; 7] = [b"\r\n", b".", b"..", b".\r\n", b"a", b"a longer line of text", b"\xff\x80"];
    let mut content: Vec<u8> = (0..random(state, 40)).flat_map(|_| pieces[random(state, 7)].to_vec()).collect();
    if !content.is_empty() && !content.ends_with(b"\r\n") {
        content.extend_from_slice(b"\r\n");
    }
    content
}

fn stuff(state: &mut u64, content: &[u8]) -> Vec<u8> {
    let (mut stuffer, mut out) = (Stuffer::default(), Vec::new());
    let size = 1 + random(state, 30);
    content.chunks(size).for_each(|piece| stuffer.write(piece, &mut out));
    stuffer.finish(&mut out);
    out
}

/// What comes out, what is left of the input, and how it ended.
fn unstuff(state: &mut u64, wire: &[u8]) -> (Vec<u8>, Vec<u8>, Unstuffed) {
    let (mut unstuffer, mut input, mut out) = (Unstuffer::default(), BytesMut::new(), Vec::new());
    let mut last = Unstuffed::More;
    let mut pieces = wire.chunks(1 + random(state, 30));
    while let Some(piece) = pieces.next() {
        input.extend_from_slice(piece);
        let (content, found) = unstuffer.take(&mut input);
        out.extend_from_slice(&content);
        last = found;
        if found != Unstuffed::More {
            pieces.by_ref().for_each(|p| input.extend_from_slice(p));
        }
    }
    (out, input.to_vec(), last)
}

#[test]
fn stuffing_round_trips() {
    let mut state = 0x1234_5678_9abc_def1;
    for _ in 0..50_000 {
        let content = content(&mut state);
        let mut wire = stuff(&mut state, &content);
        assert_eq!(wire.windows(5).filter(|w| w == b"\r\n.\r\n").count(), usize::from(!content.is_empty()), "{content:?}");
        wire.extend_from_slice(b"QUIT\r\n");
        let (out, rest, found) = unstuff(&mut state, &wire);
        assert_eq!((out, rest, found), (content, b"QUIT\r\n".to_vec(), Unstuffed::End));
    }
}

#[test]
fn stuffed_content_can_be_unstuffed() {
    let mut state = 0xfeed_f00d_dead_beef;
    let pieces: [&[u8]; 6] = [b"\r", b"\n", b".", b"\r\n", b"a", b"."];
    for _ in 0..50_000 {
        let content: Vec<u8> = (0..random(&mut state, 30)).flat_map(|_| pieces[random(&mut state, 6)].to_vec()).collect();
        let wire = stuff(&mut state, &content);
        let (_, rest, found) = unstuff(&mut state, &wire);
        assert_eq!((rest.as_slice(), found), (&b""[..], Unstuffed::End), "{content:?}");
    }
}
