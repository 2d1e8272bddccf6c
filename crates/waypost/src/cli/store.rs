//! Arguments of `waypost store`.

use clap::{Args, Subcommand};

/// Copy the queue, accounts and aliases from one database to another.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Copy everything, and compare the copy row by row. No server may run on a data directory that is copied from or to.
    Copy(StoreCopyArgs),
}

/// From where to where.
#[derive(Debug, Args)]
#[command(
    after_help = "A place is a data directory (SQLite) or the address of a PostgreSQL, a URL as libpq reads it. The target must be empty; a directory is made if the \
one above it exists. A password comes from the address or, if it has none, from the environment variable PGPASSWORD; one in the address is in the list of \
processes. Keys, secrets and certificates are files, and are not copied: docs/cluster.md says which ones to take along.

Examples:
  PGPASSWORD=$(cat /etc/waypost/store.password) waypost store copy /var/lib/waypost 'postgres://waypost@db.example.net/waypost?sslmode=verify-full'
  PGPASSWORD=$(cat /etc/waypost/store.password) waypost store copy 'postgres://waypost@db.example.net/waypost?sslmode=verify-full' /var/lib/waypost.back"
)]
pub struct StoreCopyArgs {
    /// What is copied.
    #[arg(value_name = "FROM")]
    pub from: String,
    /// Where it goes.
    #[arg(value_name = "TO")]
    pub to: String,
}
