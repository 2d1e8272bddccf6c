//! Facts about the server and its configuration, and what a mail program must be set to, as values of the API.
//!
//! Invariant: no value contains a secret; options that name a file with one show its path.

use serde::{Deserialize, Serialize};

/// An option in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SettingView {
    /// Its section as in the file: empty, `[name]` or `[[name]]`.
    pub section: String,
    /// Its name.
    pub name: String,
    /// Its value as TOML; `None` if it is not set.
    pub value: Option<String>,
    /// Its default as TOML; `None` if it has none.
    pub default: Option<String>,
    /// `file` or `default`.
    pub origin: String,
    /// Its meaning.
    pub meaning: String,
}

/// An address that the server listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ListenerView {
    /// `mx`, `submission`, `submissions`, `submissions_by_certificate`, `http` or `https`.
    pub kind: String,
    /// The address and port.
    pub address: String,
}

/// The server: what it is, where it listens, what it takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServerView {
    /// The server's version.
    pub version: String,
    /// Its name.
    pub hostname: String,
    /// The forwarding domain.
    pub forwarding: String,
    /// The configuration file.
    pub config_file: String,
    /// The data directory.
    pub data_dir: String,
    /// The files of its databases, in octets.
    pub databases_bytes: u64,
    /// Free space of its disk, in octets; `None` if it cannot be read.
    pub disk_free_bytes: Option<u64>,
    /// Size of its disk, in octets.
    pub disk_bytes: Option<u64>,
    /// The addresses to listen on.
    pub listeners: Vec<ListenerView>,
    /// The options in force, in the order of the file.
    pub settings: Vec<SettingView>,
}

/// A test message to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTestMessage {
    /// The address: an alias here, or a mailbox elsewhere.
    pub to: String,
}

/// Where a mail program submits mail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SubmissionFacts {
    /// The host name.
    pub host: String,
    /// The port with STARTTLS; `None` without one.
    pub starttls_port: Option<u16>,
    /// The port with implicit TLS; `None` without one.
    pub tls_port: Option<u16>,
}

/// Selects the address for Gmail's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SendAsQuery {
    /// The address to send as.
    pub address: String,
    /// The account; default: the account of that name, or the first that may send as it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

/// What to enter in Gmail's form "Send mail as", and whether its code can arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SendAsView {
    /// The address to send as.
    pub address: String,
    /// The SMTP server.
    pub smtp_server: String,
    /// The port; `None` if the server takes no submission.
    pub port: Option<u16>,
    /// `TLS` or `SSL`, as Gmail calls them.
    pub secured_connection: String,
    /// The user name; `None` if no account may send as the address.
    pub user_name: Option<String>,
    /// The targets of the address, one of which gets Gmail's code.
    pub targets: Vec<String>,
    /// What stops it from working.
    pub problems: Vec<String>,
}
