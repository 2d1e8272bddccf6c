//! The account at a certificate authority: created once, its key kept.
//!
//! RFC 8555 s.7.3, RFC 8555 s.6.5. Invariant: one account for each directory URL.

use std::fs;
use std::path::PathBuf;

use instant_acme::{Account, AccountCredentials, Error, NewAccount, Problem};

use super::files::{private_directory, write};
use super::{AcmeSettings, Directories};
use crate::blocking::blocking;

const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";

/// Why a request to the authority failed.
#[derive(Debug)]
pub(super) struct AcmeFailure {
    pub text: String,
    /// It refused only our nonces (RFC 8555 s.6.5): the request itself is fine.
    pub is_bad_nonce: bool,
}

impl From<Error> for AcmeFailure {
    fn from(error: Error) -> Self {
        let is_bad_nonce = matches!(&error, Error::Api(problem) if problem.r#type.as_deref() == Some(BAD_NONCE));
        Self { text: explain(&error), is_bad_nonce }
    }
}

impl From<String> for AcmeFailure {
    fn from(text: String) -> Self {
        Self { text, is_bad_nonce: false }
    }
}

impl From<&str> for AcmeFailure {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Opens the account, or creates it.
pub(super) async fn open(settings: &AcmeSettings, directories: &Directories) -> Result<Account, AcmeFailure> {
    let path = path(settings, directories);
    let (authorities, account_file) = (settings.authorities.clone(), path.clone());
    let (builder, saved) = blocking(move || {
        let builder = match &authorities {
            Some(file) => Account::builder_with_root(file),
            None => Account::builder(),
        };
        (builder, account_file.exists().then(|| fs::read_to_string(&account_file)))
    })
    .await;
    let builder = builder?;
    if let Some(text) = saved {
        let unreadable = |e: String| format!("the account {} cannot be used: {e}", path.display());
        let text = text.map_err(|e| unreadable(e.to_string()))?;
        let credentials: AccountCredentials = serde_json::from_str(&text).map_err(|e| unreadable(e.to_string()))?;
        return Ok(builder.from_credentials(credentials).await?);
    }
    let contact: Vec<String> = settings.contact.iter().map(|address| format!("mailto:{address}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder.create(&new, settings.directory.clone(), None).await?;
    let text = serde_json::to_string_pretty(&credentials).map_err(|e| e.to_string())?;
    let (accounts, account_file) = (directories.accounts.clone(), path.clone());
    blocking(move || private_directory(&accounts).and_then(|()| write(&account_file, &text, 0o600)))
        .await
        .map_err(|e| format!("the account cannot be saved in {}: {e}", path.display()))?;
    tracing::info!(directory = settings.directory, "created an ACME account");
    Ok(account)
}

fn path(settings: &AcmeSettings, directories: &Directories) -> PathBuf {
    let address = settings.directory.trim_start_matches("https://");
    let name: String = address.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    directories.accounts.join(format!("{name}.json"))
}

/// What happened and what to do, on one line.
fn explain(error: &Error) -> String {
    let text: String = match error {
        Error::Api(problem) => explain_problem(problem),
        Error::Timeout(_) => "the authority did not finish in time; Waypost retries later".into(),
        Error::Json(_) => "the authority's answer is not an ACME directory: check acme.directory".into(),
        Error::InvalidUri(_) => "the authority gave an invalid URL: check acme.directory".into(),
        Error::Unsupported(what) => format!("the authority does not support {what}"),
        Error::Str(what) => format!("the authority left out {what}"),
        Error::Crypto | Error::KeyRejected => {
            "the account's key cannot be used: move its file away, and Waypost creates a new account".into()
        }
        other => unreachable_authority(other),
    };
    mail::one_line(&text)
}

/// The innermost cause says what the system found; those around it only say what was attempted.
fn unreachable_authority(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let reason = cause.to_string();
    match reason.contains("UnknownIssuer") {
        true => {
            "the authority's own certificate is not trusted here: install ca-certificates, or set acme.authority_root to its root".into()
        }
        false => format!("the authority cannot be reached: {reason}"),
    }
}

/// RFC 8555 s.6.7: the authority's explanation, and what to do about a problem of this type.
pub(super) fn explain_problem(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let advice = match kind.rsplit(':').next().unwrap_or_default() {
        "rateLimited" => "too many orders for these names or from this account; Waypost retries later",
        "connection" => "it could not connect to this server: check that port 80 (443 for tls-alpn) is open from outside",
        "dns" => "it could not look up the name: waypost dns check",
        "unauthorized" | "incorrectResponse" => "another server answered: check the address of the name",
        "tls" => "it got another certificate: check which program uses port 443",
        "caa" => "a CAA record forbids it: waypost dns check shows the record to publish",
        "rejectedIdentifier" | "unsupportedIdentifier" => "it issues no certificate for this name",
        "accountDoesNotExist" => "it no longer has this account: move its file in the data directory away, and Waypost creates a new one",
        "invalidContact" | "unsupportedContact" => "it does not accept acme.contact",
        "userActionRequired" => "its terms have changed: agree to them on its web page",
        "externalAccountRequired" => "it requires an account made on its web page (external account binding), which is not supported",
        "serverInternal" => "it has an internal error; Waypost retries later",
        _ => "",
    };
    let detail =
        problem.detail.clone().unwrap_or_else(|| if advice.is_empty() { format!("a problem of type {kind}") } else { String::new() });
    match (detail.as_str(), advice) {
        (detail, "") => format!("the authority says: {detail}"),
        ("", advice) => format!("the authority refuses: {advice}"),
        (detail, advice) => format!("the authority says: {detail} ({advice})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_explained_without_library_names() {
        let problem = |kind: &str, detail: &str| -> String {
            let kind = format!("urn:ietf:params:acme:error:{kind}");
            explain(&Error::Api(serde_json::from_value(serde_json::json!({ "type": kind, "detail": detail })).unwrap()))
        };
        assert!(problem("rateLimited", "too many certificates").starts_with("the authority says: too many certificates (too many orders"));
        assert!(problem("connection", "timeout").contains("port 80"));
        for text in [problem("caa", "no"), explain(&Error::Timeout(None)), explain(&Error::Crypto)] {
            assert!(!text.contains("urn:") && !text.contains("Error"), "{text}");
        }
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "Connection refused");
        assert_eq!(explain(&Error::Other(Box::new(refused))), "the authority cannot be reached: Connection refused");
    }

    #[test]
    fn a_bad_nonce_is_told_from_other_problems() {
        let problem = |kind: &str| -> AcmeFailure {
            let problem: Problem = serde_json::from_value(serde_json::json!({ "type": kind, "detail": "no\nmore" })).unwrap();
            Error::Api(problem).into()
        };
        assert!(problem(BAD_NONCE).is_bad_nonce);
        let other = problem("urn:ietf:params:acme:error:rateLimited");
        assert!(!other.is_bad_nonce && other.text.contains("no more"), "{other:?}");
        assert!(!AcmeFailure::from("what else").is_bad_nonce);
    }
}
