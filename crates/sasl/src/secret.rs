//! A password on its way from the client to its verifier.
//!
//! Invariant: it is not printed, and its memory is overwritten when it is dropped.

use std::fmt;

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes a password.
    pub fn new(password: &str) -> Self {
        Self(password.as_bytes().to_vec())
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Without a reader the compiler may leave the write out.
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("tanstaaf");
        assert_eq!(secret.expose(), "tanstaaf");
        assert!(!format!("{secret:?}").contains("tanstaaf"));
    }
}
