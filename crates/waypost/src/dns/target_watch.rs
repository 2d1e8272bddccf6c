//! The daily look at where aliases lead: a domain at which mail cannot arrive is a letter to the postmaster.
//!
//! RFC 5321 s.5.1, RFC 7505. Invariant: each such domain is written of once, also across restarts; that DNS gives no answer is no reason to write.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;
use axum::Router;
use control_api::api::{TargetLook, TargetLooks};
use mta::Postmaster;

use super::watch::save;
use crate::config;
use crate::transport::Transport;

/// Looks once.
pub(super) async fn look(path: &Path, router: &Router, postmaster: &Postmaster) -> Result<()> {
    let config = config::load(path)?;
    let mut api = Transport::InProcess(Box::new(router.clone()));
    let looks: TargetLooks = api.get("/v1/aliases/targets").await?;
    let file = config.file.data_dir.join("targets-seen.json");
    let before: BTreeSet<String> = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let wrong: Vec<&TargetLook> = looks.doubts.iter().filter(|look| look.is_wrong).collect();
    let new: Vec<&TargetLook> = wrong.iter().filter(|look| !before.contains(&look.domain)).copied().collect();
    tracing::info!(domains = looks.looked, wrong = wrong.len(), new = new.len(), "the targets of aliases are looked up");
    if !new.is_empty() && !postmaster.tell(&subject(&new), &text(&new)).await? {
        tracing::warn!("mail cannot arrive at targets of aliases, and there is no postmaster to tell");
    }
    // What could not be looked up is neither mended nor lost.
    let silent = looks.doubts.iter().filter(|look| !look.is_wrong && before.contains(&look.domain));
    let now: BTreeSet<&str> = wrong.iter().copied().chain(silent).map(|look| look.domain.as_str()).collect();
    save(&file, &now)
}

fn subject(new: &[&TargetLook]) -> String {
    match new {
        [only] => format!("mail to {} cannot arrive", only.domain),
        several => format!("mail to {} domains of targets cannot arrive", several.len()),
    }
}

fn text(new: &[&TargetLook]) -> String {
    let mut text = "Aliases lead to these addresses, and mail to them cannot arrive, or arrives at somebody else's:\n\n".to_owned();
    new.iter().for_each(|look| text.push_str(&format!("  {look}\n")));
    text.push_str("\nOn the server:\n\n  waypost alias list                          shows which aliases these are\n  waypost alias add ALIAS TARGET --replace    changes one\n");
    text
}
