//! The arguments of every command, with their help: `cli/NAME.rs` defines `waypost NAME`, `commands/NAME` runs it.
//! Commands without arguments are defined here.
//!
//! Invariant: help, completions and man pages are generated from these definitions alone.

mod account;
mod alias;
mod backup;
mod cert;
mod completions;
mod config;
mod demo;
mod dns;
mod doctor;
mod domain;
mod explain;
mod explain_reply;
mod explain_trust;
mod failed;
mod held;
pub mod help;
mod history;
mod key;
mod node;
mod notify;
mod queue;
mod reports;
mod route;
mod selftest;
mod send_as;
mod sendmail;
mod setup;
mod store;
mod token;
mod top;
mod web;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use account::{AccountCertificateCommand, AccountCommand, AccountImportCommand, AccountProfileArgs};
pub use alias::{AliasCommand, AliasImportCommand};
pub use backup::{BackupArgs, RestoreArgs};
pub use cert::{CertCommand, CertificateFrom, CsrArgs, SelfSignedArgs};
pub use completions::CompletionsArgs;
pub use config::ConfigCommand;
pub use demo::DemoArgs;
pub use dns::{DnsApplyArgs, DnsCommand};
pub use doctor::DoctorArgs;
pub use domain::DomainCommand;
pub use explain::ExplainArgs;
pub use explain_reply::ExplainReplyArgs;
pub use explain_trust::ExplainTrustArgs;
pub use failed::FailedArgs;
pub use held::HeldCommand;
pub use history::{LogArgs, TraceArgs};
pub use key::KeyCommand;
pub use node::NodeCommand;
pub use notify::NotifyCommand;
pub use queue::{QueueCommand, RetryArgs};
pub use reports::{ReportsArgs, ReportsCommand};
pub use route::RouteCommand;
pub use selftest::SelftestCommand;
pub use send_as::SendAsArgs;
pub use sendmail::SendmailArgs;
pub use setup::SetupArgs;
pub use store::{StoreCommand, StoreCopyArgs};
pub use token::{TokenAddArgs, TokenCommand};
pub use top::TopArgs;
pub use web::{WebArgs, WebCommand};

use crate::config::DEFAULT_PATH;

/// Mail server for your own domain: forwards mail, and sends as your addresses.
#[derive(Debug, Parser)]
#[command(name = "waypost", version, arg_required_else_help = true, subcommand_required = true, max_term_width = 110, after_help = EXAMPLES)]
pub struct Cli {
    /// The configuration file.
    #[arg(long, global = true, display_order = 900, value_name = "FILE", env = "WAYPOST_CONFIG", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
    /// Print JSON, for programs.
    #[arg(long, global = true, display_order = 901)]
    pub json: bool,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  waypost demo                        try it on this machine, without a domain
  waypost setup example.com --forward me@example.com=foo@gmail.com
  waypost doctor                      find problems, with a fix for each
  waypost alias test me@example.com   show where mail to this address goes
  waypost queue list                  list waiting mail and its next attempts
  waypost trace me@example.com        show what happened to mail";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prepare this machine for a domain; safe to run again.
    Setup(SetupArgs),
    /// Run the server.
    Serve,
    /// Demonstrate mail flow on this machine: needs no root, no domain, no network.
    Demo(DemoArgs),
    /// Manage the domains that this server accepts mail for.
    #[command(subcommand)]
    Domain(DomainCommand),
    /// Manage aliases, which forward mail to other addresses.
    #[command(subcommand)]
    Alias(AliasCommand),
    /// Manage accounts, which log in to send mail.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Show and manage mail that waits for delivery.
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Show, release or drop held mail.
    #[command(subcommand)]
    Held(HeldCommand),
    Failed(FailedArgs),
    Backup(BackupArgs),
    Restore(RestoreArgs),
    /// Copy the queue, accounts and aliases to another database.
    #[command(subcommand)]
    Store(StoreCommand),
    Trace(TraceArgs),
    Log(LogArgs),
    Reports(ReportsArgs),
    /// Manage the tokens with which programs use the HTTP API.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Manage the DKIM keys of your domains.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Manage the TLS certificates of this server.
    #[command(subcommand)]
    Cert(CertCommand),
    #[command(subcommand)]
    Node(NodeCommand),
    /// Test the notices that the postmaster gets.
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Check everything that mail depends on, here and in DNS.
    Doctor(DoctorArgs),
    /// Check the smarthosts that mail is sent through.
    #[command(subcommand)]
    Route(RouteCommand),
    /// Show, check or publish your DNS records.
    #[command(subcommand)]
    Dns(DnsCommand),
    /// Check the configuration file, or print all options.
    #[command(subcommand)]
    Config(ConfigCommand),
    Explain(ExplainArgs),
    /// Explain a reply of a remote server, and what to do about it; needs no server and no configuration.
    ExplainReply(ExplainReplyArgs),
    ExplainTrust(ExplainTrustArgs),
    #[command(name = "sendas")]
    SendAs(SendAsArgs),
    Sendmail(SendmailArgs),
    Web(WebArgs),
    /// Show the state of the running server.
    Status,
    Top(TopArgs),
    /// Make the running server reload its configuration, as SIGHUP does.
    Reload,
    /// Test what this machine does for the server.
    #[command(subcommand)]
    Selftest(SelftestCommand),
    Completions(CompletionsArgs),
    /// Open the store as the owner of the data directory; root's commands start this.
    #[command(hide = true)]
    OpenStore,
    /// Print the OpenAPI document.
    #[command(hide = true, name = "openapi")]
    OpenApi,
    /// Print the kinds and facts of events, as docs/events.md has them.
    #[command(hide = true)]
    EventKinds,
    /// Write the man pages into a directory.
    #[command(hide = true)]
    Man {
        /// The directory.
        dir: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, String> {
        Cli::try_parse_from(line.split_whitespace()).map_err(|e| e.to_string())
    }

    #[test]
    fn clap_accepts_the_definition() {
        Cli::command().debug_assert();
    }

    #[test]
    fn command_lines_parse() {
        for line in [
            "waypost alias add me@example.com foo@gmail.com bar@gmail.com --json",
            "waypost --config ./w.toml alias import virtual /etc/postfix/virtual --dry-run",
            "waypost alias export",
            "waypost queue retry --all",
            "waypost explain-reply - --host mx.example.com",
            "waypost trace mailbox full --since 2d --follow",
            "waypost log --kind failed,deferred --json",
            "waypost queue list --limit 5 --after 01jz8k3m5p7q9",
            "waypost account senders me@example.com",
            "waypost setup example.com --forward a=b@c.example --forward d=e@f.example",
        ] {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
        }
        for line in
            ["waypost alias add me@example.com", "waypost queue retry", "waypost queue retry 01jz8k3m5p7q9 --all", "waypost alias export x"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
