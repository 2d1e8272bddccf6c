//! `waypost alias`, as clap reads it.

use std::path::PathBuf;

use clap::Subcommand;

/// Where mail to an address goes.
#[derive(Debug, Subcommand)]
pub enum Alias {
    /// Add an alias.
    #[command(after_help = "Examples:
  waypost alias add me@example.com foo@gmail.com
  waypost alias add team@example.com ann@example.net bob@example.org
  waypost alias add @example.com foo@gmail.com             every address that has no alias of its own
  waypost alias add @example.com @other.example            the same user at another domain")]
    Add {
        /// me@example.com, or @example.com for all other addresses of the domain.
        source: String,
        /// Where its mail goes.
        #[arg(required = true)]
        targets: Vec<String>,
        /// Replace an alias that is there.
        #[arg(long)]
        replace: bool,
    },
    /// List the aliases.
    List {
        /// Only those of this domain.
        #[arg(long)]
        domain: Option<String>,
    },
    /// Remove an alias.
    Remove {
        /// The alias.
        source: String,
    },
    /// Refuse its mail for a while.
    Disable {
        /// The alias.
        source: String,
    },
    /// Take its mail again.
    Enable {
        /// The alias.
        source: String,
    },
    /// Say what becomes of mail that would not survive forwarding: of a domain with a strict DMARC policy, and without a DKIM signature of it.
    #[command(after_help = "Examples:
  waypost alias strict me@example.com hold       keep it until I have looked at it
  waypost alias strict me@example.com default    what the configuration says (forward.strict_domain)")]
    Strict {
        /// The alias.
        source: String,
        /// What becomes of it.
        #[arg(value_parser = ["rewrite", "wrap", "hold", "reject", "as-is", "default"])]
        what: String,
    },
    /// Read aliases from a file.
    #[command(subcommand)]
    Import(Import),
    /// Write all aliases in the form of Postfix's virtual(5).
    #[command(after_help = "Example:\n  waypost alias export > virtual")]
    Export {
        /// The form.
        #[arg(default_value = "virtual", value_parser = ["virtual"])]
        form: String,
    },
    /// Show where mail to an address goes, step by step; exit code 1 where it goes nowhere.
    #[command(after_help = "Example:\n  waypost alias test me+shop@example.com")]
    Test {
        /// The address.
        address: String,
    },
}

/// Read aliases from a file.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// A file in the form of Postfix's virtual(5).
    #[command(after_help = "All good lines are imported; each other line is named with its number and the reason.

Examples:
  waypost alias import virtual /etc/postfix/virtual --dry-run
  waypost alias import virtual /etc/postfix/virtual --origin $(postconf -h myorigin)")]
    Virtual {
        /// The file; - for standard input.
        file: PathBuf,
        /// The domain of names that have none, as Postfix's myorigin.
        #[arg(long, value_name = "DOMAIN")]
        origin: Option<String>,
        /// Say what would be done and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Replace aliases that are there.
        #[arg(long)]
        replace: bool,
    },
}
