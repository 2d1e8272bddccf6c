//! The mechanisms: names, order of preference and requirements.
//!
//! RFC 4422 s.3.1. Invariant: they are ordered by preference, strongest first.

/// A mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 7677, bound to the TLS session.
    ScramSha256Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 5802, bound to the TLS session.
    ScramSha1Plus,
    /// RFC 5802.
    ScramSha1,
    /// RFC 7628.
    OauthBearer,
    /// The predecessor of RFC 7628 at Google and Microsoft.
    Xoauth2,
    /// RFC 4422 appendix A: the certificate of the client.
    External,
    /// RFC 2831, made historic by RFC 6331.
    DigestMd5,
    /// RFC 2195.
    CramMd5,
    /// Microsoft's MS-NLMP in SASL.
    Ntlm,
    /// RFC 4616.
    Plain,
    /// draft-murchison-sasl-login: obsolete, but the only mechanism of some clients.
    Login,
}

impl Mechanism {
    /// All mechanisms, in order of preference.
    pub const ALL: [Self; 12] = [
        Self::ScramSha256Plus,
        Self::ScramSha256,
        Self::ScramSha1Plus,
        Self::ScramSha1,
        Self::OauthBearer,
        Self::Xoauth2,
        Self::External,
        Self::DigestMd5,
        Self::CramMd5,
        Self::Ntlm,
        Self::Plain,
        Self::Login,
    ];

    /// Returns the mechanism of this name, case-insensitively.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Xoauth2 => "XOAUTH2",
            Self::External => "EXTERNAL",
            Self::DigestMd5 => "DIGEST-MD5",
            Self::CramMd5 => "CRAM-MD5",
            Self::Ntlm => "NTLM",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// Whether the server needs the password itself, not only a verifier.
    pub fn needs_secret(self) -> bool {
        matches!(self, Self::CramMd5 | Self::DigestMd5 | Self::Ntlm)
    }

    /// Whether it needs TLS channel bindings in the [`Context`](crate::Context).
    pub fn needs_binding(self) -> bool {
        matches!(self, Self::ScramSha256Plus | Self::ScramSha1Plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_have_names() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(&mechanism.name().to_lowercase()), Some(mechanism));
        }
        assert_eq!(Mechanism::from_name("SCRAM-SHA-512"), None);
        assert_eq!(Mechanism::ALL.into_iter().filter(|m| m.needs_secret()).count(), 3);
        assert_eq!(Mechanism::ALL.into_iter().filter(|m| m.needs_binding()).count(), 2);
    }
}
