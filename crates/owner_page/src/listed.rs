//! A page of a list of the API.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::{Api, Problem, with_query};

/// Maximum pages of a list that is read as a whole.
const PAGES_MAX: usize = 20;

/// A page of a list: items, and where the next page begins.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Listed<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last.
    #[serde(default)]
    pub next_cursor: Option<String>,
    /// The number of all items, if the API counts them.
    #[serde(default)]
    pub total: Option<u64>,
}

impl<T: DeserializeOwned> Listed<T> {
    /// Returns a short list as a whole.
    ///
    /// # Errors
    /// The API refuses.
    pub async fn all(api: &Api, path: &str) -> Result<Vec<T>, Problem> {
        let mut all = Vec::new();
        let mut cursor = None;
        for _ in 0..PAGES_MAX {
            let page: Self = api.get(&with_query(path, &[("cursor", cursor.as_deref())])).await?;
            all.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(all)
    }
}
