//! Stage: signs the DKIM2 chain of messages that leave: our hop after the chain of a forward that verified, the first hop of own mail.
//!
//! draft-ietf-dkim-dkim2-spec-08 s.12. Invariant: a chain of others is signed over only after it has verified on the octets that leave, with the envelope
//! they came with; a chain that does not verify leaves as it came. A signature names only recipients that may see each other.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mail::evidence::{ChainCheck, ChainResult};
use mail::{Domain, Fields, header_len};
use msgauth::{ArrivedChain, Authenticator, ChainError, DkimKeys, Extension, NextHop, is_chain_field};
use store::{Flow, NewMessage};

use crate::accept::prepare::Prepared;
use crate::context::Snapshot;
use crate::support::dkim_signers::{OwnedEnvelope, OwnedSigners, Signing};

/// The chain of a message that verified on arrival, with the means to verify it again.
pub(crate) struct VerifiedChain {
    pub authenticator: Authenticator,
    pub keys: Arc<DkimKeys>,
    /// The envelope it came with.
    pub envelope: OwnedEnvelope,
}

/// One copy that leaves.
struct Departure {
    prefix: Bytes,
    /// The content as it leaves.
    content: Bytes,
    envelope: OwnedEnvelope,
    signers: OwnedSigners,
}

impl Departure {
    fn octets(&self) -> Bytes {
        let mut octets = BytesMut::with_capacity(self.prefix.len() + self.content.len());
        octets.extend_from_slice(&self.prefix);
        octets.extend_from_slice(&self.content);
        octets.freeze()
    }
}

/// Signs our hop of each copy. Returns the check of a chain that verified on arrival and does not on departure: a bug.
pub(crate) async fn extend(
    signing: &Signing,
    Snapshot { settings, directory }: &Snapshot,
    chain: &VerifiedChain,
    prepared: &mut Prepared<'_>,
) -> Result<(), Box<ChainCheck>> {
    let forwarding = &settings.forward.srs.domain;
    if !settings.forward.extend_dkim2 {
        return Ok(());
    }
    let (whole, is_wrapped) = (prepared.whole.bytes.clone(), prepared.is_ours);
    let mut departures = Vec::new();
    for new in &prepared.messages {
        let Some(alias) = new.recipients.first().and_then(|to| to.known_as.as_ref()).filter(|_| new.message.flow == Flow::Forward) else {
            return Ok(());
        };
        let Some(signers) = signing.hop_signers(directory, forwarding, alias, new.message.envelope_from()) else {
            tracing::info!(id = %new.message.id, %alias, "not continuing the DKIM2 chain: a domain of the alias or of forwards has no key");
            return Ok(());
        };
        departures.push(departure(new, whole.clone(), signers));
    }
    let (authenticator, keys, envelope) = (chain.authenticator.clone(), chain.keys.clone(), chain.envelope.clone());
    let work = move || {
        let arrived = ArrivedChain { authenticator: &authenticator, keys: &keys, envelope: envelope.borrowed() };
        if is_wrapped { signed_wrapped(arrived, &departures, &whole) } else { signed(arrived, &departures) }
    };
    match signing.compute(work).await {
        Some(Ok(signed)) => {
            for (new, fields) in prepared.messages.iter_mut().zip(signed) {
                put(new, fields);
            }
            Ok(())
        }
        // A key that cannot be had now says nothing about the octets.
        Some(Err(ChainError::Unproven(check))) if check.result != ChainResult::TempError => Err(check),
        Some(Err(_)) | None => Ok(()),
    }
}

/// Signs the first hop of a new message that leaves for the first time: own mail whose recipients may see each other, a DSN.
pub(crate) async fn originate(
    signing: &Signing,
    Snapshot { directory, .. }: &Snapshot,
    domain: &Domain,
    new: &mut NewMessage,
    whole: &Bytes,
) {
    let envelope = envelope_of(new);
    let mut fields = signing.originate(directory, domain, &new.message.prefix, whole, envelope).await;
    fields.extend_from_slice(&new.message.prefix);
    new.message.prefix = fields.into();
}

fn envelope_of(new: &NewMessage) -> OwnedEnvelope {
    OwnedEnvelope { from: new.message.envelope_from().to_bare(), to: new.recipients.iter().map(|to| to.mailbox.to_string()).collect() }
}

fn put(new: &mut NewMessage, signed: Result<Vec<u8>, ChainError>) {
    match signed {
        Ok(mut fields) => {
            fields.extend_from_slice(&new.message.prefix);
            new.message.prefix = fields.into();
        }
        Err(error) => tracing::info!(id = %new.message.id, %error, "not signing with DKIM2: the signature would not be valid"),
    }
}

fn departure(new: &NewMessage, content: Bytes, signers: OwnedSigners) -> Departure {
    Departure { prefix: new.message.prefix.clone(), content, envelope: envelope_of(new), signers }
}

fn next_hop(departure: &Departure, count: usize) -> NextHop<'_> {
    NextHop { envelope: departure.envelope.borrowed(), is_one_of_several: count > 1 }
}

/// One result for each copy.
type EachSigned = Vec<Result<Vec<u8>, ChainError>>;

/// Signs copies whose content is as it came: they differ in unsigned fields.
fn signed(arrived: ArrivedChain<'_>, departures: &[Departure]) -> Result<EachSigned, ChainError> {
    let Some(first) = departures.first() else { return Ok(Vec::new()) };
    let octets = first.octets();
    Extension::proven(arrived, &octets, |extension| {
        let each = departures.iter().enumerate().map(|(n, departure)| {
            let signers = departure.signers.borrowed();
            let next = next_hop(departure, departures.len());
            if n == 0 { extension.sign_proven(signers, next) } else { extension.sign_copy(&departure.octets(), signers, next) }
        });
        each.collect()
    })
}

/// Signs copies of a message that contains the one that came: the chain's fields go on top of it, and a recipe restores what came.
fn signed_wrapped(arrived: ArrivedChain<'_>, departures: &[Departure], whole: &Bytes) -> Result<EachSigned, ChainError> {
    let came = whole.get(header_len(whole)..).unwrap_or_default();
    let chain: Vec<u8> = Fields::new(came).filter(is_chain_field).flat_map(|field| field.raw.iter().copied()).collect();
    Extension::proven(arrived, came, |extension| {
        let each = departures.iter().map(|departure| {
            let octets = [chain.as_slice(), departure.prefix.as_ref(), departure.content.as_ref()].concat();
            let mut fields = extension.sign_revision(&octets, departure.signers.borrowed(), next_hop(departure, departures.len()))?;
            fields.extend_from_slice(&chain);
            Ok(fields)
        });
        each.collect()
    })
}
