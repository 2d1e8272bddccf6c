//! The settings of the server, as values. Another crate reads the configuration file.
//!
//! Invariant: every limit that an operator may want to change has a name and a unit here.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use directory::StrictDomain;
use mail::srs::Srs;
use mail::{Domain, Mailbox};
use net::KeyPin;
use policy::{MaildirPlace, Schedule, Unauthenticated};
use smtp::client::{Credentials, Protocol, TlsMode};
use store::Flow;

use crate::support::virtual_source::VirtualSource;

/// The kind of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenerKind {
    /// Mail from other servers (port 25).
    Mx,
    /// Mail from our accounts, STARTTLS (port 587).
    Submission,
    /// Mail from our accounts, implicit TLS (port 465).
    Submissions,
    /// Mail from our accounts, implicit TLS with a client certificate: on a port of its own, since some clients present one whenever
    /// the server asks, and then fail.
    ByCertificate,
}

impl ListenerKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Mx, Self::Submission, Self::Submissions, Self::ByCertificate];

    /// The name in logs and the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::ByCertificate => "submissions-by-certificate",
        }
    }
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The kind.
    pub kind: ListenerKind,
    /// The address.
    pub address: SocketAddr,
}

/// Limits on what clients may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Maximum size of a message, in octets.
    pub message_bytes: u64,
    /// Maximum recipients of one message.
    pub recipients: usize,
    /// Maximum memory for incoming content, in octets: up to 384 KiB per message.
    pub content_memory_bytes: u64,
    /// Maximum memory of the process, in octets; beyond it unknown clients are turned away.
    pub memory_bytes: u64,
    /// Maximum sessions at a time.
    pub sessions: usize,
    /// Maximum sessions at a time from one IPv4 address or one IPv6 /64.
    pub sessions_per_client: usize,
    /// Timeout for a command, in seconds.
    pub command_timeout_s: u64,
    /// Timeout for each 64 KiB of content, in seconds.
    pub content_timeout_s: u64,
    /// Timeout for a TLS handshake, in seconds.
    pub handshake_timeout_s: u64,
    /// Maximum failed logins within ten minutes from one IPv4 address or one IPv6 /64.
    pub failed_logins_per_client: u32,
    /// Maximum failed logins within ten minutes for one account, from unknown networks.
    pub failed_logins_per_account: u32,
    /// Delay of the banner, in milliseconds; a client that talks first is rejected.
    pub greet_delay_ms: u64,
}

/// A fixed next hop for some destinations: a smarthost, or a private route.
#[derive(Debug, Clone)]
pub struct Route {
    /// The destination domains; empty means all.
    pub domains: Vec<Domain>,
    /// The flows; empty means all.
    pub flows: Vec<Flow>,
    /// The host; localhost for a socket.
    pub host: Domain,
    /// Its port.
    pub port: u16,
    /// The Unix socket of a local mailbox server, instead of a port.
    pub socket: Option<PathBuf>,
    /// Local mailboxes, instead of a host.
    pub maildir: Option<MaildirPlace>,
    /// Whether it is used only if the domain's own hosts are unreachable.
    pub is_last_resort: bool,
    /// The public keys of which the host must present one; then nothing else is verified.
    pub pins: Vec<KeyPin>,
    /// The protocol.
    pub protocol: Protocol,
    /// The TLS mode.
    pub tls: TlsMode,
    /// Whether its certificate is verified.
    pub verify: bool,
    /// The credentials.
    pub credentials: Option<Credentials>,
}

/// The sending limits of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// Maximum recipients per hour.
    pub per_hour: u32,
    /// Maximum new recipients per day.
    pub new_per_day: u32,
}

/// Settings of deliveries.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The port of other servers; 25 except in tests.
    pub port: u16,
    /// The port of the hosts of MTA-STS policies; 443 except in tests.
    pub policy_port: u16,
    /// Whether IPv6 is used.
    pub ipv6: bool,
    /// Whether IPv6 is used only from an address with valid reverse DNS and SPF.
    pub check_ipv6: bool,
    /// Whether loopback addresses are valid mail hosts: only in tests.
    pub loopback: bool,
    /// Maximum connections per host at a time, for each flow.
    pub connections_per_host: usize,
    /// Maximum messages per connection.
    pub messages_per_connection: u32,
    /// Timeout for a TCP connection, in seconds.
    pub connect_timeout_s: u64,
    /// How long an idle connection is kept for the next message, in seconds.
    pub keep_s: u64,
    /// How long an unreachable host is paused, in seconds.
    pub host_pause_s: u64,
    /// Grace period for open deliveries at a shutdown, in seconds.
    pub shutdown_grace_s: u64,
    /// The source address of connections.
    pub source: Option<IpAddr>,
    /// Fixed next hops; the first match is used.
    pub routes: Vec<Route>,
}

impl Delivery {
    /// The grace period for open deliveries at a shutdown.
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_s)
    }
}

/// Settings of forwarded mail.
#[derive(Debug, Clone)]
pub struct Forward {
    /// The return addresses; their domain also signs with DKIM.
    pub srs: Srs,
    /// The source address of forwards, if it differs from that of own mail.
    pub source: Option<IpAddr>,
    /// The EHLO name of forwards, if it differs from the hostname.
    pub hello: Option<Domain>,
    /// Whether a DKIM2 chain that verified is continued with our hop.
    pub extend_dkim2: bool,
    /// Whether the message is delivered to its target while the sender waits.
    pub cut_through: bool,
    /// Maximum time that the sender waits for the target, in seconds.
    pub deadline_s: u64,
    /// Treatment of mail that passes neither SPF nor DKIM.
    pub unauthenticated: Unauthenticated,
    /// Treatment of mail that fails its domain's DMARC policy, or would fail it at the target.
    pub strict_domain: StrictDomain,
    /// Retention of held mail, in seconds.
    pub hold_s: u32,
    /// Maximum disk space for held mail, in octets; beyond it, such mail is deferred.
    pub held_bytes: u64,
    /// Minimum interval between letters to the postmaster about held mail and failures, in seconds; 0 sends none.
    pub notice_s: u32,
    /// Maximum DSNs per hour for one return address.
    pub reports_per_sender: u32,
}

/// Treatment of mail while the filter is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenDown {
    /// Accepted.
    Pass,
    /// Deferred.
    Defer,
}

/// The spam filter.
#[derive(Debug, Clone)]
pub struct Filtering {
    /// Its address and protocol.
    pub filter: spam_filter::Filter,
    /// Treatment of mail while it is down.
    pub when_down: WhenDown,
    /// Whether it checks mail from accounts too.
    pub submission: bool,
}

/// The reports that are sent to other domains.
#[derive(Debug, Clone)]
pub struct Reporting {
    /// Whether TLS reports are sent.
    pub tls: bool,
    /// Whether DMARC reports are sent.
    pub dmarc: bool,
    /// The contact address in them. Default: the postmaster of the forwarding domain.
    pub contact: Option<Mailbox>,
    /// The period of one report, in seconds: a day.
    pub every_s: u32,
}

/// Settings that a reload can change.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The hostname: banner, EHLO, trace fields.
    pub hostname: Domain,
    /// The postmaster's address.
    pub postmaster: Option<Mailbox>,
    /// Characters that separate a user from an extension.
    pub delimiters: String,
    /// A Postfix virtual file that adds aliases.
    pub virtual_file: Option<VirtualSource>,
    /// Limits.
    pub limits: Limits,
    /// Settings of forwarded mail.
    pub forward: Forward,
    /// The spam filter, if configured.
    pub filtering: Option<Filtering>,
    /// Settings of deliveries.
    pub delivery: Delivery,
    /// The reports that are sent to other domains.
    pub reporting: Reporting,
    /// When deliveries are retried.
    pub schedule: Schedule,
    /// The default sending limits of an account.
    pub submission: Sending,
    /// Whether own mail is signed with DKIM2 too.
    pub sign_dkim2: bool,
    /// Whether SCRAM is offered with channel binding.
    pub channel_binding: bool,
    /// The default domain of user names in logins.
    pub login_domain: Option<Domain>,
    /// The addresses that local users may send from, besides their own.
    pub local_users: Vec<policy::LocalRule>,
    /// Where access tokens are checked, if they are accepted.
    pub introspection: Option<net::Introspection>,
    /// Whether the log names the mailbox behind an alias.
    pub log_targets: bool,
    /// Whether events have the Subject field of a message.
    pub history_subjects: bool,
}

/// Our identity to other servers: forwards and own mail can have different ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The source address; `None` leaves the choice to the system.
    pub source: Option<IpAddr>,
    /// The name in EHLO.
    pub hello: Domain,
}

impl Settings {
    /// The identity of a kind of mail.
    pub fn identity(&self, flow: Flow) -> Identity {
        let forward = (flow == Flow::Forward).then_some(&self.forward);
        Identity {
            source: forward.and_then(|forward| forward.source).or(self.delivery.source),
            hello: forward.and_then(|forward| forward.hello.clone()).unwrap_or_else(|| self.hostname.clone()),
        }
    }
}

/// The settings in force, which a reload replaces.
pub type LiveSettings = Arc<arc_swap::ArcSwap<Settings>>;

#[cfg(test)]
impl Settings {
    /// The settings of unit tests.
    pub(crate) fn plain() -> Self {
        use mail::srs::{Hash, Secret};
        let hostname = Domain::parse("mx.example.test").unwrap();
        let secrets = vec![Secret { hash: Hash::Sha256, key: b"secret".to_vec() }];
        Self {
            forward: Forward {
                srs: Srs { domain: Domain::parse("fwd.example.test").unwrap(), secrets, mac: net::srs_mac },
                source: None,
                hello: None,
                extend_dkim2: true,
                cut_through: true,
                deadline_s: 50,
                unauthenticated: Unauthenticated::Reject,
                strict_domain: StrictDomain::Rewrite,
                hold_s: 3600,
                held_bytes: 1 << 20,
                notice_s: 3600,
                reports_per_sender: 20,
            },
            filtering: None,
            hostname,
            postmaster: None,
            delimiters: "+".into(),
            virtual_file: None,
            limits: Limits {
                message_bytes: 1 << 20,
                recipients: 100,
                content_memory_bytes: 8 << 20,
                memory_bytes: u64::MAX,
                sessions: 10,
                sessions_per_client: 10,
                command_timeout_s: 10,
                content_timeout_s: 10,
                handshake_timeout_s: 10,
                greet_delay_ms: 0,
                failed_logins_per_client: 10,
                failed_logins_per_account: 20,
            },
            submission: Sending { per_hour: 1000, new_per_day: 200 },
            sign_dkim2: false,
            channel_binding: false,
            login_domain: None,
            local_users: Vec::new(),
            introspection: None,
            log_targets: true,
            history_subjects: false,
            delivery: Delivery {
                port: 25,
                policy_port: 443,
                ipv6: false,
                check_ipv6: true,
                loopback: false,
                connections_per_host: 1,
                messages_per_connection: 1,
                connect_timeout_s: 1,
                keep_s: 1,
                host_pause_s: 1,
                shutdown_grace_s: 1,
                source: None,
                routes: Vec::new(),
            },
            reporting: Reporting { tls: true, dmarc: false, contact: None, every_s: 86_400 },
            schedule: Schedule::default(),
        }
    }
}
