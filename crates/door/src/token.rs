//! Random tokens, of which only a hash is kept.
//!
//! RFC 4648 s.5. Invariant: a token has 256 random bits, so that its plain SHA-256 cannot be inverted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use store::TokenHash;

/// Length of a token's text.
const TEXT_LENGTH: usize = 43;

/// Makes a token.
pub(crate) fn new_token() -> String {
    URL_SAFE_NO_PAD.encode(net::random_bytes::<32>())
}

/// Returns the hash under which a token is kept; `None` if the text cannot be one.
pub(crate) fn hash_of(token: &str) -> Option<TokenHash> {
    let is_one = token.len() == TEXT_LENGTH && token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    is_one.then(|| net::sha256(&[token.as_bytes()]))
}

/// Derives another token for a purpose.
pub(crate) fn derived(token: &str, purpose: &str) -> String {
    URL_SAFE_NO_PAD.encode(net::sha256(&[purpose.as_bytes(), b"\0", token.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_that_can_be_tokens_are_looked_up() {
        let token = new_token();
        assert!(hash_of(&token).is_some() && token != new_token());
        for text in ["", "x", "' OR 1=1 --", &format!("{token}x"), &"/".repeat(43), &"é".repeat(21)] {
            assert_eq!(hash_of(text), None, "{text}");
        }
        assert_ne!(derived(&token, "csrf"), derived(&new_token(), "csrf"));
    }
}
