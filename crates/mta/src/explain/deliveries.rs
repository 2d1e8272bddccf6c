//! What would leave for each target: reverse-path, added fields, signatures.
//!
//! RFC 5321 s.4.4, RFC 6376 s.3.5. Invariant: it is read out of the message that `accept/prepare.rs` made and `accept/sign.rs` signed.

use mail::{Fields, Mailbox, one_line_at_most};
use store::{NewMessage, NewRecipient};

use crate::context::Snapshot;
use crate::deliver::dmarc_mitigation::{author, rewritten};
use crate::deliver::outbound::Connector;
use crate::explain::content::Leaving;
use crate::explain::explainer::Explainer;
use crate::explain::explanation::{AddedSignature, ExplainedDelivery};
use crate::explain::prediction::{Arrival, predict};
use crate::explain::route::find;

/// Maximum deliveries that are explained in full.
const DELIVERIES_MAX: usize = 20;

/// Maximum characters of a field that is shown.
const FIELD_MAX_CHARS: usize = 600;

/// Explains what leaves, for each target.
pub(super) async fn explain(
    explainer: &Explainer,
    connector: &Connector,
    snapshot: &Snapshot,
    leaving: Leaving<'_>,
) -> Vec<ExplainedDelivery> {
    let mut deliveries = Vec::new();
    for new in &leaving.prepared.messages {
        for recipient in &new.recipients {
            if deliveries.len() < DELIVERIES_MAX {
                deliveries.push(delivery(explainer, connector, snapshot, &leaving, new, recipient).await);
            }
        }
    }
    deliveries
}

async fn delivery(
    explainer: &Explainer,
    connector: &Connector,
    snapshot: &Snapshot,
    leaving: &Leaving<'_>,
    new: &NewMessage,
    recipient: &NewRecipient,
) -> ExplainedDelivery {
    let message = &new.message;
    let signatures = signatures(&message.prefix);
    let found = find(explainer, connector, &snapshot.settings, new, &recipient.mailbox).await;
    let arrival = Arrival {
        evidence: leaving.prepared.proof.evidence(),
        treatment: &leaving.treatment,
        is_ours: leaving.prepared.is_ours,
        message,
        signed_by: signatures.first().map(|signature| signature.domain.clone()),
        from: crate::accept::decide::from_addresses(&leaving.prepared.whole.bytes)
            .unwrap_or_default()
            .first()
            .map(|a| a.domain.to_string()),
        instead: instead(snapshot, leaving, new, recipient),
        is_local: found.is_local,
        provider: found.provider,
    };
    let (prediction, is_likely) = predict(explainer, snapshot, arrival).await;
    ExplainedDelivery {
        target: recipient.mailbox.clone(),
        alias: recipient.known_as.clone(),
        flow: message.flow,
        sender: message.envelope_from().clone(),
        fields: fields(&message.prefix),
        signatures,
        route: found.route,
        prediction,
        is_likely,
    }
}

/// The From field that replaces the author's once the target has refused it; `None` if it is not replaced.
fn instead(Snapshot { settings, .. }: &Snapshot, leaving: &Leaving<'_>, new: &NewMessage, recipient: &NewRecipient) -> Option<String> {
    if !new.message.mendable {
        return None;
    }
    let known_as: &Mailbox = recipient.known_as.as_ref().unwrap_or(&recipient.mailbox);
    let from = author(&new.message, &settings.forward.srs.domain)?;
    let message = rewritten(&leaving.prepared.whole.bytes, &from, &known_as.domain)?;
    let field = Fields::find_first(&message, "From")?;
    Some(one_line_at_most(field.unfolded().trim(), FIELD_MAX_CHARS))
}

/// The fields of a prefix, each on one line.
fn fields(prefix: &[u8]) -> Vec<String> {
    let shown = |field: mail::Field<'_>| {
        one_line_at_most(&format!("{}: {}", String::from_utf8_lossy(field.name), field.unfolded().trim()), FIELD_MAX_CHARS)
    };
    Fields::new(prefix).filter(|field| !field.is("DKIM-Signature")).map(shown).collect()
}

fn signatures(prefix: &[u8]) -> Vec<AddedSignature> {
    let of = |field: mail::Field<'_>| {
        let value = field.unfolded();
        let tag = |name: &str| value.split(';').find_map(|tag| tag.trim().strip_prefix(name)).map(|value| value.trim().to_owned());
        Some(AddedSignature { domain: tag("d=")?, selector: tag("s=")? })
    };
    Fields::new(prefix).filter(|field| field.is("DKIM-Signature")).filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_signatures_are_read_from_the_prefix() {
        let prefix = b"DKIM-Signature: v=1; a=rsa-sha256;\r\n\td=fwd.example.com; s=r1; bh=x\r\nDelivered-To: me@example.com\r\nReceived: from a\r\n\tby b\r\n";
        assert_eq!(signatures(prefix), [AddedSignature { domain: "fwd.example.com".into(), selector: "r1".into() }]);
        assert_eq!(fields(prefix), ["Delivered-To: me@example.com", "Received: from a by b"]);
    }
}
