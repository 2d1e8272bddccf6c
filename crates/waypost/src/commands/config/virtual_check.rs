//! `config check`: invalid lines of the virtual file and of the secrets of return addresses.
//!
//! Invariant: reads only the files, so that the answer is the same with and without a server.

use std::path::Path;

use crate::config::{Config, ConfigError, ConfigErrors, secrets};

/// Returns the configuration unless a file that it names has invalid lines.
pub(super) fn checked(config: Config) -> Result<Config, ConfigErrors> {
    let mut errors: Vec<ConfigError> = Vec::new();
    if let Some(faults) = config.settings.virtual_file.as_ref().map(mta::VirtualSource::check) {
        let hint = "until the file is readable, mail to unknown addresses is deferred";
        errors.extend(faults.whole.iter().map(|why| ConfigError { hint: Some(hint.into()), ..error(&faults.path, None, why) }));
        errors.extend(faults.lines.iter().map(|(line, why)| error(&faults.path, Some(*line), why)));
    }
    let path = config.file.srs_secrets();
    errors.extend(secrets::faults(&path).iter().map(|(line, why)| error(&path, Some(*line), why)));
    if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
}

fn error(path: &Path, line: Option<usize>, what: &str) -> ConfigError {
    ConfigError { path: path.to_owned(), at: line.map(|line| (line, 1)), what: what.to_owned(), hint: None }
}
