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
    after_help = "A place is a data directory (SQLite) or an address of PostgreSQL as libpq writes it. The target must be empty. A password comes from \
the address or from the environment variable PGPASSWORD. Keys, secrets and certificates are files, and are not copied.

Examples:
  sudo waypost store copy /var/lib/waypost postgres://waypost@db.example.net/waypost?sslmode=verify-full
  sudo waypost store copy postgres://waypost@db.example.net/waypost /var/lib/waypost-back"
)]
pub struct StoreCopyArgs {
    /// What is copied.
    #[arg(value_name = "FROM")]
    pub from: String,
    /// Where it goes.
    #[arg(value_name = "TO")]
    pub to: String,
}
