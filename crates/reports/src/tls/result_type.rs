//! The words of a report: kinds of policies, and what can be wrong with a session.
//!
//! RFC 8460 s.4.3, RFC 8460 s.4.4. Invariant: a word that is not known is kept as it came, within [`WORD_MAX_BYTES`], and read without case.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest word that is kept, in octets.
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
            /// All that the RFC knows.
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
                match text.trim().to_ascii_lowercase().as_str() {
                    $( $word => Self::$variant, )+
                    other => Self::Other(other.chars().filter(|c| !c.is_control()).take(WORD_MAX_BYTES).collect()),
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
    /// The kind of a policy.
    PolicyType {
        /// TLSA records (DANE).
        Tlsa = "tlsa",
        /// MTA-STS.
        Sts = "sts",
        /// Nothing is published.
        NoPolicyFound = "no-policy-found",
    } else NoPolicyFound
}

words! {
    /// What was wrong with a session.
    ResultType {
        /// The host offers no STARTTLS.
        StarttlsNotSupported = "starttls-not-supported",
        /// The certificate is not one that the policy names.
        CertificateHostMismatch = "certificate-host-mismatch",
        /// The certificate's time is over.
        CertificateExpired = "certificate-expired",
        /// The certificate is by nobody who is trusted.
        CertificateNotTrusted = "certificate-not-trusted",
        /// Something else.
        ValidationFailure = "validation-failure",
        /// None of the TLSA records is of use.
        TlsaInvalid = "tlsa-invalid",
        /// DNS gave no valid answer about TLSA records.
        DnssecInvalid = "dnssec-invalid",
        /// The sender demands TLSA records, and there are none.
        DaneRequired = "dane-required",
        /// The MTA-STS policy could not be fetched.
        StsPolicyFetchError = "sts-policy-fetch-error",
        /// What was fetched is no MTA-STS policy.
        StsPolicyInvalid = "sts-policy-invalid",
        /// The policy host's certificate is not valid.
        StsWebpkiInvalid = "sts-webpki-invalid",
    } else ValidationFailure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
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
