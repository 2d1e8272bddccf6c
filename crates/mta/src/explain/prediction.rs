//! What the target probably does with the message: what it can authenticate, and which policy it applies.
//!
//! RFC 9989 s.5.3, s.7 (indirect mail flows). Invariant: SPF is evaluated for the address and the reverse-path that the target sees; a signature
//! counts only if it is on the message that leaves.

use std::net::IpAddr;

use mail::evidence::{DkimResult, DmarcPolicy, DmarcResult, Evidence, SpfResult};
use msgauth::Input;
use policy::Treatment;
use store::Message;

use crate::context::Snapshot;
use crate::explain::explainer::Explainer;
use crate::explain::words;

/// The message as it arrives at the target.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    /// Of mail from another server.
    pub evidence: Option<&'a Evidence>,
    pub treatment: &'a Treatment,
    /// Whether this server wrote the content.
    pub is_ours: bool,
    pub message: &'a Message,
    /// The domain of our signature.
    pub signed_by: Option<String>,
    /// The domain of the From field.
    pub from: Option<String>,
    /// The From field of the second try.
    pub instead: Option<String>,
    /// Whether it is a mailbox of this machine.
    pub is_local: bool,
    /// The provider of the target.
    pub provider: Option<&'static str>,
}

/// Predicts the outcome; true if the message is probably accepted.
pub(super) async fn predict(explainer: &Explainer, snapshot: &Snapshot, arrival: Arrival<'_>) -> (String, bool) {
    let spf = if arrival.is_local { None } else { spf_there(explainer, snapshot, arrival.message).await };
    let (mut words, is_likely) = outcome(&arrival, spf.as_ref());
    if let Treatment::Held(_) = arrival.treatment {
        words = format!("once released: {words}");
    }
    (words, is_likely)
}

/// SPF as the target evaluates it.
#[derive(Debug)]
struct SpfThere {
    passes: bool,
    domain: String,
    words: String,
}

/// SPF of the reverse-path, or of EHLO, from the address that this server sends from; `None` if that is not known.
async fn spf_there(explainer: &Explainer, Snapshot { settings, .. }: &Snapshot, message: &Message) -> Option<SpfThere> {
    let identity = settings.identity(message.flow);
    let client: IpAddr = match identity.source {
        Some(source) => source,
        None => *explainer.resolver.addresses(&identity.hello, settings.delivery.ipv6).await.ok()?.first()?,
    };
    let hello = identity.hello.to_string();
    let path = message.envelope_from().mailbox().map(ToString::to_string);
    let input = Input { client, hello: &hello, reverse_path: path.as_deref(), recipients: &[], message: b"" };
    let (local_part, domain) = path.as_deref().and_then(|path| path.rsplit_once('@')).unwrap_or(("", &hello));
    let (check, terms) = explainer.resolver.authenticator().explain_spf(&input, local_part, domain).await;
    let passes = check.result == SpfResult::Pass;
    Some(SpfThere { passes, words: words::spf(&check, client, &terms), domain: check.domain })
}

/// Whether one name is the other, or below it.
fn is_aligned(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    a == b || a.ends_with(&format!(".{b}")) || b.ends_with(&format!(".{a}"))
}

fn outcome(arrival: &Arrival<'_>, spf: Option<&SpfThere>) -> (String, bool) {
    if arrival.is_local {
        return ("delivered into the mailbox".into(), true);
    }
    let spf_words =
        spf.map_or_else(|| "SPF there: the address that this server sends from is not known".to_owned(), |spf| spf.words.clone());
    let Some(from) = arrival.from.as_deref() else { return (format!("accepted, if the target takes DSNs; {spf_words}"), true) };
    let is_ours_aligned = arrival.signed_by.as_deref().is_some_and(|signer| is_aligned(signer, from));
    if is_ours_aligned {
        let signer = arrival.signed_by.as_deref().unwrap_or_default();
        return (
            format!("accepted, unless the content looks like spam: DMARC passes there by our signature of {signer}; {spf_words}"),
            true,
        );
    }
    if let Some(signer) = surviving(arrival) {
        let words = format!("accepted, unless the content looks like spam: DMARC passes there by the original signature of {signer}");
        return (format!("{words}; {spf_words}"), true);
    }
    if spf.is_some_and(|spf| spf.passes && is_aligned(&spf.domain, from)) {
        return (format!("accepted, unless the content looks like spam: DMARC passes there by SPF; {spf_words}"), true);
    }
    unaligned(arrival, spf, from, &spf_words)
}

/// The domain of a signature that passed on arrival, is aligned, and leaves with the content.
fn surviving<'a>(arrival: &'a Arrival<'_>) -> Option<&'a str> {
    let evidence = arrival.evidence.filter(|evidence| !arrival.is_ours && evidence.dmarc.dkim_aligned)?;
    let passed = evidence.dkim.iter().filter(|check| check.result == DkimResult::Pass);
    passed.map(|check| check.domain.as_str()).find(|domain| is_aligned(domain, &evidence.dmarc.domain))
}

/// DMARC fails at the target.
fn unaligned(arrival: &Arrival<'_>, spf: Option<&SpfThere>, from: &str, spf_words: &str) -> (String, bool) {
    let policy = arrival.evidence.filter(|evidence| evidence.dmarc.result != DmarcResult::None).map(|evidence| evidence.dmarc.policy);
    let said = match arrival.provider {
        Some(provider) => format!("{provider} refuses such mail (Gmail with 550 5.7.26)"),
        None => "most hosts refuse such mail (Gmail with 550 5.7.26)".to_owned(),
    };
    match (policy, &arrival.instead) {
        (Some(policy @ (DmarcPolicy::Reject | DmarcPolicy::Quarantine)), instead) => {
            let why = format!(
                "DMARC of {from} fails there: SPF is of our domain, and no DKIM signature of {from} is on the message; its policy is {}",
                words::policy(policy)
            );
            match instead {
                Some(field) => (format!("{why}: {said}; then it is sent again with From: {field}, which passes"), true),
                None => (format!("{why}: {said}"), false),
            }
        }
        _ if arrival.signed_by.is_some() || spf.is_some_and(|spf| spf.passes) => {
            let by = arrival.signed_by.as_ref().map_or_else(String::new, |signer| format!("our signature of {signer} vouches for it; "));
            (format!("accepted, unless the content looks like spam: {from} asks for no check (DMARC); {by}{spf_words}"), true)
        }
        _ => (format!("probably refused: neither SPF nor DKIM passes there ({spf_words}); {said}"), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::evidence::{DkimCheck, DmarcCheck};
    use mail::{Body, QueueId, ReversePath};
    use store::{Flow, TlsWish};

    fn message() -> Message {
        Message {
            id: QueueId(1),
            flow: Flow::Forward,
            reverse_path: ReversePath::Null,
            rewritten_path: None,
            may_report: true,
            mendable: false,
            body: Body::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
            tls: TlsWish::AsPublished,
            arrived_ms: 0,
            expires_ms: 0,
            delay_reported: false,
            prefix: bytes::Bytes::new(),
        }
    }

    fn evidence(dkim_aligned: bool, policy: DmarcPolicy) -> Evidence {
        let check = DkimCheck {
            result: DkimResult::Pass,
            domain: "mail.bank.test".into(),
            selector: "s".into(),
            algorithm: "rsa-sha256".into(),
            signature_prefix: "abc".into(),
            reason: None,
        };
        let dkim = if dkim_aligned { vec![check] } else { Vec::new() };
        let dmarc = DmarcCheck { result: DmarcResult::Pass, domain: "bank.test".into(), policy, dkim_aligned, ..DmarcCheck::default() };
        Evidence { dkim, dmarc, ..Evidence::default() }
    }

    fn words(evidence: Option<&Evidence>, signed_by: Option<&str>, from: &str, instead: Option<&str>) -> (String, bool) {
        let message = message();
        let arrival = Arrival {
            evidence,
            treatment: &Treatment::AsIs,
            is_ours: false,
            message: &message,
            signed_by: signed_by.map(Into::into),
            from: Some(from.into()),
            instead: instead.map(Into::into),
            is_local: false,
            provider: None,
        };
        let spf = SpfThere { passes: true, domain: "fwd.example.test".into(), words: "SPF of fwd.example.test passes".into() };
        outcome(&arrival, Some(&spf))
    }

    #[test]
    fn the_original_signature_survives_forwarding() {
        let (said, is_likely) = words(Some(&evidence(true, DmarcPolicy::Reject)), Some("fwd.example.test"), "bank.test", None);
        assert!(is_likely && said.contains("DMARC passes there by the original signature of mail.bank.test"), "{said}");
    }

    #[test]
    fn spf_alone_does_not_survive() {
        let only_spf = evidence(false, DmarcPolicy::Reject);
        let (said, is_likely) = words(Some(&only_spf), Some("fwd.example.test"), "bank.test", None);
        assert!(!is_likely && said.contains("DMARC of bank.test fails there") && said.contains("550 5.7.26"), "{said}");
        let (said, is_likely) = words(Some(&only_spf), Some("fwd.example.test"), "bank.test", Some("\"x\" <y@fwd.example.test>"));
        assert!(is_likely && said.contains("sent again with From: \"x\" <y@fwd.example.test>"), "{said}");
        let lax = evidence(false, DmarcPolicy::None);
        let (said, is_likely) = words(Some(&lax), Some("fwd.example.test"), "bank.test", None);
        assert!(is_likely && said.contains("asks for no check"), "{said}");
    }

    #[test]
    fn own_mail_passes_by_our_signature() {
        let (said, is_likely) = words(None, Some("example.test"), "example.test", None);
        assert!(is_likely && said.contains("by our signature of example.test"), "{said}");
    }
}
