//! Adds an ARC set to a message that is forwarded.
//!
//! RFC 8617 s.5.1, RFC 8301 s.3.2. Invariant: only the caller's evidence says `cv=`; a chain that failed or is full is never sealed over.

use std::fmt::Write as _;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail::evidence::ArcResult;
use mail::{Fields, header_len};

use crate::arc::{SETS_MAX, sets};
use crate::canonical::{self, Form};
use crate::key::KeyError;

/// The fields that the message signature covers, if they are there.
const SIGNED: [&str; 15] = [
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "Sender",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Id",
    "DKIM-Signature",
];

/// Characters of base64 on one line.
const LINE_CHARS: usize = 72;

/// Seals with an RSA key: the only algorithm that every verifier of ARC supports.
pub struct ArcSealer {
    key: RsaKeyPair,
    domain: String,
    selector: String,
}

impl std::fmt::Debug for ArcSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ArcSealer({})", self.domain)
    }
}

impl ArcSealer {
    /// Reads an RSA key (PKCS #8 in DER) that is published under this selector of this domain.
    ///
    /// # Errors
    /// The key cannot be read.
    pub fn new(private: &[u8], domain: &str, selector: &str) -> Result<Self, KeyError> {
        let key = RsaKeyPair::from_pkcs8(private).map_err(|_| KeyError("read"))?;
        Ok(Self { key, domain: domain.to_owned(), selector: selector.to_owned() })
    }

    /// The fields of the next set, with CRLF. `message`: as it leaves, with the fields on top. `results`: the value of our Authentication-Results.
    /// `None` if the chain must not be sealed.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn seal(&self, message: &[u8], results: &str, arrived: ArcResult, now_unix_s: i64) -> Result<Option<String>, KeyError> {
        let before = match arrived {
            ArcResult::None => Vec::new(),
            ArcResult::Pass => sets(message).unwrap_or_default(),
            ArcResult::Fail => return Ok(None),
        };
        if before.len() >= SETS_MAX || before.is_empty() != (arrived == ArcResult::None) {
            return Ok(None);
        }
        let (instance, cv) = (before.len() + 1, if before.is_empty() { "none" } else { "pass" });
        let tags = format!("i={instance}; a=rsa-sha256; d={}; s={}; t={now_unix_s};", self.domain, self.selector);
        let results = format!("ARC-Authentication-Results: i={instance}; {}\r\n", results.trim());
        let signature = self.message_signature(message, &tags)?;
        let mut data = Vec::new();
        for earlier in before {
            earlier.iter().for_each(|field| canonical::field(&mut data, field, Form::Relaxed));
        }
        for text in [&results, &signature] {
            if let Some(field) = Fields::new(text.as_bytes()).next() {
                canonical::field(&mut data, &field, Form::Relaxed);
            }
        }
        let seal = self.signed(format!("ARC-Seal: {tags} cv={cv};\r\n\tb="), data)?;
        Ok(Some(seal + &signature + &results))
    }

    fn message_signature(&self, message: &[u8], tags: &str) -> Result<String, KeyError> {
        let mut context = Context::new(&SHA256);
        canonical::body(message.get(header_len(message)..).unwrap_or_default(), Form::Relaxed, |piece| context.update(piece));
        let count = |name: &str| Fields::new(message).filter(|field| field.is(name)).count();
        let names: Vec<&str> = SIGNED.iter().flat_map(|name| std::iter::repeat_n(*name, count(name))).collect();
        let mut data = Vec::new();
        canonical::signed_fields(&mut data, message, names.iter().copied(), Form::Relaxed);
        let mut text = format!("ARC-Message-Signature: {tags} c=relaxed/relaxed;\r\n\th=");
        for (n, name) in names.iter().enumerate() {
            text.push_str(if n == 0 {
                ""
            } else if n % 6 == 0 {
                ":\r\n\t"
            } else {
                ":"
            });
            text.push_str(name);
        }
        let _ = write!(text, ";\r\n\tbh={};\r\n\tb=", STANDARD.encode(context.finish()));
        self.signed(text, data)
    }

    /// The field with its signature, whose own canonical form follows `data`.
    fn signed(&self, mut text: String, mut data: Vec<u8>) -> Result<String, KeyError> {
        let unsigned = format!("{text}\r\n");
        if let Some(field) = Fields::new(unsigned.as_bytes()).next() {
            canonical::signature_field(&mut data, &field, Form::Relaxed);
        }
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &data, &mut signature).map_err(|_| KeyError("used"))?;
        let encoded = STANDARD.encode(signature);
        for (n, line) in encoded.as_bytes().chunks(LINE_CHARS).enumerate() {
            text.push_str(if n == 0 { "" } else { "\r\n\t" });
            text.push_str(&String::from_utf8_lossy(line));
        }
        text.push_str("\r\n");
        Ok(text)
    }
}
