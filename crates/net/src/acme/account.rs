//! The account with an authority: made once, its key kept.
//!
//! RFC 8555 s.7.3, RFC 8555 s.6.5. Invariant: each directory has an account of its own.

use std::error::Error as _;
use std::fs;
use std::path::PathBuf;

use instant_acme::{Account, AccountCredentials, Error, NewAccount};

use super::files::{private_directory, write};
use super::{AcmeSettings, Directories};

const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";

/// Why the authority did not do what it was asked to.
#[derive(Debug)]
pub(super) struct Refusal {
    pub text: String,
    /// Only our nonces were not to its liking (RFC 8555 s.6.5): nothing is wrong with the request.
    pub is_of_nonce: bool,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let is_of_nonce = matches!(&error, Error::Api(problem) if problem.r#type.as_deref() == Some(BAD_NONCE));
        Self { text: explain(&error), is_of_nonce }
    }
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Self { text, is_of_nonce: false }
    }
}

impl From<&str> for Refusal {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Opens the account, or makes it.
pub(super) async fn open(settings: &AcmeSettings, directories: &Directories) -> Result<Account, Refusal> {
    let path = path(settings, directories);
    let builder = match &settings.authorities {
        Some(file) => Account::builder_with_root(file),
        None => Account::builder(),
    };
    let builder = builder?;
    if path.exists() {
        let unreadable = |e: String| format!("the account {} cannot be used: {e}", path.display());
        let text = fs::read_to_string(&path).map_err(|e| unreadable(e.to_string()))?;
        let credentials: AccountCredentials = serde_json::from_str(&text).map_err(|e| unreadable(e.to_string()))?;
        return Ok(builder.from_credentials(credentials).await?);
    }
    let contact: Vec<String> = settings.contact.iter().map(|address| format!("mailto:{address}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder.create(&new, settings.directory.clone(), None).await?;
    let text = serde_json::to_string_pretty(&credentials).map_err(|e| e.to_string())?;
    private_directory(&directories.accounts)
        .and_then(|()| write(&path, &text, 0o600))
        .map_err(|e| format!("the account cannot be kept in {}: {e}", path.display()))?;
    tracing::info!(directory = settings.directory, "an ACME account was made");
    Ok(account)
}

fn path(settings: &AcmeSettings, directories: &Directories) -> PathBuf {
    let address = settings.directory.trim_start_matches("https://");
    let name: String = address.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    directories.accounts.join(format!("{name}.json"))
}

/// The error with what caused it, on one line.
fn explain(error: &Error) -> String {
    let mut text = error.to_string();
    // The outermost says "other" for what its cause says better.
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(&format!(": {said}"));
        }
        cause = error.source();
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use instant_acme::Problem;

    use super::*;

    #[test]
    fn a_nonce_that_is_refused_is_no_fault_of_the_request() {
        let problem = |kind: &str| -> Refusal {
            let problem: Problem = serde_json::from_value(serde_json::json!({ "type": kind, "detail": "no\nmore" })).unwrap();
            Error::Api(problem).into()
        };
        assert!(problem(BAD_NONCE).is_of_nonce);
        let other = problem("urn:ietf:params:acme:error:rateLimited");
        assert!(!other.is_of_nonce && other.text.contains("no more"), "{other:?}");
        assert!(!Refusal::from("what else").is_of_nonce);
    }
}
