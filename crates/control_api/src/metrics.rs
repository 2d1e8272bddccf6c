//! `/metrics`: the metrics of the running server, for a scraper with a token.
//!
//! RFC 9110 s.12.5.1. Invariant: the text is that of the listener for metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};

use crate::control::{Control, ControlError};
use crate::error::ApiError;

pub(crate) async fn show(State(control): State<Arc<dyn Control>>, headers: HeaderMap) -> Result<Response, ApiError> {
    match control.metrics(&accepted(&headers)).await {
        Ok((content_type, text)) => Ok(([(CONTENT_TYPE, HeaderValue::from_static(content_type))], text).into_response()),
        Err(ControlError::NotRunning) => Err(ApiError::conflict("the server is not running").hint("start it: waypost serve")),
        Err(ControlError::Failed(error)) => Err(ApiError::conflict(error)),
    }
}

/// Returns the Accept fields of a request as one list (RFC 9110 s.5.3).
pub fn accepted(headers: &HeaderMap) -> String {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",")
}
