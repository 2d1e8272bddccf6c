//! Arguments of `waypost selftest`.

use clap::Subcommand;

/// Test what this machine does for the server.
#[derive(Debug, Subcommand)]
pub enum SelftestCommand {
    /// Restrict this process as the server is, then try what must be refused and what must work.
    #[command(
        after_help = "The exit code is 0 if everything is as it must be, and 1 otherwise: a kernel without Landlock or seccomp, for example.

Examples:
  sudo waypost selftest sandbox
  sudo waypost --json selftest sandbox"
    )]
    Sandbox,
}
