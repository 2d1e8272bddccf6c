//! Arguments of `waypost alias`.

use std::path::PathBuf;

use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use directory::StrictDomain;

/// Manage aliases, which forward mail to other addresses.
#[derive(Debug, Subcommand)]
pub enum AliasCommand {
    /// Add an alias.
    #[command(after_help = "Examples:
  waypost alias add me@example.com foo@gmail.com
  waypost alias add team@example.com ann@example.net bob@example.org
  waypost alias add @example.com foo@gmail.com             every address without an alias of its own
  waypost alias add @example.com @other.example            the same local part at another domain")]
    Add {
        /// me@example.com, or @example.com for all other addresses of the domain.
        source: String,
        /// The addresses that its mail goes to.
        #[arg(required = true)]
        targets: Vec<String>,
        /// Replace an existing alias.
        #[arg(long)]
        replace: bool,
    },
    /// List the aliases.
    List {
        /// Only aliases of this domain.
        #[arg(long)]
        domain: Option<String>,
    },
    /// Remove an alias.
    Remove {
        /// The alias.
        source: String,
    },
    /// Refuse its mail until it is enabled again.
    Disable {
        /// The alias.
        source: String,
    },
    /// Accept its mail again.
    Enable {
        /// The alias.
        source: String,
    },
    /// Choose what happens to mail that would fail DMARC once forwarded: its author's domain has a strict policy, but did not sign it with DKIM.
    #[command(after_help = "Examples:
  waypost alias strict me@example.com hold       hold it for review
  waypost alias strict me@example.com default    as the configuration says (forward.strict_domain)")]
    Strict {
        /// The alias.
        source: String,
        /// What to do with it.
        #[arg(value_parser = PossibleValuesParser::new(StrictDomain::WORDS.iter().map(|(_, word)| *word).chain(["default"])))]
        what: String,
    },
    /// Write down what an alias is for.
    #[command(after_help = "Examples:
  waypost alias note shop@example.com 'Shoes, ordered in May'
  waypost alias note shop@example.com ''                         remove the note")]
    Note {
        /// The alias.
        source: String,
        /// One line of text.
        text: String,
    },
    /// Refuse mail of a sender to an alias, or never hold it.
    #[command(
        after_help = "A sender is an address, or @ and a domain with all names below it. A blocked sender gets 550. An allowed one is never held for missing
authentication or a spam score, but is still refused where its own DMARC policy says reject.

Examples:
  waypost alias senders shop@example.com --block win@casino.example --block @ads.example
  waypost alias senders shop@example.com --allow news@shop.example
  waypost alias senders shop@example.com --unblock @ads.example"
    )]
    Senders {
        /// The alias.
        source: String,
        /// Refuse mail of this sender.
        #[arg(long, value_name = "SENDER", required_unless_present_any = ["unblock", "allow", "disallow"])]
        block: Vec<String>,
        /// No longer refuse it.
        #[arg(long, value_name = "SENDER")]
        unblock: Vec<String>,
        /// Never hold mail of this sender.
        #[arg(long, value_name = "SENDER")]
        allow: Vec<String>,
        /// Hold it if it is doubtful.
        #[arg(long, value_name = "SENDER")]
        disallow: Vec<String>,
    },
    /// Import aliases from a file.
    #[command(subcommand)]
    Import(AliasImportCommand),
    /// Print all aliases in the format of Postfix's virtual(5).
    #[command(after_help = "Example:\n  waypost alias export > virtual")]
    Export {
        /// The format.
        #[arg(default_value = "virtual", value_parser = ["virtual"])]
        form: String,
    },
    /// Show where mail to an address goes, step by step; exit code 1 if it goes nowhere.
    #[command(after_help = "Example:\n  waypost alias test me+shop@example.com")]
    Test {
        /// The address.
        address: String,
    },
}

/// Import aliases from a file.
#[derive(Debug, Subcommand)]
pub enum AliasImportCommand {
    /// Import a file in the format of Postfix's virtual(5).
    #[command(after_help = "All valid lines are imported; each rejected line is listed with its number and the reason.

Examples:
  waypost alias import virtual /etc/postfix/virtual --dry-run
  waypost alias import virtual /etc/postfix/virtual --origin $(postconf -h myorigin)")]
    Virtual {
        /// The file; - reads standard input.
        file: PathBuf,
        /// The domain for names without one, as Postfix's myorigin.
        #[arg(long, value_name = "DOMAIN")]
        origin: Option<String>,
        /// Show what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Replace existing aliases.
        #[arg(long)]
        replace: bool,
    },
}
