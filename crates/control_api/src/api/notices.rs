//! Tests of the channels of notices, as values of the API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which channel is tested.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoticeTest {
    /// `mail`, `webhook` or `ntfy`; `None` for all that are set up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// What a channel answered to a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeAnswer {
    /// The channel.
    pub channel: String,
    /// Whether it accepted the notice.
    pub ok: bool,
    /// The answer, in words.
    pub answer: String,
}
