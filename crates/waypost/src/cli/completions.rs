//! Arguments of `waypost completions`.

use clap::Args;
use clap_complete::Shell;

/// Print shell completions.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  waypost completions bash > /etc/bash_completion.d/waypost")]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: Shell,
}
