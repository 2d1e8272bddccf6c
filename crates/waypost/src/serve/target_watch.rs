//! The daily check of alias targets: reports domains that accept no mail to the postmaster.
//!
//! RFC 5321 s.5.1, RFC 7505. Invariant: each such domain is reported once, also across restarts; an unanswered query is not reported.

use std::collections::BTreeSet;

use anyhow::Result;
use control_api::api::{TargetLook, TargetLooks};
use events::{Event, EventKind, Fact};

use super::dns_watch::DnsWatch;
use super::load_config;
use super::seen_file::SeenFile;
use crate::transport::Transport;

/// Maximum domains of one check that are recorded.
const RECORDED_MAX: usize = 20;

/// Checks once.
pub(super) async fn look(DnsWatch { path, store, router, postmaster, events, .. }: &DnsWatch) -> Result<()> {
    let config = load_config(path).await?;
    let mut api = Transport::InProcess(Box::new(router.clone()));
    let looks: TargetLooks = api.get("/api/v1/aliases/targets").await?;
    let file = SeenFile::of_all_nodes(&config.file.data_dir, "targets-seen.json", store);
    let before: BTreeSet<String> = file.read().await?.unwrap_or_default();
    let wrong: Vec<&TargetLook> = looks.doubts.iter().filter(|look| look.is_wrong).collect();
    let new: Vec<&TargetLook> = wrong.iter().filter(|look| !before.contains(&look.domain)).copied().collect();
    tracing::info!(domains = looks.looked, wrong = wrong.len(), new = new.len(), "alias targets checked");
    for look in new.iter().take(RECORDED_MAX) {
        let event = || Event::new(EventKind::TargetWrong, net::Clock::system().now_ms()).fact(Fact::Domain, &look.domain);
        events.record_with(|| event().reason(Some(look.to_string())));
    }
    if !new.is_empty() && !postmaster.notify(&subject(&new), &text(&new)).await? {
        tracing::warn!("alias targets accept no mail, and no postmaster is set to notify");
    }
    // An unanswered query changes nothing.
    let silent = looks.doubts.iter().filter(|look| !look.is_wrong && before.contains(&look.domain));
    let now: BTreeSet<&str> = wrong.iter().copied().chain(silent).map(|look| look.domain.as_str()).collect();
    file.write(&now).await
}

fn subject(new: &[&TargetLook]) -> String {
    match new {
        [only] => format!("mail to {} cannot be delivered", only.domain),
        several => format!("mail to {} target domains cannot be delivered", several.len()),
    }
}

fn text(new: &[&TargetLook]) -> String {
    let mut text = "Aliases forward to these addresses, and mail to them cannot be delivered, or goes to a wrong server:\n\n".to_owned();
    new.iter().for_each(|look| text.push_str(&format!("  {look}\n")));
    text.push_str("\nOn the server:\n\n  waypost alias list                          shows the aliases\n  waypost alias add ALIAS TARGET --replace    changes one\n");
    text
}
