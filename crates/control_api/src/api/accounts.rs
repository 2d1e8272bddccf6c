//! Accounts, as values of the API.
//!
//! Invariant: no value contains a password hash; a password is in a response only if that request generated it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An account, in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    /// The login.
    pub login: String,
    /// The senders that are allowed in addition to the login.
    pub may_send_as: Vec<String>,
    /// Whether logging in is allowed.
    pub enabled: bool,
    /// Whether its user looks after the server: sees and changes everything on the owner's page.
    #[serde(default)]
    pub owner: bool,
    /// Why the account is suspended, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    /// The names of its passwords and client certificates.
    #[serde(default)]
    pub clients: Vec<String>,
    /// The last login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login_ms: Option<i64>,
}

/// An account with everything that may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountDetail {
    /// The fields of a list.
    #[serde(flatten)]
    pub account: AccountView,
    /// Aliases with the account as a target, which are allowed as senders too.
    pub aliases: Vec<String>,
    /// Its passwords and client certificates.
    pub credentials: Vec<CredentialView>,
    /// Allowed mechanisms that need the password in clear.
    pub legacy_mechanisms: Vec<String>,
    /// Maximum recipients in an hour; `None`: as configured.
    pub recipients_per_hour: Option<u32>,
    /// Maximum new recipients in a day; `None`: as configured.
    pub new_recipients_per_day: Option<u32>,
    /// The IMAP host of the user, if it is set.
    pub imap_host: Option<String>,
}

/// A password or a client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CredentialView {
    /// The client that uses it.
    pub name: String,
    /// `password`, `imported password` (hashed again at its first use) or `certificate`.
    pub kind: String,
    /// When it was created.
    pub made_ms: i64,
    /// Its uses, the latest first.
    pub uses: Vec<UseView>,
}

/// Uses of a password from one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UseView {
    /// The last client address in this network.
    pub address: String,
    /// The mechanism.
    pub mechanism: String,
    /// The last use.
    pub last_ms: i64,
    /// Number of uses from this network.
    pub times: u32,
}

/// An account to add.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// The login: an address.
    pub login: String,
    /// The password; the server generates one if it is missing.
    #[serde(default)]
    pub password: Option<String>,
    /// The client that uses the password; default `first`.
    #[serde(default)]
    pub name: Option<String>,
    /// The senders that are allowed in addition to the login.
    #[serde(default)]
    pub may_send_as: Vec<String>,
    /// Whether its user looks after the server.
    #[serde(default)]
    pub owner: bool,
}

/// A new password for an account.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The password; the server generates one if it is missing.
    #[serde(default)]
    pub password: Option<String>,
    /// The client that uses it: its password is replaced, or one is added for a new name. Optional if the account has one password.
    #[serde(default)]
    pub name: Option<String>,
}

/// The login data for the user of an account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Login {
    /// The login.
    pub login: String,
    /// The client that uses the password.
    #[serde(default)]
    pub name: String,
    /// The password, if the server generated it; it is shown only once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// A password to verify.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TriedPassword {
    /// The password.
    pub password: String,
}

/// Whether a password is correct.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verified {
    /// Whether it is correct.
    pub right: bool,
    /// The client that uses it.
    pub name: Option<String>,
    /// Why a login fails although the password is correct.
    pub but: Option<String>,
}

/// A client certificate to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCertificate {
    /// The client that uses it.
    pub name: String,
    /// The SHA-256 of its DER, in hexadecimal.
    pub sha256: String,
}

/// Changes of an account; missing fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccountPatch {
    /// Whether logging in is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The senders that are allowed in addition to the login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_send_as: Option<Vec<String>>,
    /// The reason to suspend the account; empty to resume it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    /// The allowed mechanisms that need the password in clear: CRAM-MD5, DIGEST-MD5, NTLM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy_mechanisms: Option<Vec<String>>,
    /// Its limits; both are set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<AccountLimits>,
    /// The IMAP host of the user; empty: as the alias suggests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imap_host: Option<String>,
    /// Whether its user looks after the server: sees and changes everything on the owner's page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<bool>,
}

/// Limits of an account; `None`: as configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccountLimits {
    /// Maximum recipients in an hour.
    pub recipients_per_hour: Option<u32>,
    /// Maximum recipients in a day that it has never sent to.
    pub new_recipients_per_day: Option<u32>,
}

/// Accounts to import.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountImport {
    /// The accounts.
    pub accounts: Vec<ImportedAccount>,
    /// Mechanisms that need the password in clear, for accounts with a known password.
    #[serde(default)]
    pub legacy_mechanisms: Vec<String>,
    /// The senders that each account is allowed in addition to its login.
    #[serde(default)]
    pub may_send_as: Vec<String>,
    /// Whether passwords of existing accounts are replaced.
    #[serde(default)]
    pub replace: bool,
    /// Whether to check everything and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// An account to import, with either a password or a hash.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportedAccount {
    /// The login.
    pub login: String,
    /// The password in clear.
    #[serde(default)]
    pub password: Option<String>,
    /// The password hash, in the format of crypt(3) or Dovecot.
    #[serde(default)]
    pub verifier: Option<String>,
    /// The reason to suspend the account, if it may not log in.
    #[serde(default)]
    pub suspended: Option<String>,
}

/// The result of an import of accounts, or of a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountImportReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Accounts that were added or got a new password.
    pub imported: Vec<String>,
    /// Accounts that were skipped: login and reason.
    #[schema(value_type = Vec<Vec<String>>)]
    pub skipped: Vec<(String, String)>,
    /// Warnings.
    pub warnings: Vec<String>,
}
