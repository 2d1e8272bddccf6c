//! Options about the database.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::super::option_row::{OptionInForce, OptionPart, OptionRow};
use super::super::store_url::StoreUrl;
use super::super::values::{OptionKind, Text};
use super::section;

section!("[store]", "Where the queue, the accounts and the aliases are: in data_dir (SQLite), or in a PostgreSQL that several servers share (docs/cluster.md). A change needs a restart.", StoreOptions, [], {
    /// The address of a PostgreSQL, a URL as libpq reads it: "postgres://user@host1,host2/database?sslmode=verify-full". Default: SQLite in data_dir.
    url: Option<Spanned<Text<StoreUrl>>> = None;
    /// A file with the password for it, which the server's user can read and others cannot; each connection reads it. A password in url is shown nowhere, but
    /// who may read this file can read it, and @ / ? % in it must be escaped.
    password_file: Option<Spanned<PathBuf>> = None;
    /// The name of this server among those that share the database; each has a name and a data_dir of its own.
    /// 1 to 63 letters, digits, dots, hyphens and underscores. Default: hostname.
    node: Option<Spanned<String>> = None;
    /// Whether a PostgreSQL with synchronous_commit = off or fsync = off is used: a crash of its machine then loses mail that was accepted.
    accept_loss: bool = false;
});
