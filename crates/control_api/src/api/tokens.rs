//! Tokens of the API, as values of the API.
//!
//! Invariant: a token is in the response to the request that made it, and nowhere else.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A token, without itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// Its scopes: `read`, `aliases`, `queue`, `admin`, `own`.
    pub scopes: Vec<String>,
    /// The domains that it is limited to; empty: all.
    pub domains: Vec<String>,
    /// The account that it is for: where the aliases of a password manager lead.
    pub login: Option<String>,
    /// When it was made.
    pub made_ms: i64,
    /// When it ends.
    pub until_ms: Option<i64>,
    /// When it was used last, to the minute.
    pub used_ms: Option<i64>,
}

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Its name: the program or device that will use it.
    #[schema(min_length = 1, max_length = 60)]
    pub name: String,
    /// Its scopes: `read`, `aliases`, `queue`, `admin`, `own` (the aliases and passwords of its account).
    #[schema(min_items = 1)]
    pub scopes: Vec<String>,
    /// The domains that it is limited to; empty: all.
    #[serde(default)]
    pub domains: Vec<String>,
    /// The account that it is for.
    #[serde(default)]
    pub login: Option<String>,
    /// The number of days after which it ends; without one, it does not.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3650)]
    pub days: Option<u32>,
}

/// A token that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MadeToken {
    /// The token; it is shown only once.
    pub token: String,
    /// Its name.
    pub name: String,
    /// When it ends.
    pub until_ms: Option<i64>,
}
