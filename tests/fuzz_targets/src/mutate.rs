//! Mutations of a corpus by a seed: what a fuzzer does first, without its feedback.
//!
//! Invariant: the same seed, corpus and number give the same input.

/// Octets that parsers give a meaning to.
const TOKENS: [&[u8]; 40] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b".\r\n",
    b"\r\n.\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b" ",
    b"\t",
    b"\"",
    b"\\",
    b"<",
    b">",
    b"<>",
    b"(",
    b")",
    b"[",
    b"]",
    b"{",
    b"}",
    b"@",
    b":",
    b";",
    b",",
    b"=",
    b"==",
    b"+",
    b"%",
    b"%{",
    b"&",
    b"/",
    b"-",
    b"--",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x80\xae",
    b"\xef\xbb\xbf",
    b"18446744073709551616",
    b"-1",
];

/// Maximum octets of a mutated input.
const MAX_BYTES: usize = 1 << 15;

/// Random numbers: SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Begins with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `below`, which is at least 1.
    pub fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 1).unwrap_or(0) % below.max(1)
    }

    /// Returns a piece of the octets.
    fn piece<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        let from = self.below(octets.len() + 1);
        let rest = &octets[from..];
        let length = if self.below(2) == 0 { rest.len().min(16) } else { rest.len() };
        &rest[..self.below(length + 1)]
    }
}

/// Returns an input made of one of the corpus by a few changes, sometimes with a piece of another.
pub fn mutated(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        change(random, &mut octets, corpus);
        octets.truncate(MAX_BYTES);
    }
    octets
}

fn change(random: &mut Random, octets: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = random.below(octets.len() + 1);
    let inserted: Vec<u8> = match random.below(9) {
        0 => TOKENS[random.below(TOKENS.len())].to_vec(),
        1 => vec![u8::try_from(random.below(256)).unwrap_or(0)],
        2 => random.piece(octets).to_vec(),
        3 => {
            let other = &corpus[random.below(corpus.len())];
            random.piece(other).to_vec()
        }
        4 => {
            let token = TOKENS[random.below(TOKENS.len())];
            token.repeat(1 + random.below(300))
        }
        5 => {
            let end = (at + 1 + random.below(16)).min(octets.len());
            octets.drain(at..end);
            return;
        }
        6 => return octets.truncate(at),
        7 => {
            if let Some(byte) = octets.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
            return;
        }
        _ => {
            if let Some(byte) = octets.get_mut(at) {
                *byte = [0, 1, 0x7f, 0x80, 0xff, b'0', b'9', b' '][random.below(8)];
            }
            return;
        }
    };
    octets.splice(at..at, inserted);
}
