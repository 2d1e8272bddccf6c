//! `/api/v1/certificates`: certificates in use, and the state of orders.
//!
//! Invariant: a private key never leaves the server.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use mail::Domain;
use net::acme::{RenewalResult, forget, has_order, next_key_digest, states};
use net::{CertificateInUse, CertificateOrigin, Clock, blocking};

use crate::actor::Actor;
use crate::api::{CertificateView, CertificatesView, LeftOutView, OrderView, Renewal, RenewalDone, RenewalOutcome};
use crate::context::CertificateDir;
use crate::control::{Control, ControlError};
use crate::error::ApiError;
use crate::extract::Body;
use crate::recorder::Recorder;

/// Maximum time that a request waits for the CA.
const RENEWAL_WITHIN: Duration = Duration::from_secs(50);

impl CertificateDir {
    /// Whether this domain has a certificate order.
    pub async fn has_order(&self, domain: &Domain) -> bool {
        let (directory, domain) = (self.0.clone(), domain.clone());
        blocking(move || has_order(&directory, &domain)).await
    }

    /// Removes certificate and order of a removed domain; a failure is logged.
    pub async fn forget(&self, domain: Domain) {
        let (directory, name) = (self.0.clone(), domain.clone());
        if let Err(error) = blocking(move || forget(&directory, &name)).await {
            tracing::warn!(%error, %domain, "cannot remove the certificate of a removed domain");
        }
    }
}

fn view(in_use: CertificateInUse) -> CertificateView {
    let directory = in_use.files.certificate.parent().filter(|_| in_use.origin == CertificateOrigin::Issued);
    let name = directory.and_then(|dir| dir.file_name()).map(|name| name.to_string_lossy().into_owned());
    let next_spki_sha256 = directory.and_then(next_key_digest);
    let leaf = in_use.leaf;
    CertificateView {
        name,
        origin: in_use.origin,
        file: in_use.files.certificate.display().to_string(),
        names: leaf.names,
        shown_for: in_use.shown_for,
        is_fallback: in_use.is_fallback,
        issuer: leaf.issuer,
        is_self_signed: leaf.is_self_issued,
        not_before_ms: leaf.not_before_s * 1000,
        not_after_ms: leaf.not_after_s * 1000,
        serial: leaf.serial,
        key_type: leaf.key_type,
        spki_sha256: leaf.spki_sha256,
        next_spki_sha256,
    }
}

pub(crate) async fn list(
    State(control): State<Arc<dyn Control>>,
    State(directory): State<CertificateDir>,
    State(clock): State<Clock>,
) -> Result<Json<CertificatesView>, ApiError> {
    let read = blocking(move || {
        let in_use: Vec<CertificateView> = control.certificates()?.into_iter().map(view).collect();
        Ok::<_, String>((in_use, states(&directory.0)))
    });
    let (certificates, orders) = read.await.map_err(|e| ApiError::internal(e).hint("correct the file, or its path under [tls]"))?;
    let orders = orders.into_iter().map(|(name, state)| OrderView {
        name,
        authority: state.directory,
        names: state.names,
        left_out: state.left_out.into_iter().map(|l| LeftOutView { name: l.name, why: l.why }).collect(),
        renew_at_ms: state.renew_at_ms,
        renew_by: state.renew_by,
        last_attempt_ms: state.last_attempt_ms,
        failures: state.failures,
        last_error: state.last_error,
        next_attempt_ms: state.next_attempt_ms,
    });
    Ok(Json(CertificatesView { now_ms: clock.now_ms(), certificates, orders: orders.collect() }))
}

pub(crate) async fn renew(
    actor: Actor,
    State(control): State<Arc<dyn Control>>,
    State(recorder): State<Recorder>,
    Body(asked): Body<Renewal>,
) -> Result<Json<RenewalDone>, ApiError> {
    let forced = if asked.force { ", also if it is not due" } else { "" };
    recorder.server(
        &actor,
        "certificate",
        &format!("renewal of {} requested{forced}", asked.name.as_deref().unwrap_or("all certificates")),
    );
    let done = match tokio::time::timeout(RENEWAL_WITHIN, control.renew(asked.name, asked.force)).await {
        Err(_) => return Ok(Json(RenewalDone { is_over: false, outcomes: Vec::new() })),
        Ok(done) => done.map_err(|error| match error {
            ControlError::NotRunning => ApiError::conflict("no running server orders certificates")
                .hint("set enabled = true under [acme], then: waypost reload (or start the server: waypost serve)"),
            ControlError::Failed(why) => ApiError::internal(why),
        })?,
    };
    let outcome = |o: RenewalResult| RenewalOutcome { name: o.name, is_well: o.result.is_ok(), text: o.result.unwrap_or_else(|e| e) };
    Ok(Json(RenewalDone { is_over: true, outcomes: done.into_iter().map(outcome).collect() }))
}
