//! The message that a DSN returns: whether its DKIM2 chain went through us, and what it was like when it came.
//!
//! draft-ietf-dkim-dkim2-spec-08 s.16, by mail-auth. Invariant: at most as many hops and keys as for any chain, in the DSN and in the returned message.

use futures_util::FutureExt as _;
use mail::header_len;
use mail_auth::dkim2::{Dkim2Dsn, Envelope};
use mail_auth::{AuthenticatedMessage, Parameters};

use crate::dkim2::{self, ChainEnvelope};
use crate::{Authenticator, KEYS_DEADLINE, keys};

/// A returned message, as it came to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnedMessage {
    /// Its signed fields and the chain up to the hop before ours, with the empty line. Fields that a chain does not sign are not in it.
    pub header: Vec<u8>,
    /// mf= of that hop.
    pub return_path: String,
    /// The domains whose DSNs that hop accepts, the most specific first.
    pub domains: Vec<String>,
}

impl Authenticator {
    /// Verifies the chain of a DSN, that of the message in it, and that the target of our hop sent it. `is_ours`: whether a domain signs hops of ours.
    ///
    /// # Errors
    /// Why it is not verified, for people.
    pub async fn returned_message(
        &self,
        dsn: &[u8],
        envelope: ChainEnvelope<'_>,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<ReturnedMessage, String> {
        let parsed = Dkim2Dsn::parse(dsn).map_err(|error| error.to_string())?;
        let returned = parsed.returned.raw_message();
        if !dkim2::is_bounded(dsn) || !dkim2::is_bounded(returned) {
            return Err("a chain is beyond the limits".into());
        }
        let names = [dsn, returned].map(|message| dkim2::key_names(crate::header_section(message)));
        let keys = keys::Keys::fetch(self.resolver(), names.into_iter().flatten(), KEYS_DEADLINE).await;
        let verified = self.verifier.verify_dkim2_dsn(Parameters::new(&parsed).with_cache(&keys), smtp_envelope(envelope)).now_or_never();
        verified.ok_or("the keys were not at hand")?.map_err(|error| error.to_string())?;
        arrived(&parsed.returned, is_ours)
    }
}

fn smtp_envelope(envelope: ChainEnvelope<'_>) -> Envelope<String, Vec<String>> {
    Envelope::new(format!("<{}>", envelope.from), envelope.to.iter().map(|to| format!("<{to}>")).collect())
}

/// The message before our hops, which are the last ones.
fn arrived(returned: &AuthenticatedMessage<'_>, is_ours: impl Fn(&str) -> bool) -> Result<ReturnedMessage, String> {
    let hops = returned.dkim2_signatures().iter().rev().take_while(|signature| is_ours(&signature.header.d)).count();
    if hops == 0 || hops >= returned.dkim2_signatures().len() {
        return Err("the returned message has no hop before ours".into());
    }
    let header = returned.dkim2_arrival_headers(hops);
    let before = AuthenticatedMessage::parse(&header).ok_or("the returned message cannot be read")?;
    let return_path = before.dkim2_return_path().ok_or("the hop before ours has no return path")?.to_owned();
    let domains = before.dkim2_dsn_domains().map(ToOwned::to_owned).collect();
    let header = header.get(..header_len(&header)).unwrap_or_default().to_vec();
    Ok(ReturnedMessage { header, return_path, domains })
}
