//! One order: names are validated, a request for a certificate is signed.
//!
//! RFC 8555 s.7.4, RFC 9773 s.5 (`replaces`). Invariant: what was shown for the validation is taken away however the order ends.

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeHandle, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use std::time::Duration;

use super::account::{Refusal, of_problem};
use super::hook::{self, Verb};
use super::{Challenge, Challenges};

/// The authority must have validated all names within this time, and then issued the certificate within as much.
const WITHIN: Duration = Duration::from_secs(90);

/// The whole order must be done in this time.
const ORDER_WITHIN: Duration = Duration::from_secs(480);

/// What an order needs.
pub(super) struct Prover<'a> {
    pub challenge: &'a Challenge,
    pub challenges: &'a Challenges,
    /// The TXT records that are there.
    pub records: Vec<(String, String)>,
}

/// Orders a certificate for the names; returns its chain as PEM.
pub(super) async fn order(
    account: &Account,
    names: &[String],
    replaces: Option<CertificateIdentifier<'_>>,
    csr: &[u8],
    prover: &mut Prover<'_>,
) -> Result<String, Refusal> {
    let mut order = place(account, names, replaces).await?;
    // Within less time than the attempt has, so that what follows is not cut off.
    let done = tokio::time::timeout(ORDER_WITHIN, validated(&mut order, csr, prover)).await;
    let done = done.unwrap_or_else(|_| Err(format!("the order was not done within {} s", ORDER_WITHIN.as_secs()).into()));
    prover.challenges.clear();
    if let Challenge::Dns(program) = prover.challenge {
        for (name, value) in prover.records.drain(..) {
            if let Err(error) = hook::run(program, Verb::Remove, &name, &value).await {
                tracing::warn!(%error, "a TXT record may have been left behind");
            }
        }
    }
    done
}

/// Says what the certificate replaces where the authority wants to know.
async fn place(account: &Account, names: &[String], replaces: Option<CertificateIdentifier<'_>>) -> Result<Order, Error> {
    let identifiers: Vec<Identifier> = names.iter().map(|name| Identifier::Dns(name.clone())).collect();
    let plain = NewOrder::new(&identifiers);
    let Some(replaces) = replaces else { return account.new_order(&plain).await };
    match account.new_order(&NewOrder::new(&identifiers).replaces(replaces)).await {
        Ok(order) => Ok(order),
        // It was replaced already, or the authority does not know it, or knows nothing of replacing: the order is good without.
        Err(error) => {
            tracing::debug!(%error, "ordered without saying what it replaces");
            account.new_order(&plain).await
        }
    }
}

async fn validated(order: &mut Order, csr: &[u8], prover: &mut Prover<'_>) -> Result<String, Refusal> {
    let policy = RetryPolicy::new().timeout(WITHIN);
    show_all(order, prover).await?;
    match order.poll_ready(&policy).await {
        Ok(OrderStatus::Ready | OrderStatus::Valid) => {}
        Ok(_) => {
            let why = why_invalid(order).await;
            return Err(why.unwrap_or_else(|| "the authority found the order invalid and does not say why".into()).into());
        }
        Err(error) => return Err(why_invalid(order).await.map_or_else(|| error.into(), Refusal::from)),
    }
    order.finalize_csr(csr).await?;
    Ok(order.poll_certificate(&policy).await?)
}

async fn show_all(order: &mut Order, prover: &mut Prover<'_>) -> Result<(), Refusal> {
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
        let mut challenge =
            authorization.challenge(kind.clone()).ok_or("the authority offers no challenge of the kind that acme.challenge names")?;
        show(&challenge, prover).await?;
        challenge.set_ready().await?;
    }
    Ok(())
}

async fn show(challenge: &ChallengeHandle<'_>, prover: &mut Prover<'_>) -> Result<(), String> {
    let authorization = challenge.key_authorization();
    let Identifier::Dns(name) = challenge.identifier().identifier else { return Err("the authority wants no name validated".into()) };
    match prover.challenge {
        Challenge::Http => prover.challenges.show_text(&challenge.token, authorization.as_str()),
        Challenge::TlsAlpn => {
            prover.challenges.show_certificate(name, authorization.digest().as_ref()).map_err(|e| e.to_string())?;
        }
        Challenge::Dns(program) => {
            let record = (format!("_acme-challenge.{name}"), authorization.dns_value());
            // A program that fails may have made it all the same.
            prover.records.push(record.clone());
            hook::run(program, Verb::Add, &record.0, &record.1).await?;
        }
    }
    Ok(())
}

/// What the authority found wrong with a name.
async fn why_invalid(order: &mut Order) -> Option<String> {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        reasons.extend(authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref()).map(|problem| {
            let detail = of_problem(problem);
            format!("{name} was not validated: {}", detail.trim_start_matches("the authority says: "))
        }));
    }
    let text = mail::one_line(&reasons.join("; "));
    (!text.is_empty()).then_some(text)
}
