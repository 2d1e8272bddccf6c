//! Arguments of `waypost demo`.

use clap::Args;

/// Demonstrate mail flow.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Exit after the tour, with exit code 0 only if every step worked.
    #[arg(long)]
    pub once: bool,
}
