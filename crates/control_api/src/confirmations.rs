//! `/v1/confirmations`: what Gmail has sent to have an address confirmed.

use axum::Json;
use axum::extract::State;

use crate::api::{ConfirmationView, TestQuery};
use crate::error::ApiError;
use crate::extract::{Params, parsed};
use crate::server::Shared;

pub(crate) async fn list(State(shared): State<Shared>, Params(query): Params<TestQuery>) -> Result<Json<Vec<ConfirmationView>>, ApiError> {
    let address = parsed("an address", &query.address)?;
    let found = shared.handles.confirmations.of(&address, shared.handles.clock.now_ms());
    let view = |c: mta::Confirmation| ConfirmationView { address: c.address.to_string(), code: c.code, link: c.link, at_ms: c.at_ms };
    Ok(Json(found.into_iter().map(view).collect()))
}
