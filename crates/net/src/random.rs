//! Randomness, from the operating system by way of AWS-LC.

/// Random octets for salts, passwords and secrets.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // It fails only where the system has no random source at all; then nothing secret can be made and a panic is right.
    #[allow(clippy::expect_used)]
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random octets");
    bytes
}

/// A random number for jitter and order.
pub fn random_u32() -> u32 {
    u32::from_ne_bytes(random_bytes())
}
