//! `waypost account`, as clap reads it.
//!
//! Invariant: no option takes a password: it would stand in the shell's history and in the list of processes.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mail::Domain;

/// Who may log in and send.
#[derive(Debug, Subcommand)]
pub enum Account {
    /// Add an account and print its password once.
    #[command(after_help = "Examples:
  waypost account add me@example.com
  waypost account add me@example.com --forward foo@gmail.com
  waypost account add me@example.com --name gmail --sender info@example.com
  waypost account add me@example.com --password-stdin < secret")]
    Add {
        /// The name to log in with: an address.
        login: String,
        /// Which client the password is for [default: first].
        #[arg(long)]
        name: Option<String>,
        /// Another sender that is allowed: an address, @domain, or * for any. Can be given several times.
        #[arg(long, value_name = "ADDRESS")]
        sender: Vec<String>,
        /// Make an alias too: mail to the account's address goes there. Can be given several times.
        #[arg(long, value_name = "ADDRESS")]
        forward: Vec<String>,
        /// Read the password from standard input instead of making one.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the accounts.
    List,
    /// Show an account: its passwords, where each was used, and as whom it may send.
    Show {
        /// The account.
        login: String,
    },
    /// Give an account a new password and print it once.
    #[command(after_help = "One password for each client can be replaced without the others.

Examples:
  waypost account passwd me@example.com                          replace the only one
  waypost account passwd me@example.com --name phone             one more, or in the place of the one of this name
  waypost account passwd me@example.com --name phone --remove    the phone is lost")]
    Passwd {
        /// The account.
        login: String,
        /// Which client it is for.
        #[arg(long)]
        name: Option<String>,
        /// Remove the password of this name.
        #[arg(long, requires = "name", conflicts_with = "password_stdin")]
        remove: bool,
        /// Read the password from standard input instead of making one.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Say whether a password (on standard input) is the account's; exit code 1 where it is not.
    #[command(after_help = "Example:\n  waypost account verify me@example.com < secret")]
    Verify {
        /// The account.
        login: String,
    },
    /// Say as whom an account may send besides itself and the aliases that lead to it.
    #[command(after_help = "Examples:
  waypost account senders me@example.com info@example.com @example.org
  waypost account senders me@example.com --add sales@example.com    keep the others
  waypost account senders me@example.com                      only as itself")]
    Senders {
        /// The account.
        login: String,
        /// Addresses, @domains, or * for any; none takes all away.
        senders: Vec<String>,
        /// Keep those that are there, and add one. Can be given several times.
        #[arg(long, value_name = "ADDRESS", conflicts_with = "senders")]
        add: Vec<String>,
    },
    /// Say how much an account may send; without a number, as the configuration says.
    #[command(
        after_help = "Example:\n  waypost account limits newsletter@example.com --recipients-per-hour 5000 --new-recipients-per-day 2000"
    )]
    Limits {
        /// The account.
        login: String,
        /// Recipients within an hour.
        #[arg(long, value_name = "N")]
        recipients_per_hour: Option<u32>,
        /// Recipients within a day to whom it has never sent.
        #[arg(long, value_name = "N")]
        new_recipients_per_day: Option<u32>,
    },
    /// Allow mechanisms for old clients that need the password itself: CRAM-MD5, DIGEST-MD5, NTLM.
    #[command(
        after_help = "The password is then kept, sealed with a key outside the database. Prefer a client that knows PLAIN over TLS or SCRAM.

Examples:
  waypost account legacy scanner@example.com CRAM-MD5
  waypost account legacy scanner@example.com             none any more"
    )]
    Legacy {
        /// The account.
        login: String,
        /// The mechanisms; none takes all away.
        mechanisms: Vec<String>,
    },
    /// Client certificates that log in without a password, on the port of [listen] submissions_by_certificate.
    #[command(subcommand)]
    Certificate(AccountCertificate),
    /// Say where an account's owner reads mail (IMAP), for the configuration of clients.
    #[command(after_help = "Examples:
  waypost account imap me@example.com imap.gmail.com
  waypost account imap me@example.com                    as the alias suggests")]
    Imap {
        /// The account.
        login: String,
        /// The host; none for what the alias suggests.
        host: Option<String>,
    },
    /// Write an account's settings into a signed file for Apple's Mail (.mobileconfig). No password is in it.
    #[command(
        after_help = "Reads mail where `waypost account imap` says, or else where the alias leads, if that is Gmail; then the file names the Gmail
address: hand it to its owner only.

Examples:
  waypost account profile me@example.com
  waypost account profile me@example.com --imap-host imap.example.net --imap-user me --out me.mobileconfig"
    )]
    Profile(AccountProfile),
    /// Stop an account until it is resumed, and say why.
    #[command(after_help = "Example:\n  waypost account suspend me@example.com --reason 'its password leaked'")]
    Suspend {
        /// The account.
        login: String,
        /// Why.
        #[arg(long, default_value = "stopped by the operator")]
        reason: String,
    },
    /// Let an account that was suspended go on.
    Resume {
        /// The account.
        login: String,
    },
    /// Allow no login for a while.
    Disable {
        /// The account.
        login: String,
    },
    /// Allow logins again.
    Enable {
        /// The account.
        login: String,
    },
    /// Remove an account.
    Remove {
        /// The account.
        login: String,
    },
    /// Read accounts of another mail server.
    #[command(subcommand)]
    Import(AccountImport),
}

/// Write an account's settings into a file.
#[derive(Debug, Args)]
pub struct AccountProfile {
    /// The account.
    pub login: String,
    /// The file [default: LOGIN.mobileconfig here].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The name that recipients see [default: the device asks].
    #[arg(long)]
    pub name: Option<String>,
    /// Where mail is read (IMAP, port 993).
    #[arg(long, value_name = "HOST")]
    pub imap_host: Option<Domain>,
    /// The user name there [default: the Gmail address that the alias leads to, or the device asks].
    #[arg(long, value_name = "USER")]
    pub imap_user: Option<String>,
}

/// Client certificates.
#[derive(Debug, Subcommand)]
pub enum AccountCertificate {
    /// Add a certificate.
    #[command(after_help = "Example:\n  waypost account certificate add printer@example.com printer.pem --name printer")]
    Add {
        /// The account.
        login: String,
        /// The certificate (PEM).
        file: PathBuf,
        /// Which client it is for.
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

/// Read accounts of another mail server.
#[derive(Debug, Subcommand)]
pub enum AccountImport {
    /// Cyrus SASL's sasldb2, as saslpasswd2 makes it.
    #[command(
        after_help = "A user without @ is taken with its realm, or with --domain where that is the name of a host. With login_domain = \"example.com\"
under [submission], clients go on to log in without @example.com. An import that was cut off goes on when it is run again.

Examples:
  waypost account import sasldb2 /etc/sasldb2 --dry-run
  waypost account import sasldb2 /etc/sasldb2 --domain example.com --sender me@example.com
  waypost account import sasldb2 /etc/sasldb2 --domain example.com --legacy CRAM-MD5"
    )]
    Sasldb2 {
        /// The file.
        file: PathBuf,
        /// The domain of users that have none, instead of their realm.
        #[arg(long)]
        domain: Option<String>,
        /// Allow a mechanism that needs the password itself. Can be given several times.
        #[arg(long, value_name = "MECHANISM")]
        legacy: Vec<String>,
        /// An address that each account may send as besides its own: an address, @domain, or * for any. Can be given several times.
        #[arg(long, value_name = "ADDRESS")]
        sender: Vec<String>,
        /// Replace the passwords of accounts that are there.
        #[arg(long)]
        replace: bool,
        /// Say what would be done and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Lines user:hash, as in Dovecot's passwd-file, /etc/shadow and htpasswd.
    #[command(
        after_help = "Hashes: $6$, $5$, $y$, $2b$, $argon2id$, and Dovecot's {SCHEME} before them. Each is hashed anew when it is first used.
Whom Dovecot does not let log in (nologin), or only from some networks (allow_nets), is imported and suspended.

Examples:
  waypost account import passwd /etc/dovecot/users
  getent shadow ann bob | waypost account import passwd - --domain example.com"
    )]
    Passwd {
        /// The file; - for standard input.
        file: PathBuf,
        /// The domain of users that have none.
        #[arg(long)]
        domain: Option<String>,
        /// An address that each account may send as besides its own: an address, @domain, or * for any. Can be given several times.
        #[arg(long, value_name = "ADDRESS")]
        sender: Vec<String>,
        /// Replace the passwords of accounts that are there.
        #[arg(long)]
        replace: bool,
        /// Say what would be done and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}
