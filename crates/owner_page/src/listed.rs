//! Short lists of the API, read as a whole.

use control_api::api::Page;
use serde::de::DeserializeOwned;

use crate::api::{Api, Problem, with_query};

/// Maximum pages of a list that is read as a whole.
const PAGES_MAX: usize = 20;

/// Returns all items of a list that is short by its nature, such as the domains.
///
/// # Errors
/// The API refuses.
pub(crate) async fn all<T: DeserializeOwned>(api: &Api, path: &str) -> Result<Vec<T>, Problem> {
    let mut all = Vec::new();
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let page: Page<T> = api.get(&with_query(path, &[("cursor", cursor.as_deref())])).await?;
        all.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(all)
}
