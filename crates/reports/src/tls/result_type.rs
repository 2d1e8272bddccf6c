//! The words of a TLS report: policy types and result types.
//!
//! RFC 8460 s.4.3, RFC 8460 s.4.4. Invariant: case-insensitive; an unknown word is kept, up to [`WORD_MAX_BYTES`].

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Maximum length of an unknown word, in octets.
const WORD_MAX_BYTES: usize = 64;

macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident { $( $(#[doc = $item_doc:literal])+ $variant:ident = $word:literal, )+ } else $default:ident) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[doc = $item_doc])+ $variant, )+
            /// Another word.
            Other(String),
        }

        impl $name {
            /// All words of the RFC.
            pub const ALL: &[Self] = &[$( Self::$variant, )+];

            /// The word.
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$variant => $word, )+
                    Self::Other(word) => word,
                }
            }

            /// Reads a word.
            pub fn parse(text: &str) -> Self {
                let text: String = text.chars().filter(|c| !c.is_control()).collect();
                match text.trim().to_ascii_lowercase().as_str() {
                    $( $word => Self::$variant, )+
                    other => Self::Other(other.chars().take(WORD_MAX_BYTES).collect::<String>().trim_end().to_owned()),
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::$default
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::read::text(deserializer).map(|text| Self::parse(&text))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// The type of a policy.
    PolicyType {
        /// TLSA records (DANE).
        Tlsa = "tlsa",
        /// MTA-STS.
        Sts = "sts",
        /// No policy is published.
        NoPolicyFound = "no-policy-found",
    } else NoPolicyFound
}

words! {
    /// The type of a failure.
    ResultType {
        /// The host offers no STARTTLS.
        StarttlsNotSupported = "starttls-not-supported",
        /// The certificate does not match the policy.
        CertificateHostMismatch = "certificate-host-mismatch",
        /// The certificate has expired.
        CertificateExpired = "certificate-expired",
        /// The issuer is not trusted.
        CertificateNotTrusted = "certificate-not-trusted",
        /// Something else.
        ValidationFailure = "validation-failure",
        /// None of the TLSA records is usable.
        TlsaInvalid = "tlsa-invalid",
        /// The TLSA lookup had no valid answer.
        DnssecInvalid = "dnssec-invalid",
        /// The sender requires TLSA records, and there are none.
        DaneRequired = "dane-required",
        /// The MTA-STS policy could not be fetched.
        StsPolicyFetchError = "sts-policy-fetch-error",
        /// The fetched MTA-STS policy is invalid.
        StsPolicyInvalid = "sts-policy-invalid",
        /// The policy host's certificate is not valid.
        StsWebpkiInvalid = "sts-webpki-invalid",
    } else ValidationFailure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_round_trips() {
        for result in ResultType::ALL {
            assert_eq!(ResultType::parse(result.as_str()), *result);
        }
        assert_eq!(ResultType::ALL.len(), 11);
        assert_eq!(ResultType::parse(" STARTTLS-Not-Supported"), ResultType::StarttlsNotSupported);
        assert_eq!(ResultType::parse("new\r\n-word").as_str(), "new-word");
        assert_eq!(ResultType::parse(&"x".repeat(1000)).as_str().len(), WORD_MAX_BYTES);
        assert_eq!(PolicyType::parse("sts"), PolicyType::Sts);
    }
}
