//! Arguments of `waypost config`.

use clap::Subcommand;

/// Check the configuration file, or print all options.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration file; exit code 1 if it has errors.
    Check,
    /// Print all options as Markdown.
    Reference,
}
