//! How aliases are used: counts, first and last sender, from the history.
//!
//! Invariant: a history that is off or damaged leaves the numbers out, and nothing else.

use std::collections::HashMap;

use control_api::api::Page;
use serde::Deserialize;

use crate::api::{Api, segment, with_query};

/// Messages of a period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(in crate::screens) struct UseCounts {
    pub accepted: u64,
    pub refused: u64,
}

/// A sender and when it wrote.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in crate::screens) struct Sender {
    pub from: String,
    pub at_ms: i64,
}

/// The use of one alias.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(in crate::screens) struct AliasUse {
    alias: String,
    pub today: UseCounts,
    pub week: UseCounts,
    pub month: UseCounts,
    pub first: Option<Sender>,
    pub last: Option<Sender>,
}

/// The use of the aliases of one page.
pub(in crate::screens) struct Usage(HashMap<String, AliasUse>);

impl Usage {
    /// Asks for the use of these aliases.
    pub async fn of(api: &Api, aliases: impl Iterator<Item = &str>) -> Self {
        let names: Vec<String> = aliases.map(str::to_ascii_lowercase).collect();
        if names.is_empty() {
            return Self(HashMap::new());
        }
        let found: Result<Page<AliasUse>, _> = api.get(&with_query("/history/aliases", &[("sources", Some(&names.join(",")))])).await;
        Self(found.map(|found| found.items.into_iter().map(|used| (used.alias.to_ascii_lowercase(), used)).collect()).unwrap_or_default())
    }

    /// Returns the use of an alias, if it was ever used.
    pub fn of_alias(&self, source: &str) -> Option<&AliasUse> {
        self.0.get(&source.to_ascii_lowercase())
    }
}

/// Asks for the use of one alias.
pub(in crate::screens) async fn use_of(api: &Api, source: &str) -> Option<AliasUse> {
    api.get(&format!("/history/aliases/{}", segment(source))).await.ok()
}
