//! SPF, DKIM, DKIM2, DMARC, ARC and iprev: evidence about the sender of a message.
//!
//! RFC 7208, RFC 6376, RFC 9989, RFC 8617, RFC 8601, draft-ietf-dkim-dkim2-spec-08. DKIM and DKIM2 are verified by mail-auth; SPF, DMARC, ARC and iprev are evaluated here
//! (docs/adr/0005). Invariant: [`Authenticator::evaluate`] ends within 20 seconds whatever DNS does, decides nothing, and a lookup without an answer is a
//! temporary error.

mod arc;
mod canonical;
mod chain_signer;
mod dkim;
mod dkim2;
mod dmarc;
mod dns;
mod iprev;
mod key;
mod keys;
mod known_answers;
mod lookup;
mod returned;
mod seal;
mod sign;
mod spf;
mod spf_client;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail::AddressList;
use mail::evidence::{ArcResult, ChainCheck, DkimCheck, DmarcCheck, DmarcRecord, Evidence, IprevResult, SpfCheck, SpfResult};
use mail_auth::MessageAuthenticator;
use tokio::time::timeout;

pub use arc::{is_arc_field, sealed_result};
pub use chain_signer::{ArrivedChain, ChainError, ChainSigner, Extension, HopSigners, NextHop};
pub use dkim2::{ChainEnvelope, chain_hops, is_chain_field};
pub use dns::{Answering, Dns, SimulatedDns};
pub use key::{Algorithm, KeyError, KeyPair, record};
pub use returned::ReturnedMessage;
pub use seal::ArcSealer;
pub use sign::Signer;
pub use spf::SpfTerm;

/// Time limit for SPF, iprev and the DMARC lookup.
const DEADLINE: Duration = Duration::from_secs(17);
/// Time limit for fetching the keys of DKIM and ARC; leaves time to verify.
const KEYS_DEADLINE: Duration = Duration::from_secs(16);
/// Time limit for the alignment check, whose lookups are mostly cached by then.
const ALIGNMENT_DEADLINE: Duration = Duration::from_secs(3);

/// Authenticates messages; owns the resolver of the process. Clones share it.
#[derive(Clone)]
pub struct Authenticator {
    /// Verifies signatures; its own resolver is not used.
    verifier: MessageAuthenticator,
    dns: Dns,
}

/// DNS gave no answer.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("DNS gave no answer")]
pub struct Unanswered;

/// The resolver cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(String);

/// The message to authenticate.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// The client's HELO or EHLO name.
    pub hello: &'a str,
    /// The reverse-path; `None` if null.
    pub reverse_path: Option<&'a str>,
    /// The forward-paths, without brackets. A DKIM2 chain is bound to them.
    pub recipients: &'a [String],
    /// The message; the header section is enough for [`Authenticator::evaluate_later`].
    pub message: &'a [u8],
}

/// What DNS answered about a message; none where time ran out.
struct Asked {
    iprev: Option<(IprevResult, Option<String>)>,
    spf: (SpfCheck, SpfCheck),
    keys: keys::Keys,
    policies: Option<Vec<dmarc::PolicyLookup>>,
}

/// The fetched public keys of signers.
pub struct DkimKeys(keys::Keys);

impl fmt::Debug for DkimKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DkimKeys")
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator")
    }
}

impl Authenticator {
    /// Sets up the resolver.
    pub fn new(config: ResolverConfig, options: ResolverOpts) -> Result<Self, SetupError> {
        let verifier = MessageAuthenticator::new(config, options).map_err(|e| SetupError(e.to_string()))?;
        Ok(Self { dns: Dns::system(verifier.resolver().clone()), verifier })
    }

    /// Uses a simulated DNS.
    ///
    /// # Errors
    /// As [`Authenticator::new`].
    pub fn simulated(dns: Arc<dyn SimulatedDns>) -> Result<Self, SetupError> {
        let unused = Self::new(ResolverConfig::from_parts(None, vec![], vec![]), ResolverOpts::default())?;
        Ok(Self { dns: Dns::Simulated(dns), ..unused })
    }

    /// The resolver, for other lookups.
    pub fn resolver(&self) -> &Dns {
        &self.dns
    }

    /// Evaluates a message in memory.
    pub async fn evaluate(&self, input: Input<'_>) -> Evidence {
        let whole = std::future::ready(Ok::<_, std::convert::Infallible>(input.message));
        match self.evaluate_later(input, whole).await {
            Ok(evidence) => evidence,
            Err(never) => match never {},
        }
    }

    /// Evaluates a message. `input.message` may be the header section alone; `whole` is awaited only once all keys are fetched, and not at all without
    /// signatures, so that the message is in memory only while its signatures are computed.
    ///
    /// # Errors
    /// Those of `whole`.
    pub async fn evaluate_later<W: AsRef<[u8]>, E>(
        &self,
        input: Input<'_>,
        whole: impl Future<Output = Result<W, E>>,
    ) -> Result<Evidence, E> {
        let header = header_section(input.message);
        // An invalid From field has no author; policy refuses it.
        let authors = AddressList::of_field(header, "From").unwrap_or_default();
        let domains = dmarc::author_domains(&authors.mailboxes);

        let Asked { iprev, spf: (helo, mail_from), keys, policies } = self.ask(&input, header, &domains).await;

        let (dkim, dkim2, arc) = if dkim::is_signed(header) || dkim2::is_chained(header) || arc::is_chained(header) {
            let whole = whole.await?;
            let whole = whole.as_ref();
            let envelope = ChainEnvelope { from: input.reverse_path.unwrap_or_default(), to: input.recipients };
            let dkim2 = dkim2::verify(&self.verifier, whole, envelope, &keys);
            (self.verified(whole, &keys).await, dkim2, arc::verify(whole, &keys))
        } else {
            (Vec::new(), ChainCheck::default(), ArcResult::None)
        };
        let (iprev, client_name) = iprev.unwrap_or((IprevResult::TempError, None));
        let unanswered = || dmarc::unanswered(domains.first().map_or("", String::as_str));
        let dmarc = match policies {
            Some(found) => self.aligned(&found, &mail_from, &dkim).await.unwrap_or_else(unanswered),
            None => unanswered(),
        };
        Ok(Evidence { iprev, client_name, helo, mail_from, dkim, dkim2, dmarc, arc })
    }

    /// Asks all that needs no content. Boxed, as all that waits for DNS here: otherwise each crate that awaits it compiles it again.
    fn ask<'a>(&'a self, input: &'a Input<'_>, header: &'a [u8], domains: &'a [String]) -> BoxFuture<'a, Asked> {
        Box::pin(async move {
            let dns = self.resolver();
            let (iprev, spf, keys, policies) = tokio::join!(
                timeout(DEADLINE, iprev::check(dns, input.client)),
                self.check_spf(input),
                keys::Keys::fetch(dns, key_names(header).chain(arc::key_names(header)), KEYS_DEADLINE),
                timeout(DEADLINE, dmarc::discover(dns, domains)),
            );
            Asked { iprev: iprev.ok(), spf, keys, policies: policies.ok() }
        })
    }

    fn verified<'a>(&'a self, whole: &'a [u8], keys: &'a keys::Keys) -> BoxFuture<'a, Vec<DkimCheck>> {
        Box::pin(dkim::verify(&self.verifier, whole, keys))
    }

    fn aligned<'a>(
        &'a self,
        found: &'a [dmarc::PolicyLookup],
        spf: &'a SpfCheck,
        dkim: &'a [DkimCheck],
    ) -> BoxFuture<'a, Option<DmarcCheck>> {
        Box::pin(async move { timeout(ALIGNMENT_DEADLINE, dmarc::check(self.resolver(), found, spf, dkim)).await.ok() })
    }

    /// The confirmed name of an address (RFC 8601 s.3).
    pub fn confirmed_name(&self, client: IpAddr) -> BoxFuture<'_, (IprevResult, Option<String>)> {
        Box::pin(async move { timeout(DEADLINE, iprev::check(self.resolver(), client)).await.unwrap_or((IprevResult::TempError, None)) })
    }

    /// The DMARC record at the domain itself, if there is one.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub fn dmarc_record<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Option<DmarcRecord>, Unanswered>> {
        Box::pin(async move {
            timeout(DEADLINE, dmarc::record_at(self.resolver(), domain))
                .await
                .map_or(Err(Unanswered), |found| found.map_err(|_| Unanswered))
        })
    }

    /// The organizational domain of a name (RFC 9989 s.4.10.2).
    ///
    /// # Errors
    /// [`Unanswered`].
    pub fn organizational_domain<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<String, Unanswered>> {
        Box::pin(async move {
            timeout(DEADLINE, dmarc::organization(self.resolver(), domain))
                .await
                .map_or(Err(Unanswered), |found| found.map_err(|_| Unanswered))
        })
    }

    /// SPF only: of HELO, and of the reverse-path. Ignores the message.
    pub async fn check_spf(&self, input: &Input<'_>) -> (SpfCheck, SpfCheck) {
        let (local_part, domain) = match input.reverse_path.filter(|path| !path.is_empty()) {
            Some(path) => path.rsplit_once('@').unwrap_or(("", path)),
            None => ("", ""),
        };
        let hello = input.hello.trim_end_matches('.');
        let check = async |local_part, domain: &str| self.explain_spf(input, local_part, domain).await.0;
        if domain.is_empty() {
            let helo = check("", hello).await;
            return (helo.clone(), helo);
        }
        tokio::join!(check("", hello), check(local_part, domain))
    }

    /// SPF of one domain, and the terms that decided it: first that of the innermost included record.
    pub fn explain_spf<'a>(
        &'a self,
        input: &'a Input<'_>,
        local_part: &'a str,
        domain: &'a str,
    ) -> BoxFuture<'a, (SpfCheck, Vec<SpfTerm>)> {
        Box::pin(async move {
            // An address literal has no record.
            if domain.is_empty() || domain.starts_with('[') {
                return (SpfCheck { result: SpfResult::None, domain: domain.to_owned() }, Vec::new());
            }
            let hello = input.hello.trim_end_matches('.');
            let identity = spf::SpfIdentity { client: input.client, hello, domain, local_part };
            let checked = timeout(DEADLINE, spf::check_host(self.resolver(), identity)).await;
            let (result, terms) = checked.unwrap_or((SpfResult::TempError, Vec::new()));
            (SpfCheck { result, domain: domain.to_owned() }, terms)
        })
    }

    /// An address that the SPF record of a domain allows, if one is found within the limits of a check.
    pub fn spf_client<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Option<IpAddr>> {
        Box::pin(async move { timeout(DEADLINE, spf_client::some_client(self.resolver(), domain)).await.ok().flatten() })
    }

    /// Verifies the DKIM signatures of a message.
    pub async fn verify_dkim(&self, message: &[u8]) -> Vec<DkimCheck> {
        self.verify_dkim_with(message, &self.signers_keys(header_section(message)).await).await
    }

    /// Fetches the keys of the signatures and of the DKIM2 chain in a header section, from the cache if possible.
    pub fn signers_keys<'a>(&'a self, header: &'a [u8]) -> BoxFuture<'a, DkimKeys> {
        Box::pin(async move { DkimKeys(keys::Keys::fetch(self.resolver(), key_names(header), KEYS_DEADLINE).await) })
    }

    /// Verifies the DKIM signatures of a message with these keys, without DNS.
    pub fn verify_dkim_with<'a>(&'a self, message: &'a [u8], keys: &'a DkimKeys) -> BoxFuture<'a, Vec<DkimCheck>> {
        Box::pin(async move { dkim::verify(&self.verifier, message, &keys.0).await })
    }
}

impl ArrivedChain<'_> {
    /// Verifies the chain of a message, without DNS.
    pub fn check(&self, message: &[u8]) -> ChainCheck {
        dkim2::verify(&self.authenticator.verifier, message, self.envelope, &self.keys.0)
    }
}

/// The record names of the keys of DKIM signatures and of the DKIM2 chain: mostly the same ones, which are fetched and read once.
fn key_names(header: &[u8]) -> impl Iterator<Item = String> {
    dkim::key_names(header).into_iter().chain(dkim2::key_names(header))
}

fn header_section(message: &[u8]) -> &[u8] {
    message.get(..mail::header_len(message)).unwrap_or(message)
}
