//! `/v1/certificates`: what is shown to clients, and how the orders stand.
//!
//! Invariant: a key never leaves the server, nor its path's content.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use net::acme::{RenewalResult, next_key_digest, states};
use net::{CertificateInUse, CertificateOrigin};

use crate::api::{CertificateView, CertificatesView, LeftOutView, OrderView, Renewal, RenewalDone, RenewalOutcome};
use crate::context::CertificateDir;
use crate::control::{Control, ControlError};
use crate::error::ApiError;
use crate::extract::Body;

/// A request for a renewal waits so long for the authority.
const RENEWAL_WITHIN: Duration = Duration::from_secs(50);

/// Tries to renew now: one certificate or all, and whether also what is not due.
pub type RenewCertificates =
    Arc<dyn Fn(Option<String>, bool) -> Pin<Box<dyn Future<Output = Result<Vec<RenewalResult>, String>> + Send>> + Send + Sync>;

/// What the routes know of certificates.
#[derive(Clone)]
pub struct Certificates {
    /// Those in use.
    pub in_use: Arc<dyn Fn() -> Result<Vec<CertificateInUse>, String> + Send + Sync>,
    /// Where those that an authority issued are, with their state.
    pub directory: PathBuf,
    /// Finds what renews; `None` where no server runs or no authority is named. A reload may change it.
    pub renewer: Arc<dyn Fn() -> Option<RenewCertificates> + Send + Sync>,
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

pub(crate) async fn list(State(shared): State<Shared>) -> Result<Json<CertificatesView>, ApiError> {
    let certificates = &shared.handles.certificates;
    let in_use = (certificates.in_use)().map_err(|e| ApiError::internal(e).hint("correct the file, or its place under [tls]"))?;
    let order = |(name, state): (String, net::acme::CertificateState)| OrderView {
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

pub(crate) async fn renew(State(control): State<Arc<dyn Control>>, Body(asked): Body<Renewal>) -> Result<Json<RenewalDone>, ApiError> {
    tracing::info!(name = asked.name, force = asked.force, "certificates are renewed, by request");
    let done = match tokio::time::timeout(RENEWAL_WITHIN, control.renew(asked.name, asked.force)).await {
        Err(_) => return Ok(Json(RenewalDone { is_over: false, outcomes: Vec::new() })),
        Ok(done) => done.map_err(|error| match error {
            ControlError::NotRunning => ApiError::conflict("no server runs that orders certificates")
                .hint("set enabled = true under [acme], then: waypost reload (or start the server: waypost serve)"),
            ControlError::Failed(why) => ApiError::internal(why),
        })?,
    };
    let outcome = |o: RenewalResult| RenewalOutcome { name: o.name, is_well: o.result.is_ok(), text: o.result.unwrap_or_else(|e| e) };
    Ok(Json(RenewalDone { is_over: true, outcomes: done.map_err(ApiError::internal)?.into_iter().map(outcome).collect() }))
}
