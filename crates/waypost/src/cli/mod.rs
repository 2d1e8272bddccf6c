//! The arguments of every command, with their help: `cli/NAME.rs` defines `waypost NAME`, `commands/NAME` runs it.
//!
//! Invariant: help, completions and man pages are generated from these definitions alone.

mod account;
mod alias;
mod cert;
mod config;
mod demo;
mod dns;
mod doctor;
mod domain;
mod explain_reply;
pub mod help;
mod key;
mod queue;
mod reports;
mod route;
mod send_as;
mod sendmail;
mod setup;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

pub use account::{Account, AccountCertificate, AccountImport, AccountProfile};
pub use alias::{Alias, Import};
pub use cert::{Cert, CertificateFrom, Csr, SelfSigned};
pub use config::Config;
pub use demo::Demo;
pub use dns::{ApplyDns, Dns};
pub use doctor::Doctor;
pub use domain::Domain;
pub use explain_reply::ExplainReply;
pub use key::Key;
pub use queue::{Held, Queue, Retry};
pub use reports::{OfReports, Reports};
pub use route::Route;
pub use send_as::SendAs;
pub use sendmail::Sendmail;
pub use setup::Setup;

use crate::config::DEFAULT_PATH;

/// A mail server for your own domain: it forwards to the mailbox that you use, and sends as your addresses.
#[derive(Debug, Parser)]
#[command(name = "waypost", version, about, arg_required_else_help = true, subcommand_required = true, max_term_width = 110, after_help = EXAMPLES)]
pub struct Cli {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", env = "WAYPOST_CONFIG", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
    /// Answer with JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  waypost demo                        see it work here, without a domain
  waypost setup example.com --forward me@example.com=foo@gmail.com
  waypost doctor                      is all well, and what is to be done?
  waypost alias test me@example.com   where does mail to this address go?
  waypost queue list                  what is waiting, why, and until when";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prepare this machine for a domain; safe to run again.
    Setup(Setup),
    /// Run the server.
    Serve,
    /// Show the whole way of a message on this machine: no root, no domain, no network.
    Demo(Demo),
    /// The domains that mail is taken for.
    #[command(subcommand)]
    Domain(Domain),
    /// Where mail to an address goes.
    #[command(subcommand)]
    Alias(Alias),
    /// Who may log in and send.
    #[command(subcommand)]
    Account(Account),
    /// What waits to be delivered.
    #[command(subcommand)]
    Queue(Queue),
    /// Mail that is held until a person has looked at it.
    #[command(subcommand)]
    Held(Held),
    /// Deliveries that failed for good, and of which the sender was not told.
    #[command(after_help = "A report to a sender that nothing vouches for could hit a stranger, so such failures are only listed here.")]
    Failed {
        /// At most this many, the newest first.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    Reports(Reports),
    /// The DKIM keys that sign for your domains.
    #[command(subcommand)]
    Key(Key),
    /// The certificates that clients are shown.
    #[command(subcommand)]
    Cert(Cert),
    /// Check everything that mail depends on, here and in DNS.
    Doctor(Doctor),
    /// The smarthosts that mail goes by instead of MX records.
    #[command(subcommand)]
    Route(Route),
    /// The records that should be in DNS, and those that are.
    #[command(subcommand)]
    Dns(Dns),
    /// The configuration file.
    #[command(subcommand)]
    Config(Config),
    /// Say what the reply of a remote server means, and what to do; without a server or a configuration.
    ExplainReply(ExplainReply),
    #[command(name = "sendas")]
    SendAs(SendAs),
    Sendmail(Sendmail),
    /// How the running server is.
    Status,
    /// Let the running server read its configuration again, as SIGHUP does.
    Reload,
    /// Print the completions for a shell.
    #[command(after_help = "Example:\n  waypost completions bash > /etc/bash_completion.d/waypost")]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Open the store as the owner of the data directory; root's commands start this.
    #[command(hide = true)]
    OpenStore,
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
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lines_are_read() {
        for line in [
            "waypost alias add me@example.com foo@gmail.com bar@gmail.com --json",
            "waypost --config ./w.toml alias import virtual /etc/postfix/virtual --dry-run",
            "waypost alias export",
            "waypost queue retry --all",
            "waypost explain-reply - --host mx.example.com",
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
