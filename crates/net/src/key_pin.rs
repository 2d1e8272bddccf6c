//! A public key pin: the digest of a key, as an operator writes it.
//!
//! RFC 7671 s.5.1 (as the data of a TLSA record 3 1 1). Invariant: it holds 32 octets, and its text is 64 digits in lower case.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

/// The SHA-256 of a key's SubjectPublicKeyInfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPin(pub [u8; 32]);

impl FromStr for KeyPin {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits: Vec<u8> = text.bytes().filter(|b| *b != b':').collect();
        let octets = HEXLOWER_PERMISSIVE.decode(&digits).ok().and_then(|octets| <[u8; 32]>::try_from(octets).ok());
        octets.map(Self).ok_or_else(|| "not 64 hexadecimal digits; waypost cert check FILE prints them".into())
    }
}

impl fmt::Display for KeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode(&self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_64_hexadecimal_digits_with_or_without_colons() {
        let text = "ab".repeat(32);
        let pin: KeyPin = text.parse().unwrap();
        assert_eq!(pin.to_string(), text);
        assert_eq!(["AB"; 32].join(":").parse(), Ok(pin));
        for wrong in ["", "ab", &"ab".repeat(33), &format!("+b{}", "ab".repeat(31)), &"xy".repeat(32), &format!("{text}a")] {
            assert!(wrong.parse::<KeyPin>().is_err(), "{wrong}");
        }
    }
}
