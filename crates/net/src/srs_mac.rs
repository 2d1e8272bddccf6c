//! The message authentication code of SRS addresses (AWS-LC).
//!
//! RFC 2104. Invariant: the key is used only for the code.

use aws_lc_rs::hmac;
use mail::srs::{Hash, Secret};

/// The code for [`mail::srs::Srs`].
pub fn srs_mac(secret: &Secret, data: &[u8]) -> Vec<u8> {
    let algorithm = match secret.hash {
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Classic => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
    };
    hmac::sign(&hmac::Key::new(algorithm, &secret.key), data).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::Mailbox;
    use mail::srs::{Reversed, Srs};

    #[test]
    fn an_address_by_mail_srs_is_reversed() {
        // Made by Mail::SRS 0.31 on day 20,000 with the secret "tops3cr3t".
        let secrets = vec![Secret { hash: Hash::Classic, key: b"tops3cr3t".to_vec() }];
        let srs = Srs { domain: "fwd.example.test".parse().unwrap(), secrets, mac: srs_mac };
        let made = srs.rewrite(&Mailbox::parse("her@foreign.test").unwrap(), 20_000 * 86_400).unwrap().address;
        assert_eq!(made.to_string(), "SRS0=bvBt=RA=foreign.test=her@fwd.example.test");
        assert_eq!(srs.reverse(&made, 20_000 * 86_400), Ok(Reversed::Address(Mailbox::parse("her@foreign.test").unwrap())));
    }
}
