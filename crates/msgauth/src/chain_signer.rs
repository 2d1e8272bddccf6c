//! Signs the DKIM2 chain of a message: as its originator, or as the next hop after a chain that verified.
//!
//! draft-ietf-dkim-dkim2-spec-08 s.12, by mail-auth. Invariant: a chain of others is signed over only by an [`Extension`], which has verified
//! the octets that leave, with the envelope they came with, or once more by [`HopSigners::sign_revision_again`]; nothing that came is changed.

use mail::evidence::ChainCheck;
use mail_auth::crypto::{DkimKey, Ed25519Key, RsaKey, Sha256};
use mail_auth::dkim2::{Dkim2Signed, Dkim2Signer, Hop};
use mail_auth::headers::HeaderWriter as _;
use mail_auth::signer::Ready;
use mail_auth::{AuthenticatedMessage, Dkim2Output, Dkim2Result};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::dkim2::{self, ChainEnvelope, Parts};
use crate::key::{Algorithm, KeyError};
use crate::{Authenticator, DkimKeys};

/// A key with its domain and selector: makes one signature of a chain.
pub struct ChainSigner {
    domain: String,
    /// Signs new messages, and over chains with a proof that they verify.
    strict: Dkim2Signer<Ready>,
    /// Signs after a hop of ours to another domain of ours, which no verifier accepts as the last one, and over chains that were proven before.
    arranged: Dkim2Signer<Ready>,
}

impl HopSigners<'_> {
    /// The fields of our hop for a changed form of a message over whose unchanged form we signed before, when it came. `received` are its octets as they came.
    ///
    /// # Errors
    /// As [`Extension::sign_revision`].
    pub fn sign_revision_again(&self, received: &[u8], revised: &[u8], next: NextHop<'_>) -> Result<Vec<u8>, ChainError> {
        self.revision(received, revised, next, None)
    }

    fn revision(&self, received: &[u8], revised: &[u8], next: NextHop<'_>, proof: Option<&Dkim2Output<'_>>) -> Result<Vec<u8>, ChainError> {
        let Some(bridge) = self.bridge else {
            let signer = if proof.is_some() { &self.last.strict } else { &self.last.arranged };
            return signer.sign_revised(received, revised, hop(next), proof).map(written).map_err(invalid);
        };
        let message = AuthenticatedMessage::parse(received).ok_or_else(unreadable)?;
        let first = self.bridged(bridge, &message, proof)?;
        let (received, revised) = ([first.as_slice(), received].concat(), [first.as_slice(), revised].concat());
        let mut fields =
            self.last.arranged.sign_revised(received.as_slice(), revised.as_slice(), hop(next), None).map(written).map_err(invalid)?;
        fields.extend_from_slice(&first);
        Ok(fields)
    }

    /// The field that names our other domain as the next hop.
    fn bridged(
        &self,
        bridge: &ChainSigner,
        message: &AuthenticatedMessage<'_>,
        proof: Option<&Dkim2Output<'_>>,
    ) -> Result<Vec<u8>, ChainError> {
        let to_ours = Hop::<&str, [&str; 0], String>::Imaginary { next_domain: self.last.domain.clone() };
        let signer = if proof.is_some() { &bridge.strict } else { &bridge.arranged };
        signer.sign_with_message_instance(message, None, to_ours, proof).map(written).map_err(invalid)
    }
}

impl std::fmt::Debug for ChainSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChainSigner({})", self.domain)
    }
}

/// Why a chain was not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The chain that came does not verify on the octets that leave.
    #[error("the DKIM2 chain does not verify: {}", .0.reason.as_deref().unwrap_or(.0.result.word()))]
    Unproven(Box<ChainCheck>),
    /// The signature would not be valid.
    #[error("{0}")]
    Invalid(String),
}

/// Where a copy of a message goes next.
#[derive(Debug, Clone, Copy)]
pub struct NextHop<'a> {
    /// Its envelope.
    pub envelope: ChainEnvelope<'a>,
    /// Whether other copies go elsewhere.
    pub is_one_of_several: bool,
}

/// The signers of a hop of ours.
#[derive(Debug, Clone, Copy)]
pub struct HopSigners<'a> {
    /// The domain that the message came to, if the reverse-path that it leaves with is not under it: it names the next one.
    pub bridge: Option<&'a ChainSigner>,
    /// The domain of the reverse-path that it leaves with.
    pub last: &'a ChainSigner,
}

impl ChainSigner {
    /// Reads a private key (PKCS #8 in DER) that is published under this selector of this domain.
    ///
    /// # Errors
    /// The key cannot be read.
    pub fn new(algorithm: Algorithm, private: &[u8], domain: &str, selector: &str) -> Result<Self, KeyError> {
        let signer = || Ok(Dkim2Signer::from_key(key(algorithm, private)?).domain(domain).selector(selector));
        Ok(Self { domain: domain.to_owned(), strict: signer()?, arranged: signer()?.out_of_band_arrangement() })
    }

    /// The fields of the first hop, with CRLF, for a new message.
    ///
    /// # Errors
    /// The message has a chain, its From is of another domain, or the reverse-path is.
    pub fn originate(&self, message: &[u8], envelope: ChainEnvelope<'_>) -> Result<Vec<u8>, ChainError> {
        self.strict.sign(message, hop(NextHop { envelope, is_one_of_several: false }), None).map(written).map_err(invalid)
    }
}

fn key(algorithm: Algorithm, private: &[u8]) -> Result<DkimKey, KeyError> {
    let unread = |_| KeyError("read");
    Ok(match algorithm {
        Algorithm::Rsa => RsaKey::<Sha256>::from_key_der(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(private))).map_err(unread)?.into(),
        Algorithm::Ed25519 => Ed25519Key::from_pkcs8_maybe_unchecked_der(private).map_err(unread)?.into(),
    })
}

fn hop<'a>(next: NextHop<'a>) -> Hop<String, Vec<&'a str>, String> {
    let hop = Hop::real(format!("<{}>", next.envelope.from), next.envelope.to.iter().map(String::as_str).collect());
    if next.is_one_of_several { hop.exploded() } else { hop }
}

/// Folded, so that no line is too long.
fn written(signed: Dkim2Signed) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    signed.signature.write_header(&mut out);
    if let Some(instance) = &signed.message_instance {
        instance.write_header(&mut out);
    }
    out
}

fn unreadable() -> ChainError {
    ChainError::Invalid("the message has no readable field".into())
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn invalid(error: mail_auth::Error) -> ChainError {
    match error {
        mail_auth::Error::Dkim2(error) => ChainError::Invalid(error.to_string()),
        other => ChainError::Invalid(other.to_string()),
    }
}

/// A message as it came, with all that its chain is verified by.
#[derive(Clone, Copy)]
pub struct ArrivedChain<'a> {
    /// Verifies it.
    pub authenticator: &'a Authenticator,
    /// Its keys.
    pub keys: &'a DkimKeys,
    /// Its envelope.
    pub envelope: ChainEnvelope<'a>,
}

/// Signs over chains of others.
pub struct Extension<'a> {
    proof: &'a Dkim2Output<'a>,
    proven: &'a AuthenticatedMessage<'a>,
    /// The proven message, whole.
    octets: &'a [u8],
}

impl Extension<'_> {
    /// Verifies the chain on these octets, which may have unsigned fields on top, and passes the means to sign over it to `sign`.
    ///
    /// # Errors
    /// The chain does not verify.
    pub fn proven<T>(arrived: ArrivedChain<'_>, octets: &[u8], sign: impl FnOnce(&Extension<'_>) -> T) -> Result<T, ChainError> {
        let unproven = || ChainError::Unproven(Box::new(arrived.check(octets)));
        if !dkim2::is_bounded(octets) {
            return Err(unproven());
        }
        let parts = Parts::of(octets);
        let Some(proven) = parts.parsed() else { return Err(unproven()) };
        let output = dkim2::output(&arrived.authenticator.verifier, &proven, arrived.envelope, &arrived.keys.0);
        match output.filter(|output| *output.result() == Dkim2Result::Pass) {
            Some(proof) => Ok(sign(&Extension { proof: &proof, proven: &proven, octets })),
            None => Err(unproven()),
        }
    }

    /// The fields of our hop for the proven octets themselves.
    ///
    /// # Errors
    /// The signature would not be valid: the custody does not lead to this hop, for example.
    pub fn sign_proven(&self, signers: HopSigners<'_>, next: NextHop<'_>) -> Result<Vec<u8>, ChainError> {
        self.signed(self.proven, self.octets, signers, next)
    }

    /// The fields of our hop for another copy, with other unsigned fields on top.
    ///
    /// # Errors
    /// As [`Extension::sign_proven`]; also if its signed fields or its body are others.
    pub fn sign_copy(&self, copy: &[u8], signers: HopSigners<'_>, next: NextHop<'_>) -> Result<Vec<u8>, ChainError> {
        let parts = Parts::of(copy);
        self.signed(&parts.parsed().ok_or_else(unreadable)?, copy, signers, next)
    }

    /// The fields of our hop for a changed form, which has the chain's fields as they came: with the recipe that restores the proven octets.
    ///
    /// # Errors
    /// As [`Extension::sign_proven`].
    pub fn sign_revision(&self, revised: &[u8], signers: HopSigners<'_>, next: NextHop<'_>) -> Result<Vec<u8>, ChainError> {
        signers.revision(self.octets, revised, next, Some(self.proof))
    }

    fn signed(
        &self,
        message: &AuthenticatedMessage<'_>,
        octets: &[u8],
        signers: HopSigners<'_>,
        next: NextHop<'_>,
    ) -> Result<Vec<u8>, ChainError> {
        let HopSigners { bridge, last } = signers;
        let Some(bridge) = bridge else {
            return last.strict.sign_with_message_instance(message, None, hop(next), Some(self.proof)).map(written).map_err(invalid);
        };
        let first = signers.bridged(bridge, message, Some(self.proof))?;
        let bridged = [first.as_slice(), octets].concat();
        let bridged = Parts::of(&bridged);
        let bridged = bridged.parsed().ok_or_else(unreadable)?;
        let mut fields = last.arranged.sign_with_message_instance(&bridged, None, hop(next), None).map(written).map_err(invalid)?;
        fields.extend_from_slice(&first);
        Ok(fields)
    }
}
