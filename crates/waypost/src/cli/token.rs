//! Arguments of `waypost token`.

use clap::{Args, Subcommand};

/// Manage the tokens with which programs use the HTTP API.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    Add(TokenAddArgs),
    /// List the tokens, with their last use.
    List,
    /// Remove a token; it is refused from then on.
    Remove {
        /// Its name.
        name: String,
    },
}

/// Make a token; it is shown only once.
#[derive(Debug, Args)]
#[command(after_help = "Scopes:
  read     see everything except secrets
  aliases  see and change aliases
  queue    see and change the queue, held mail and pauses
  own      the aliases and passwords of the account (--account)
  admin    everything

Examples:
  waypost token add grafana --scope read --days 365
  waypost token add shop --scope aliases --domain example.com
  waypost token add bitwarden --scope aliases --account me@example.com    for a password manager (needs password_managers = true under [api])")]
pub struct TokenAddArgs {
    /// Its name: the program or device that will use it.
    pub name: String,
    /// What it may do; can be repeated.
    #[arg(long = "scope", required = true, value_name = "SCOPE", value_parser = ["read", "aliases", "queue", "own", "admin"])]
    pub scopes: Vec<String>,
    /// Limit it to this domain; can be repeated.
    #[arg(long = "domain", value_name = "DOMAIN")]
    pub domains: Vec<String>,
    /// The account that it is for: where new addresses of a password manager lead.
    #[arg(long, value_name = "LOGIN")]
    pub account: Option<String>,
    /// Days until it ends. Default: it does not end.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: Option<u32>,
}
