//! Opens the store that the configuration names.
//!
//! Invariant: a data directory with a database of its own is not left aside unseen when the configuration names another one.

use anyhow::anyhow;
use store::{PostgresSettings, Store, StoreError};

use crate::config::Config;

/// Opens the store.
///
/// # Errors
/// The store's error, with what the operator can do about it by [`explained`].
pub async fn open_store(config: &Config) -> Result<Store, StoreError> {
    let (data, options) = (&config.file.data_dir, &config.file.store);
    let Some((url, _)) = address(config)? else { return Store::open(data) };
    if data.join("waypost.db").exists() {
        tracing::warn!(
            data = %data.display(),
            "the data directory has a database of its own, which is not used while store.url names another one; waypost doctor says what to do"
        );
    }
    let node = config.node_name();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let wall_clock: Option<store::WallClock> = Some(|| net::Clock::system().now_ms());
    let password_file = options.password_file.as_ref().map(|path| path.get_ref().clone());
    let settings = PostgresSettings { url, password_file, node, accept_loss: options.accept_loss, version, wall_clock };
    Store::open_postgres(data, settings).await
}

/// Returns the address and the password of a PostgreSQL, if one is configured.
///
/// # Errors
/// The file with the password cannot be read.
pub fn address(config: &Config) -> Result<Option<(String, Option<String>)>, StoreError> {
    let options = &config.file.store;
    let Some(url) = options.url.as_ref().map(|url| url.get_ref().0.with_password().to_owned()) else { return Ok(None) };
    let password = options.password_file.as_ref().map(|path| store::read_password(path.get_ref())).transpose()?;
    Ok(Some((url, password)))
}

/// An error of [`open_store`] for the operator.
pub fn explained(error: &StoreError, config: &Config) -> anyhow::Error {
    let data = &config.file.data_dir;
    // The rest is of the data directory, which a node has too.
    let may_be_shared = !matches!(error, StoreError::Io(_) | StoreError::InUse(_) | StoreError::DatabaseLost { .. });
    if config.file.store.url.is_some() && may_be_shared {
        return shared("cannot open the store", error);
    }
    anyhow!("cannot open the data directory {}: {error}{}", data.display(), hint(error.remedy(data)))
}

/// An error of a PostgreSQL for the operator.
pub fn shared(what: &str, error: &StoreError) -> anyhow::Error {
    anyhow!("{what}: {error}{}", hint(error.shared_remedy()))
}

fn hint(remedy: Option<String>) -> String {
    remedy.map(|remedy| format!("\n  hint: {remedy}")).unwrap_or_default()
}
