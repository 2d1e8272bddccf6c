//! Arguments of `waypost failed`.

use clap::Args;

/// List failed deliveries for which no DSN was sent.
#[derive(Debug, Args)]
#[command(after_help = "A DSN to an unauthenticated sender could reach a stranger, so such failures are only listed here.")]
pub struct FailedArgs {
    /// Maximum listed, newest first.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
}
