//! `/api/v1/health`: what the checks of `waypost doctor` found, run by the server itself.
//!
//! Invariant: a request waits for no check; the answer says when the check was.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::{CheckName, HealthView};
use crate::control::Control;
use crate::error::ApiError;

fn not_running() -> ApiError {
    ApiError::conflict("only a running server checks itself").hint("start it (waypost serve), or run: waypost doctor")
}

/// Returns the result of the last check; starts one if the last is old.
pub(crate) async fn show(State(control): State<Arc<dyn Control>>) -> Result<Json<HealthView>, ApiError> {
    control.health().map(Json).ok_or_else(not_running)
}

/// Starts a check in the background.
pub(crate) async fn check(State(control): State<Arc<dyn Control>>) -> Result<(StatusCode, Json<HealthView>), ApiError> {
    if !control.check_health() {
        return Err(not_running());
    }
    let health = control.health().ok_or_else(not_running)?;
    Ok((StatusCode::ACCEPTED, Json(HealthView { is_checking: true, ..health })))
}

/// Returns a name for the sessions of a check that the caller is about to make.
pub(crate) async fn name(State(control): State<Arc<dyn Control>>) -> Result<Json<CheckName>, ApiError> {
    control.check_name().map(|hello| Json(CheckName { hello })).ok_or_else(not_running)
}
