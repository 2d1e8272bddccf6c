//! Turns this process into one whose runs can be repeated: random numbers follow a seed, and blocking work runs in place.
//!
//! Invariant: only a process that simulates calls [`simulate`], before it makes any key; there is no way back.

use std::sync::OnceLock;

use parking_lot::Mutex;

/// The generator of a simulating process.
static SEEDED: OnceLock<Mutex<SplitMix>> = OnceLock::new();

/// SplitMix64 (Steele, Lea and Flood 2014): small, and the same on every machine.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Makes the random numbers of this process follow `seed`, which makes every secret guessable, and lets blocking work run in place. The first call counts.
pub fn simulate(seed: u64) {
    SEEDED.get_or_init(|| Mutex::new(SplitMix(seed)));
}

/// Whether this process simulates.
pub(crate) fn is_simulated() -> bool {
    SEEDED.get().is_some()
}

/// Fills `bytes` from the seed; returns whether this process simulates.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    let Some(seeded) = SEEDED.get() else { return false };
    let mut seeded = seeded.lock();
    for piece in bytes.chunks_mut(8) {
        let next = seeded.next().to_le_bytes();
        piece.iter_mut().zip(next).for_each(|(byte, random)| *byte = random);
    }
    true
}
