//! Arguments of `waypost account`.
//!
//! Invariant: no option takes a password, which would show in the shell's history and in the process list.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mail::Domain;

/// Manage accounts, which log in to send mail.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Add an account and print its password once.
    #[command(after_help = "Examples:
  waypost account add me@example.com
  waypost account add me@example.com --forward foo@gmail.com
  waypost account add me@example.com --name gmail --sender info@example.com
  waypost account add me@example.com --password-stdin < secret")]
    Add {
        /// The login: an address.
        login: String,
        /// A name for the password, such as the client that uses it [default: first].
        #[arg(long)]
        name: Option<String>,
        /// An additional sender that the account may use: an address, @domain, or * for any; repeatable.
        #[arg(long, value_name = "ADDRESS")]
        sender: Vec<String>,
        /// Also create an alias that forwards mail for this address there; repeatable.
        #[arg(long, value_name = "ADDRESS")]
        forward: Vec<String>,
        /// Make it an owner, who sees and changes everything on the owner's page.
        #[arg(long)]
        owner: bool,
        /// Read the password from standard input instead of generating one.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the accounts.
    List,
    /// Show an account: its passwords, where each was used, and its allowed senders.
    Show {
        /// The account.
        login: String,
    },
    /// Set a new password and print it once.
    #[command(after_help = "With a password for each client, one can be replaced without the others.

Examples:
  waypost account passwd me@example.com                          replace the only password
  waypost account passwd me@example.com --name phone             add a password, or replace the one of this name
  waypost account passwd me@example.com --name phone --remove    remove it, because the phone is lost")]
    Passwd {
        /// The account.
        login: String,
        /// The name of the password.
        #[arg(long)]
        name: Option<String>,
        /// Remove the password of this name.
        #[arg(long, requires = "name", conflicts_with = "password_stdin")]
        remove: bool,
        /// Read the password from standard input instead of generating one.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Verify a password from standard input; exit code 1 if it is not the account's.
    #[command(after_help = "Example:\n  waypost account verify me@example.com < secret")]
    Verify {
        /// The account.
        login: String,
    },
    /// Set the senders that an account may use besides its own address and the aliases that lead to it.
    #[command(after_help = "Examples:
  waypost account senders me@example.com info@example.com @example.org
  waypost account senders me@example.com --add sales@example.com    add one, keep the others
  waypost account senders me@example.com                            none but its own")]
    Senders {
        /// The account.
        login: String,
        /// Addresses, @domains, or * for any; without arguments, all are removed.
        senders: Vec<String>,
        /// Add a sender and keep the present ones; repeatable.
        #[arg(long, value_name = "ADDRESS", conflicts_with = "senders")]
        add: Vec<String>,
    },
    /// Set an account's sending limits; a limit without a number returns to the configuration's.
    #[command(
        after_help = "Example:\n  waypost account limits newsletter@example.com --recipients-per-hour 5000 --new-recipients-per-day 2000"
    )]
    Limits {
        /// The account.
        login: String,
        /// Maximum recipients per hour.
        #[arg(long, value_name = "N")]
        recipients_per_hour: Option<u32>,
        /// Maximum new recipients per day: addresses that the account has never sent to.
        #[arg(long, value_name = "N")]
        new_recipients_per_day: Option<u32>,
    },
    /// Allow login mechanisms that need the plaintext password, for old clients: CRAM-MD5, DIGEST-MD5, NTLM.
    #[command(
        after_help = "The password is then stored encrypted, with a key outside the database. Prefer a client that supports PLAIN over TLS or SCRAM.

Examples:
  waypost account legacy scanner@example.com CRAM-MD5
  waypost account legacy scanner@example.com             allow none"
    )]
    Legacy {
        /// The account.
        login: String,
        /// The mechanisms; without arguments, none is allowed.
        mechanisms: Vec<String>,
    },
    /// Manage client certificates, which log in without a password on the port of [listen] submissions_by_certificate.
    #[command(subcommand)]
    Certificate(AccountCertificateCommand),
    /// Set the IMAP host of an account, for the automatic configuration of clients.
    #[command(after_help = "Examples:
  waypost account imap me@example.com imap.gmail.com
  waypost account imap me@example.com                    derive it from the alias")]
    Imap {
        /// The account.
        login: String,
        /// The host [default: derived from the alias].
        host: Option<String>,
    },
    /// Write an account's settings to a signed file for Apple Mail (.mobileconfig), without a password.
    #[command(
        after_help = "The IMAP host is the one set with `waypost account imap`, or Gmail where the alias leads to Gmail. The file then contains the Gmail
address: give it only to its owner.

Examples:
  waypost account profile me@example.com
  waypost account profile me@example.com --imap-host imap.example.net --imap-user me --out me.mobileconfig"
    )]
    Profile(AccountProfileArgs),
    /// Suspend an account until it is resumed.
    #[command(after_help = "Example:\n  waypost account suspend me@example.com --reason 'its password leaked'")]
    Suspend {
        /// The account.
        login: String,
        /// The reason.
        #[arg(long, default_value = "stopped by the operator")]
        reason: String,
    },
    /// Resume a suspended account.
    Resume {
        /// The account.
        login: String,
    },
    /// Make an account an owner, who sees and changes everything on the owner's page.
    #[command(after_help = "Examples:\n  waypost account owner me@example.com\n  waypost account owner me@example.com --remove")]
    Owner {
        /// The account.
        login: String,
        /// Make it an account like others.
        #[arg(long)]
        remove: bool,
    },
    /// Refuse logins until the account is enabled again.
    Disable {
        /// The account.
        login: String,
    },
    /// Accept logins again.
    Enable {
        /// The account.
        login: String,
    },
    /// Remove an account.
    Remove {
        /// The account.
        login: String,
    },
    /// Import accounts from another mail server.
    #[command(subcommand)]
    Import(AccountImportCommand),
}

/// Write an account's settings to a file.
#[derive(Debug, Args)]
pub struct AccountProfileArgs {
    /// The account.
    pub login: String,
    /// The file [default: LOGIN.mobileconfig in this directory].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The sender name that recipients see [default: the device asks].
    #[arg(long)]
    pub name: Option<String>,
    /// The IMAP host (port 993).
    #[arg(long, value_name = "HOST")]
    pub imap_host: Option<Domain>,
    /// The IMAP user name [default: the Gmail address that the alias leads to, or the device asks].
    #[arg(long, value_name = "USER")]
    pub imap_user: Option<String>,
}

/// Manage client certificates.
#[derive(Debug, Subcommand)]
pub enum AccountCertificateCommand {
    /// Add a certificate.
    #[command(after_help = "Example:\n  waypost account certificate add printer@example.com printer.pem --name printer")]
    Add {
        /// The account.
        login: String,
        /// The certificate (PEM).
        file: PathBuf,
        /// A name for the certificate, such as the client that uses it.
        #[arg(long)]
        name: String,
    },
    /// Remove a certificate.
    Remove {
        /// The account.
        login: String,
        /// Its name.
        name: String,
    },
}

/// Import accounts from another mail server.
#[derive(Debug, Subcommand)]
pub enum AccountImportCommand {
    /// Import Cyrus SASL's sasldb2, as saslpasswd2 writes it.
    #[command(
        after_help = "A user without @ gets its realm as domain, or --domain if the realm is a host name. With login_domain = \"example.com\" under
[submission], clients can still log in without @example.com. Run an interrupted import again to continue it.

Examples:
  waypost account import sasldb2 /etc/sasldb2 --dry-run
  waypost account import sasldb2 /etc/sasldb2 --domain example.com --sender me@example.com
  waypost account import sasldb2 /etc/sasldb2 --domain example.com --legacy CRAM-MD5"
    )]
    Sasldb2 {
        /// The file.
        file: PathBuf,
        /// The domain for users without one, instead of their realm.
        #[arg(long)]
        domain: Option<String>,
        /// Allow a mechanism that needs the plaintext password; repeatable.
        #[arg(long, value_name = "MECHANISM")]
        legacy: Vec<String>,
        /// An additional sender that each account may use: an address, @domain, or * for any; repeatable.
        #[arg(long, value_name = "ADDRESS")]
        sender: Vec<String>,
        /// Replace the passwords of existing accounts.
        #[arg(long)]
        replace: bool,
        /// Show what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Import lines of user:hash, as in Dovecot's passwd-file, /etc/shadow and htpasswd.
    #[command(
        after_help = "Hashes: $6$, $5$, $y$, $2b$, $argon2id$, and with Dovecot's {SCHEME} prefix. Each password is hashed again at its first login.
Users that Dovecot lets log in nowhere (nologin) or only from some networks (allow_nets) are imported as suspended.

Examples:
  waypost account import passwd /etc/dovecot/users
  getent shadow ann bob | waypost account import passwd - --domain example.com"
    )]
    Passwd {
        /// The file; - reads standard input.
        file: PathBuf,
        /// The domain for users without one.
        #[arg(long)]
        domain: Option<String>,
        /// An additional sender that each account may use: an address, @domain, or * for any; repeatable.
        #[arg(long, value_name = "ADDRESS")]
        sender: Vec<String>,
        /// Replace the passwords of existing accounts.
        #[arg(long)]
        replace: bool,
        /// Show what would be done, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}
