//! HMAC-SHA256 (AWS-LC), for the signature of webhooks.
//!
//! RFC 2104. Invariant: the pieces are signed as one text.

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};

/// The code of the joined pieces.
pub fn hmac_sha256(key: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::with_key(&Key::new(HMAC_SHA256, key));
    pieces.iter().for_each(|piece| context.update(piece));
    context.sign().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_that_of_rfc_4231() {
        // Test case 2.
        let code = hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(data_encoding::HEXLOWER.encode(&code), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
