//! `/api/v1/health`: what the checks of `waypost doctor` found, run by the server itself.
//!
//! Invariant: a request waits for no check, except for the one that runs them; the answer says when the check was.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::api::{CheckName, CheckQuery, HealthView};
use crate::control::{Control, ControlError};
use crate::error::ApiError;
use crate::extract::Params;

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

/// Runs all checks now, for `waypost doctor`: each finding is a line of JSON, as soon as it is found.
pub(crate) async fn run(State(control): State<Arc<dyn Control>>, Params(query): Params<CheckQuery>) -> Result<Response, ApiError> {
    let findings = control.run_checks(query).map_err(|error| match error {
        ControlError::NotRunning => not_running(),
        ControlError::Failed(why) => ApiError::new(StatusCode::TOO_MANY_REQUESTS, why).hint("wait until another check has ended"),
    })?;
    let lines = stream::unfold(findings, |mut findings| async move {
        let finding = findings.recv().await?;
        let mut line = serde_json::to_vec(&finding).unwrap_or_default();
        line.push(b'\n');
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), findings))
    });
    Ok(([(CONTENT_TYPE, "application/jsonl")], Body::from_stream(lines)).into_response())
}
