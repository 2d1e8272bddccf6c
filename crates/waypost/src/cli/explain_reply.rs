//! Arguments of `waypost explain-reply`.

use clap::Args;

/// Explain a reply of a remote server.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  waypost explain-reply '550 5.7.26 the sender is unauthenticated'
  waypost explain-reply '452 4.2.2 out of storage' --host mx.example.net
  waypost explain-reply '421-4.7.28 rate\\n421 4.7.28 gsmtp'   several lines
  waypost queue show 01jz8k3m5p7q9 | waypost explain-reply -")]
pub struct ExplainReplyArgs {
    /// The reply with its code; lines are separated by line ends or a literal \\n. - reads standard input.
    pub reply: String,
    /// The host that sent it [default: guessed from the text].
    #[arg(long)]
    pub host: Option<String>,
}
