//! Options about the database.

use std::path::PathBuf;

use serde::Deserialize;

use super::super::option_row::{OptionInForce, OptionPart, OptionRow};
use super::super::values::OptionKind;
use super::section;

section!("[store]", "Where the queue, the accounts and the aliases are: in data_dir (SQLite), or in a PostgreSQL that several servers share (docs/cluster.md). A change needs a restart.", StoreOptions, [], {
    /// The address of a PostgreSQL, as libpq writes it: "postgres://user@host1,host2/database?sslmode=verify-full". Default: SQLite in data_dir.
    url: Option<String> = None;
    /// A file with the password for it; a password in url is shown by `waypost config`.
    password_file: Option<PathBuf> = None;
    /// The name of this server among those that share the database; each has a name and a data_dir of its own. Default: hostname.
    node: Option<String> = None;
    /// Whether a PostgreSQL with synchronous_commit = off or fsync = off is used: a crash of its machine then loses mail that was accepted.
    accept_loss: bool = false;
});
