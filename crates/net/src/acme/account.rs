//! The account with an authority: made once, its key kept.
//!
//! RFC 8555 s.7.3, RFC 8555 s.6.5. Invariant: each directory has an account of its own.

use std::fs;
use std::path::PathBuf;

use instant_acme::{Account, AccountCredentials, Error, NewAccount, Problem};

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

/// What happened and what follows from it, on one line and in words.
fn explain(error: &Error) -> String {
    let text: String = match error {
        Error::Api(problem) => of_problem(problem),
        Error::Timeout(_) => "the authority was not done in time; it is asked again later".into(),
        Error::Json(_) => "the authority's answer is not that of an ACME directory: is acme.directory the right address?".into(),
        Error::InvalidUri(_) => "the authority gave an address that is none: is acme.directory the right one?".into(),
        Error::Unsupported(what) => format!("the authority does not support {what}"),
        Error::Str(what) => format!("the authority left out {what}"),
        Error::Crypto | Error::KeyRejected => "the account's key cannot be used: move its file away, and a new account is made".into(),
        other => unreachable_authority(other),
    };
    mail::one_line(&text)
}

/// The innermost cause says what the system found; those around it say only that something was done in vain.
fn unreachable_authority(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let said = cause.to_string();
    match said.contains("UnknownIssuer") {
        true => "the authority's own certificate is not trusted here: see that ca-certificates is installed, or name its root: acme.authority_root".into(),
        false => format!("the authority cannot be reached: {said}"),
    }
}

/// RFC 8555 s.6.7: the authority's own words, and what is to be done about a problem of this type.
pub(super) fn of_problem(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let advice = match kind.rsplit(':').next().unwrap_or_default() {
        "rateLimited" => "the authority has had too many orders for these names or from here; it is asked again later",
        "connection" => "it could not connect to this server: see that port 80 (443 for tls-alpn) is open from outside",
        "dns" => "it could not look the name up: see waypost dns check",
        "unauthorized" | "incorrectResponse" => "it was answered by something else than this server: see where the name leads",
        "tls" => "it was shown another certificate: see which program has port 443",
        "caa" => "a CAA record keeps it from issuing: waypost dns check shows the record to publish",
        "rejectedIdentifier" | "unsupportedIdentifier" => "it issues no certificate for this name",
        "accountDoesNotExist" => "it does not know the account any more: move its file in the data directory away, and a new one is made",
        "invalidContact" | "unsupportedContact" => "it does not take acme.contact",
        "userActionRequired" => "its terms have changed, and want to be agreed to there",
        "externalAccountRequired" => "it wants an account that was made on its web page, which is not supported",
        "serverInternal" => "it has trouble of its own; it is asked again later",
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
    fn errors_are_in_words() {
        let problem = |kind: &str, detail: &str| -> String {
            let kind = format!("urn:ietf:params:acme:error:{kind}");
            explain(&Error::Api(serde_json::from_value(serde_json::json!({ "type": kind, "detail": detail })).unwrap()))
        };
        assert!(
            problem("rateLimited", "too many certificates").starts_with("the authority says: too many certificates (the authority has had")
        );
        assert!(problem("connection", "timeout").contains("port 80"));
        for text in [problem("caa", "no"), explain(&Error::Timeout(None)), explain(&Error::Crypto)] {
            assert!(!text.contains("urn:") && !text.contains("Error"), "{text}");
        }
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "Connection refused");
        assert_eq!(explain(&Error::Other(Box::new(refused))), "the authority cannot be reached: Connection refused");
    }

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
