//! A DKIM key record: the parser for verification and for `waypost dns check`.
//!
//! RFC 6376 s.3.6.1, RFC 8301 s.3.1. Invariant: a record read here may verify SHA-256 signatures of mail; whether the key itself is usable is decided in
//! crates with cryptography.

use std::fmt;

use crate::tags::Tags;

/// A key record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// `k=`, in lower case; `rsa` by default.
    pub kind: String,
    /// `p=`, without white space; empty if the key is revoked.
    pub public: String,
    /// `t=y`: the domain is testing.
    pub is_trial: bool,
    /// `v=` is there, but not first, as the standard requires.
    pub is_version_late: bool,
}

/// Why a record cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    /// It is not a tag list, has no `p=`, or has another version.
    Unreadable,
    /// `s=` names other services.
    NotForMail,
    /// `h=` names other hashes.
    NotForSha256,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "the key record cannot be read",
            Self::NotForMail => "the key is not for mail",
            Self::NotForSha256 => "the key is not for SHA-256",
        })
    }
}

impl std::error::Error for KeyFault {}

impl KeyRecord {
    /// Reads a text record. `v=` that is not first is accepted, as by dkimpy, Mail::DKIM, OpenDKIM and mailauth.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn parse(text: &[u8]) -> Result<Self, KeyFault> {
        let tags = Tags::parse(text).ok_or(KeyFault::Unreadable)?;
        if tags.get("v").is_some_and(|version| version != "DKIM1") {
            return Err(KeyFault::Unreadable);
        }
        if tags.get("s").is_some() && !tags.lists("s", &["*", "email"]) {
            return Err(KeyFault::NotForMail);
        }
        if tags.get("h").is_some() && !tags.lists("h", &["sha256"]) {
            return Err(KeyFault::NotForSha256);
        }
        Ok(Self {
            kind: tags.get("k").unwrap_or("rsa").to_ascii_lowercase(),
            public: tags.packed("p").ok_or(KeyFault::Unreadable)?,
            is_trial: tags.lists("t", &["y"]),
            is_version_late: tags.get("v").is_some() && tags.first_name() != Some("v"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_for_other_services_or_hashes_are_refused() {
        for (text, want) in [
            ("v=DKIM1; k=RSA; p=AB CD", Ok(("rsa", "ABCD", false))),
            ("k=ed25519; s=*; h=sha1:sha256; p=AB", Ok(("ed25519", "AB", false))),
            ("s=email:tlsrpt; p=", Ok(("rsa", "", false))),
            ("k=rsa; p=AB; v=DKIM1", Ok(("rsa", "AB", true))),
            ("v=DKIM2; p=", Err(KeyFault::Unreadable)),
            ("p=AB; v=DKIM2", Err(KeyFault::Unreadable)),
            ("v=DKIM1; k=rsa", Err(KeyFault::Unreadable)),
            ("v=DKIM1; p=AB;;", Err(KeyFault::Unreadable)),
            ("v=DKIM1; p=AB; p=CD", Err(KeyFault::Unreadable)),
            ("s=tlsrpt; p=", Err(KeyFault::NotForMail)),
            ("h=sha1; p=", Err(KeyFault::NotForSha256)),
            ("h=rsa-sha256; p=", Err(KeyFault::NotForSha256)),
        ] {
            let read = KeyRecord::parse(text.as_bytes());
            let read = read.as_ref().map(|key| (key.kind.as_str(), key.public.as_str(), key.is_version_late)).map_err(|fault| *fault);
            assert_eq!(read, want, "{text}");
        }
    }
}
