//! Arguments of `waypost config`.

use clap::Subcommand;

/// The configuration file.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Say what is wrong with the file; exit code 1 if something is.
    Check,
    /// Print all options as Markdown.
    Reference,
}
