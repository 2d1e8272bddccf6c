//! Arguments of `waypost explain-reply`.

use clap::Args;

/// Say what the reply of a remote server means.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  waypost explain-reply '550 5.7.26 the sender is unauthenticated'
  waypost explain-reply '452 4.2.2 out of storage' --host mx.example.net
  waypost explain-reply '421-4.7.28 rate\\n421 4.7.28 gsmtp'   several lines
  waypost queue show 01jz8k3m5p7q9 | waypost explain-reply -")]
pub struct ExplainReply {
    /// The reply with its code; lines end with a line end or a written \\n. - for standard input.
    pub reply: String,
    /// Who said it; without, it is guessed from the text.
    #[arg(long)]
    pub host: Option<String>,
}
