//! Arguments of `waypost demo`.

use clap::Args;

/// Show the whole way of a message.
#[derive(Debug, Args)]
pub struct Demo {
    /// End after the tour; exit code 0 only if every step was seen.
    #[arg(long)]
    pub once: bool,
}
