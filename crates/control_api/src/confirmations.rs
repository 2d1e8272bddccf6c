//! `/api/v1/confirmations`: messages by which Gmail asks to confirm an address.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use net::Clock;

use crate::api::{ConfirmationView, Page, TestQuery};
use crate::control::Control;
use crate::error::ApiError;
use crate::extract::{Params, parsed};

pub(crate) async fn list(
    State(control): State<Arc<dyn Control>>,
    State(clock): State<Clock>,
    Params(query): Params<TestQuery>,
) -> Result<Json<Page<ConfirmationView>>, ApiError> {
    let address = parsed("an address", &query.address)?;
    let found = control.confirmations(&address, clock.now_ms());
    let view = |c: mta::Confirmation| ConfirmationView { address: c.address.to_string(), code: c.code, link: c.link, at_ms: c.at_ms };
    // The server keeps few of them, so one page has them all.
    Ok(Json(Page { items: found.into_iter().map(view).collect(), next_cursor: None }))
}
