//! One order: the authority validates the names, then signs the certificate request.
//!
//! RFC 8555 s.7.4, RFC 9773 s.5 (`replaces`). Invariant: challenge responses are removed however the order ends.

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeHandle, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use std::time::Duration;

use super::account::{AcmeFailure, explain_problem};
use super::hook::{self, HookAction};
use super::{Challenge, Challenges, Peers};

/// Time limit for the validation of all names, and again for the issuance.
const STEP_TIMEOUT: Duration = Duration::from_secs(90);

/// Time limit for the whole order.
const ORDER_TIMEOUT: Duration = Duration::from_secs(480);

/// Answers the challenges of an order.
pub(super) struct Prover<'a> {
    pub challenge: &'a Challenge,
    pub challenges: &'a Challenges,
    /// They answer too.
    pub peers: &'a dyn Peers,
    /// The published TXT records.
    pub records: Vec<(String, String)>,
}

/// Orders a certificate for the names; returns its chain as PEM.
pub(super) async fn order(
    account: &Account,
    names: &[String],
    replaces: Option<CertificateIdentifier<'_>>,
    csr: &[u8],
    prover: &mut Prover<'_>,
) -> Result<String, AcmeFailure> {
    let mut order = place(account, names, replaces).await?;
    // Shorter than the limit of the attempt, so that the cleanup is not cancelled.
    let done = tokio::time::timeout(ORDER_TIMEOUT, finish_order(&mut order, csr, prover)).await;
    let done = done.unwrap_or_else(|_| Err(format!("the order did not finish within {} s", ORDER_TIMEOUT.as_secs()).into()));
    prover.challenges.clear();
    prover.peers.hide().await;
    if let Challenge::Dns(program) = prover.challenge {
        for (name, value) in prover.records.drain(..) {
            if let Err(error) = hook::run(program, HookAction::Remove, &name, &value).await {
                tracing::warn!(%error, "a TXT record may still be published");
            }
        }
    }
    done
}

/// Says which certificate it replaces, if the authority supports that.
async fn place(account: &Account, names: &[String], replaces: Option<CertificateIdentifier<'_>>) -> Result<Order, Error> {
    let identifiers: Vec<Identifier> = names.iter().map(|name| Identifier::Dns(name.clone())).collect();
    let plain = NewOrder::new(&identifiers);
    let Some(replaces) = replaces else { return account.new_order(&plain).await };
    match account.new_order(&NewOrder::new(&identifiers).replaces(replaces)).await {
        Ok(order) => Ok(order),
        // It is replaced already, or the authority does not support `replaces`: the order is valid without.
        Err(error) => {
            tracing::debug!(%error, "ordering without `replaces`");
            account.new_order(&plain).await
        }
    }
}

async fn finish_order(order: &mut Order, csr: &[u8], prover: &mut Prover<'_>) -> Result<String, AcmeFailure> {
    let policy = RetryPolicy::new().timeout(STEP_TIMEOUT);
    answer_challenges(order, prover).await?;
    match order.poll_ready(&policy).await {
        Ok(OrderStatus::Ready | OrderStatus::Valid) => {}
        Ok(_) => {
            let why = why_invalid(order).await;
            return Err(why.unwrap_or_else(|| "the authority calls the order invalid, without a reason".into()).into());
        }
        Err(error) => return Err(why_invalid(order).await.map_or_else(|| error.into(), AcmeFailure::from)),
    }
    order.finalize_csr(csr).await?;
    Ok(order.poll_certificate(&policy).await?)
}

async fn answer_challenges(order: &mut Order, prover: &mut Prover<'_>) -> Result<(), AcmeFailure> {
    let kind = match prover.challenge {
        Challenge::Http => ChallengeType::Http01,
        Challenge::TlsAlpn => ChallengeType::TlsAlpn01,
        Challenge::Dns(_) => ChallengeType::Dns01,
    };
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let mut challenge = authorization.challenge(kind.clone()).ok_or("the authority does not offer the challenge of acme.challenge")?;
        publish_response(&challenge, prover).await?;
        prover.peers.show().await?;
        challenge.set_ready().await?;
    }
    Ok(())
}

async fn publish_response(challenge: &ChallengeHandle<'_>, prover: &mut Prover<'_>) -> Result<(), String> {
    let authorization = challenge.key_authorization();
    let Identifier::Dns(name) = challenge.identifier().identifier else {
        return Err("the authority asks to validate something that is not a DNS name".into());
    };
    match prover.challenge {
        Challenge::Http => prover.challenges.show_text(&challenge.token, authorization.as_str()),
        Challenge::TlsAlpn => {
            prover.challenges.show_certificate(name, authorization.digest().as_ref()).map_err(|e| e.to_string())?;
        }
        Challenge::Dns(program) => {
            let record = (format!("_acme-challenge.{name}"), authorization.dns_value());
            // A program that fails may have published it nevertheless.
            prover.records.push(record.clone());
            hook::run(program, HookAction::Add, &record.0, &record.1).await?;
        }
    }
    Ok(())
}

/// The authority's reasons, for each name that it could not validate.
async fn why_invalid(order: &mut Order) -> Option<String> {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        reasons.extend(authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref()).map(|problem| {
            let detail = explain_problem(problem);
            format!("{name} was not validated: {}", detail.trim_start_matches("the authority says: "))
        }));
    }
    let text = mail::one_line(&reasons.join("; "));
    (!text.is_empty()).then_some(text)
}
