//! The values of the API that are about accounts.
//!
//! Invariant: a verifier is in none of them, and a password only where it was made by this very request.

use serde::{Deserialize, Serialize};

/// An account, in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// The name to log in with.
    pub login: String,
    /// The senders that are allowed besides the login.
    pub may_send_as: Vec<String>,
    /// Whether logging in is allowed.
    pub enabled: bool,
    /// Why the account was stopped because of what it sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    /// The names of its passwords and client certificates.
    #[serde(default)]
    pub clients: Vec<String>,
    /// When it was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login_ms: Option<i64>,
}

/// Everything about an account that may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDetail {
    /// As in a list.
    #[serde(flatten)]
    pub account: AccountView,
    /// Aliases that lead to it by name: it may send as these too.
    pub aliases: Vec<String>,
    /// Its passwords and client certificates.
    pub credentials: Vec<CredentialView>,
    /// Mechanisms that need the password itself and are allowed.
    pub legacy_mechanisms: Vec<String>,
    /// Recipients within an hour; none where the configuration says.
    pub recipients_per_hour: Option<u32>,
    /// New recipients within a day; none where the configuration says.
    pub new_recipients_per_day: Option<u32>,
    /// Where its owner reads mail, if that was said.
    pub imap_host: Option<String>,
}

/// A password or a client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialView {
    /// Which client it is for.
    pub name: String,
    /// `password`, `imported password` (kept in our own form from its first use on) or `certificate`.
    pub kind: String,
    /// When it was made.
    pub made_ms: i64,
    /// Where it was used, the latest first.
    pub uses: Vec<UseView>,
}

/// Where a password was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseView {
    /// The address that it was used from last, in this network.
    pub address: String,
    /// By which mechanism.
    pub mechanism: String,
    /// When last.
    pub last_ms: i64,
    /// How often from this network.
    pub times: u32,
}

/// An account to add.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// The name to log in with: an address.
    pub login: String,
    /// The password; one is made where none is given.
    #[serde(default)]
    pub password: Option<String>,
    /// Which client the password is for; `first` where that is not said.
    #[serde(default)]
    pub name: Option<String>,
    /// The senders that are allowed besides the login.
    #[serde(default)]
    pub may_send_as: Vec<String>,
}

/// A new password for an account.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The password; one is made where none is given.
    #[serde(default)]
    pub password: Option<String>,
    /// Which client it is for: one that has a password gets another, a new name one more. Not needed where the account has one.
    #[serde(default)]
    pub name: Option<String>,
}

/// What an account's owner must be told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The name to log in with.
    pub login: String,
    /// Which client the password is for.
    #[serde(default)]
    pub name: String,
    /// The password, where it was made here: it is shown this once and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// A password to try.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriedPassword {
    /// The password.
    pub password: String,
}

/// Whether a password is an account's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Whether it is.
    pub right: bool,
    /// Which client it is for.
    pub name: Option<String>,
    /// Why a login would fail all the same.
    pub but: Option<String>,
}

/// A client certificate to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCertificate {
    /// Which client it is for.
    pub name: String,
    /// The SHA-256 of its DER, in hexadecimal digits.
    pub sha256: String,
}

/// Changes to an account; what is not named stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountPatch {
    /// Whether logging in is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The senders that are allowed besides the login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_send_as: Option<Vec<String>>,
    /// Why the account is stopped; empty lets it go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    /// The mechanisms that need the password itself and are allowed: CRAM-MD5, DIGEST-MD5, NTLM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy_mechanisms: Option<Vec<String>>,
    /// How much it may send; both are set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<AccountLimits>,
    /// Where its owner reads mail (IMAP); empty for what the alias suggests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imap_host: Option<String>,
}

/// How much an account may send; what is `None` is as the configuration says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountLimits {
    /// Recipients within an hour.
    pub recipients_per_hour: Option<u32>,
    /// Recipients within a day to whom it has never sent.
    pub new_recipients_per_day: Option<u32>,
}

/// Accounts to import.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountImport {
    /// The accounts.
    pub accounts: Vec<ImportedAccount>,
    /// Mechanisms that need the password itself, for accounts whose password is known.
    #[serde(default)]
    pub legacy_mechanisms: Vec<String>,
    /// The senders that each is allowed besides its login.
    #[serde(default)]
    pub may_send_as: Vec<String>,
    /// Whether the passwords of accounts that are there are replaced.
    #[serde(default)]
    pub replace: bool,
    /// Whether everything is checked and nothing changed.
    #[serde(default)]
    pub dry_run: bool,
}

/// An account to import; it has a password or a verifier.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedAccount {
    /// The name to log in with.
    pub login: String,
    /// The password itself.
    #[serde(default)]
    pub password: Option<String>,
    /// What a password is compared with: a hash of crypt(3) or Dovecot.
    #[serde(default)]
    pub verifier: Option<String>,
    /// Why it may not log in; it is suspended for that reason.
    #[serde(default)]
    pub suspended: Option<String>,
}

/// What an import of accounts did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountImportReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The accounts that were added, or have a new password.
    pub imported: Vec<String>,
    /// What was left out: login and why.
    pub skipped: Vec<(String, String)>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}
