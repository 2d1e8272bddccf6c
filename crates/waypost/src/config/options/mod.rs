//! The options: section, name, kind, default and meaning of each, once. Here the top of the file and the log; the rest by what it is about.
//!
//! Invariant: an option that is not here does not exist, and a key that is not here is refused (threats.md 85).

mod history;
mod notices;
mod public;
mod receive;
mod sandbox;
mod send;
mod store;

use std::path::PathBuf;

use mail::{Domain, Mailbox};
use serde::Deserialize;
use toml::Spanned;

use super::option_row::{OptionInForce, OptionPart, OptionRow};
use super::values::{OptionKind, Text};
use super::words::LogFormat;

pub use history::HistoryOptions;
pub use notices::NoticesOptions;
pub use public::{ApiOptions, ClientConfigOptions, DnsOptions, MtaStsOptions};
pub use receive::{AcmeOptions, FilterOptions, LimitsOptions, ListenOptions, OauthOptions, SubmissionOptions, TlsOptions};
pub use sandbox::SandboxOptions;
pub use send::{DeliveryOptions, ForwardOptions, ReportsOptions, RetryOptions, RouteOptions};
pub use store::StoreOptions;

/// A section of the file. `name was "old"` also reads the option by its former name.
macro_rules! section {
    ($header:literal, $about:expr, $struct:ident, [$($field:ident: $part:ty),*],
     { $( $(#[doc = $doc:literal])+ $name:ident $(was $old:literal)? : $kind:ty = $default:expr; )* }) => {
        #[doc = $about]
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        #[allow(missing_docs)]
        pub struct $struct {
            $( $(#[doc = $doc])+ $(#[serde(alias = $old)])? pub $name: $kind, )*
            $( pub $field: $part, )*
        }

        impl Default for $struct {
            fn default() -> Self {
                Self { $( $name: $default, )* $( $field: Default::default(), )* }
            }
        }

        impl $struct {
            fn rows(rows: &mut Vec<OptionRow>) {
                let default = Self::default();
                $( rows.push(OptionRow {
                    section: $header,
                    about: $about,
                    name: stringify!($name),
                    former: [$($old)?].first().copied(),
                    kind: <$kind as OptionKind>::kind(),
                    default: default.$name.text(),
                    doc: concat!($($doc),+).trim_ascii(),
                }); )*
                $( <$part as OptionPart>::rows(rows); )*
            }

            fn in_force(&self, options: &mut Vec<OptionInForce>) {
                let default = Self::default();
                $( options.push(OptionInForce {
                    section: $header,
                    name: stringify!($name),
                    value: self.$name.text(),
                    default: default.$name.text(),
                    doc: concat!($($doc),+).trim_ascii(),
                }); )*
                $( OptionPart::in_force(&self.$field, options); )*
            }
        }

        impl OptionPart for $struct {
            fn rows(rows: &mut Vec<OptionRow>) { Self::rows(rows); }
            fn in_force(&self, options: &mut Vec<OptionInForce>) { Self::in_force(self, options); }
        }
    };
}
use section;

/// Returns all options, in the order of the file.
pub fn all() -> Vec<OptionRow> {
    let mut rows = Vec::new();
    FileOptions::rows(&mut rows);
    rows
}

impl FileOptions {
    /// Returns all options as they are in force, in the order of the file.
    pub fn options_in_force(&self) -> Vec<OptionInForce> {
        let mut options = Vec::new();
        self.in_force(&mut options);
        options
    }

    /// The file with the secrets of return addresses.
    pub fn srs_secrets(&self) -> PathBuf {
        self.forward.secrets_file.clone().unwrap_or_else(|| self.data_dir.join("srs.secrets"))
    }

    /// The file with the key that seals passwords.
    pub fn password_key(&self) -> PathBuf {
        self.submission.password_key_file.clone().unwrap_or_else(|| self.data_dir.join("passwords.key"))
    }
}

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

section!("", "Options at the top of the file, before the first section.", FileOptions,
    [listen: ListenOptions, tls: TlsOptions, acme: AcmeOptions, limits: LimitsOptions, forward: ForwardOptions, submission: SubmissionOptions, oauth: OauthOptions, filter: FilterOptions, delivery: DeliveryOptions, route: Vec<Spanned<RouteOptions>>, retry: RetryOptions, reports: ReportsOptions, client_config: ClientConfigOptions, api: ApiOptions, mta_sts: MtaStsOptions, dns: DnsOptions, store: StoreOptions, history: HistoryOptions, notices: NoticesOptions, sandbox: SandboxOptions, log: LogOptions], {
    /// The name of this server in its greeting, EHLO and trace fields. It needs an A or AAAA record, and the PTR record of the address should name it.
    /// Required.
    hostname: Option<Text<Domain>> = None;
    /// Directory of the queue, the accounts and aliases, and the keys and certificate for which no other file is named.
    data_dir: PathBuf = PathBuf::from("/var/lib/waypost");
    /// The address of the operator: gets the notices of this server and mail to `postmaster` without a domain.
    postmaster: Option<Text<Mailbox>> = None;
    /// Characters that begin an extension: with "+", mail to me+shop@ goes where mail to me@ goes. "" means no extensions.
    recipient_delimiter: Spanned<String> = spanned("+".into());
    /// A file in the format of Postfix's virtual(5) with further aliases; a change is read at once.
    virtual_file: Option<PathBuf> = None;
    /// The domain that is added to names without one in virtual_file (Postfix: myorigin). Without it, such a line is an error.
    virtual_origin: Option<Text<Domain>> = None;
    /// The Unix socket through which the other commands control the server. Default: waypost.sock in data_dir.
    admin_socket: Option<PathBuf> = None;
    /// The Unix socket through which `waypost sendmail` submits mail; every user of this machine may open it. Default: /run/waypost/submit.sock if
    /// data_dir is /var/lib/waypost, otherwise submit.sock in data_dir.
    submit_socket: Option<PathBuf> = None;
});

section!("[log]", "The log, written to standard error. A change needs a restart.", LogOptions, [], {
    /// Lines of text, or one JSON object for each event.
    format: LogFormat = LogFormat::Text;
    /// error, warn, info, debug or trace; can differ for each part of the program: "info,mta=debug".
    level: Spanned<String> = spanned("info".into());
    /// Whether the log shows the targets of aliases. Otherwise foo@inbox.test is logged as f***@inbox.test, also in replies of its host.
    targets: bool = true;
});
