//! Random numbers from the operating system (AWS-LC); in a simulating process, from its seed.

/// Random octets for salts, passwords and secrets.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if crate::simulation::fill(&mut bytes) {
        return bytes;
    }
    // Fails only on a system without any random source; then no secret can be made, and a panic is right.
    #[allow(clippy::expect_used)]
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has a random source");
    bytes
}

/// A random number for jitter and order.
pub fn random_u32() -> u32 {
    u32::from_ne_bytes(random_bytes())
}
