//! The secrets of return addresses, which all nodes of a cluster need: an address that one has signed is verified by every other.
//!
//! The key that seals passwords is not shared: a copy of the database must not be enough to read them. Invariant: a file that exists is never
//! overwritten.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use store::Store;

use crate::config;

/// The name of the value that the nodes share.
const NAME: &str = "srs.secrets";

/// Makes the file of secrets if it is missing: from what the nodes share, or a new one, which they share then.
pub async fn make(store: &Store, path: &Path, now_ms: i64) -> Result<()> {
    if store.node_name().is_none() {
        return config::secrets::make(path);
    }
    let is_missing = !path.exists();
    if is_missing
        && let Some(shared) = store.shared_get(NAME).await.context("cannot read the secrets of return addresses that the nodes share")?
    {
        return config::secrets::write(path, &shared);
    }
    config::secrets::make(path)?;
    let own = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let counts = store.shared_offer(NAME, own.clone(), now_ms).await.context("cannot share the secrets of return addresses")?;
    if counts != own && is_missing {
        // Another node was faster.
        fs::remove_file(path).with_context(|| format!("cannot replace {}", path.display()))?;
        return config::secrets::write(path, &counts);
    }
    if counts != own {
        tracing::warn!(
            file = %path.display(),
            "the secrets of return addresses differ from those of the other nodes, which do not accept what this node signs, nor this one what they do; copy \
             the file of one node to all, or remove it here and restart"
        );
    }
    Ok(())
}
