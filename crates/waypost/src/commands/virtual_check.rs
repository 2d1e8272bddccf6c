//! `config check`: the lines of the virtual file that would not be in force.
//!
//! Invariant: nothing but the file is looked at, so that the answer is the same with and without a server.

use crate::config::{Config, ConfigError, ConfigErrors};

/// The configuration again, unless its virtual file has faults.
pub(super) fn checked(config: Config) -> Result<Config, ConfigErrors> {
    let Some(faults) = config.settings.virtual_file.as_ref().map(mta::VirtualSource::check) else { return Ok(config) };
    let error = |at: Option<(usize, usize)>, what: String, hint: &str| ConfigError {
        path: faults.path.clone(),
        at,
        what,
        hint: Some(hint.to_owned()).filter(|hint| !hint.is_empty()),
    };
    let whole = faults.whole.iter().map(|why| error(None, why.clone(), "until it can be read, mail to unknown addresses is deferred"));
    let lines = faults.lines.iter().map(|(line, why)| error(Some((*line, 1)), why.clone(), ""));
    let errors: Vec<ConfigError> = whole.chain(lines).collect();
    if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
}
