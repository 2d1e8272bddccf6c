//! `/api/v1/dns`: the DNS records that the server needs, and whether DNS has them.
//!
//! Invariant: plan and judgement are those of the crate `dns_plan`; a comparison is not repeated within seconds, for any client.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use mail::Domain;
use mta::LiveDirectory;
use net::acme::next_key_digest;
use net::{CertificateOrigin, blocking};

use crate::api::{DnsQuery, DnsView, KeyView};
use crate::control::{Control, DnsInputs};
use crate::error::ApiError;
use crate::extract::{Body, Params, parsed};
use crate::keys;

/// Returns the planned records with their states at the last comparison.
pub(crate) async fn show(
    State(control): State<Arc<dyn Control>>,
    State(live): State<Arc<LiveDirectory>>,
    Params(query): Params<DnsQuery>,
) -> Result<Json<DnsView>, ApiError> {
    view(control, &live, query, false).await
}

/// Compares DNS with the plan now.
pub(crate) async fn check(
    State(control): State<Arc<dyn Control>>,
    State(live): State<Arc<LiveDirectory>>,
    Body(query): Body<DnsQuery>,
) -> Result<Json<DnsView>, ApiError> {
    view(control, &live, query, true).await
}

async fn view(control: Arc<dyn Control>, live: &LiveDirectory, query: DnsQuery, compare: bool) -> Result<Json<DnsView>, ApiError> {
    let only: Option<Domain> = query.domain.map(|name| parsed("a domain", &name)).transpose()?;
    let directory = live.current();
    let domains: Vec<Domain> = directory.contents().domains.iter().filter(|d| d.enabled).map(|d| d.name.clone()).collect();
    if let Some(only) = only.as_ref().filter(|only| !domains.contains(only)) {
        return Err(ApiError::missing(format!("{only} is not hosted here")).hint("waypost domain list shows the hosted domains"));
    }
    let of_hosts = control.clone();
    let tlsa = blocking(move || own_key_digests(of_hosts.as_ref())).await;
    let keys: Vec<KeyView> = directory.contents().keys.iter().map(keys::view).collect();
    let nodes = control.nodes().await?;
    let mut view = control.dns(DnsInputs { domains, nodes, keys, tlsa, compare }).await.map_err(|why| {
        ApiError::conflict(format!("DNS could not be compared with the plan: {why}")).hint("check [dns] in the configuration")
    })?;
    if let Some(only) = only {
        let only = only.to_string();
        view.records.retain(|record| record.domain.as_ref().is_none_or(|domain| *domain == only));
        view.zone_file = view
            .records
            .iter()
            .filter(|r| r.record_type != "PTR" && !r.line.is_empty())
            .map(|record| format!("{}\n", record.line))
            .collect();
    }
    Ok(Json(view))
}

/// The digests of the keys of certificates in use, current and next, by the names for which they are shown.
fn own_key_digests(control: &dyn Control) -> Vec<(Vec<String>, String)> {
    let mut digests = Vec::new();
    for certificate in control.certificates().unwrap_or_default() {
        let issued = Some(&certificate.files.certificate).filter(|_| certificate.origin == CertificateOrigin::Issued);
        let next = issued.and_then(|file| file.parent()).and_then(next_key_digest);
        digests
            .extend([Some(certificate.leaf.spki_sha256), next].into_iter().flatten().map(|digest| (certificate.shown_for.clone(), digest)));
    }
    digests
}
