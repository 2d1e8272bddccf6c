//! The owner's page: where it is, links that work once, sessions.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where the owner's page is, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PageView {
    /// Its address; `None` if it is off.
    pub url: Option<String>,
    /// The accounts that are owners.
    pub owners: Vec<String>,
}

/// A link that works once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkView {
    /// The link.
    pub link: String,
    /// The account; `operator` before there is one.
    pub login: String,
    /// When it ends.
    pub expires_ms: i64,
}

/// A link to log in, to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewLoginLink {
    /// The account; default: the only owner.
    pub login: Option<String>,
}

/// A session of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PageSessionView {
    /// Its name, which does not open it.
    pub id: String,
    /// The account; `operator` before there is one.
    pub login: String,
    /// When it began.
    pub begun_ms: i64,
    /// The last use.
    pub used_ms: i64,
    /// The address of the client that began it.
    pub client: String,
    /// The name that the browser gives itself.
    pub browser: String,
}

/// The sessions of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PageSessions {
    /// The sessions, the last used first.
    pub items: Vec<PageSessionView>,
}
