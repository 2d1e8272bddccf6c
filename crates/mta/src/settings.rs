//! What the flow needs to be told, as values. The configuration file is read elsewhere.
//!
//! Invariant: every limit has a name and a unit here; no other file of this crate has a number that an operator might want
//! to change.

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

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// Mail from other servers (port 25).
    Mx,
    /// Mail from our accounts, STARTTLS (port 587).
    Submission,
    /// Mail from our accounts, implicit TLS (port 465).
    Submissions,
    /// Mail from our accounts, implicit TLS with a client certificate: a port of its own, since some clients present one wherever they are
    /// asked and then fail.
    ByCertificate,
}

impl ListenerKind {
    /// The word for logs and the configuration.
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
    /// What for.
    pub kind: ListenerKind,
    /// Where.
    pub address: SocketAddr,
}

/// Bounds on what clients may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest message, in octets.
    pub message_bytes: u64,
    /// Recipients of one message.
    pub recipients: usize,
    /// Memory for content that is arriving, in octets: up to 384 KiB for each message.
    pub content_memory_bytes: u64,
    /// Sessions at a time.
    pub sessions: usize,
    /// Sessions at a time from one IPv4 address or one IPv6 /64.
    pub sessions_per_client: usize,
    /// A command must be complete so long after the one before, in seconds.
    pub command_timeout_s: u64,
    /// Content must bring 64 KiB in this time, in seconds.
    pub content_timeout_s: u64,
    /// A TLS handshake must be over in this time, in seconds.
    pub handshake_timeout_s: u64,
    /// Failed logins within ten minutes from one IPv4 address or one IPv6 /64, before it is put off.
    pub failed_logins_per_client: u32,
    /// Failed logins within ten minutes for one account, from networks that it was never used from.
    pub failed_logins_per_account: u32,
    /// A client that talks before the banner is turned away; the banner waits so long, in milliseconds.
    pub greet_delay_ms: u64,
}

/// A fixed next hop for some destinations: a smarthost, or a private route.
#[derive(Debug, Clone)]
pub struct Route {
    /// The destinations; empty means all.
    pub domains: Vec<Domain>,
    /// The flows; empty means all.
    pub flows: Vec<Flow>,
    /// The host; localhost where there is a socket.
    pub host: Domain,
    /// Its port.
    pub port: u16,
    /// The Unix socket of a mailbox server on this machine, instead of a port.
    pub socket: Option<PathBuf>,
    /// Mailboxes on this machine, instead of a host.
    pub maildir: Option<MaildirPlace>,
    /// Whether it is only for mail that does not get through to its own hosts.
    pub is_last_resort: bool,
    /// The keys of which the host must have one; then nothing else is verified.
    pub pins: Vec<KeyPin>,
    /// What is spoken.
    pub protocol: Protocol,
    /// How TLS is used.
    pub tls: TlsMode,
    /// Whether its certificate is verified.
    pub verify: bool,
    /// The login.
    pub credentials: Option<Credentials>,
}

/// How much an account may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// Recipients within an hour.
    pub per_hour: u32,
    /// Recipients within a day to whom it has never sent.
    pub new_per_day: u32,
}

/// How mail goes out.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The port of other servers; 25 except in a laboratory.
    pub port: u16,
    /// The port of the hosts of MTA-STS policies; 443 except in a laboratory.
    pub policy_port: u16,
    /// Whether IPv6 is used.
    pub ipv6: bool,
    /// Whether it is used only from an address whose name and SPF are in order.
    pub check_ipv6: bool,
    /// Whether loopback addresses are mail hosts like any other: only in a laboratory.
    pub loopback: bool,
    /// Connections to the hosts of a lane at a time; each flow has lanes of its own.
    pub connections_per_host: usize,
    /// Messages over one connection.
    pub messages_per_connection: u32,
    /// TCP connections must be up in this time, in seconds.
    pub connect_timeout_s: u64,
    /// An idle connection is kept so long for the next message, in seconds.
    pub keep_s: u64,
    /// A host that could not be reached is left alone so long, in seconds.
    pub host_pause_s: u64,
    /// At a stop, what is under way gets so long, in seconds.
    pub shutdown_grace_s: u64,
    /// The address from which connections are made.
    pub source: Option<IpAddr>,
    /// Fixed next hops; the first that fits is taken.
    pub routes: Vec<Route>,
}

impl Delivery {
    /// How long what is under way gets at a stop.
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_s)
    }
}

/// How forwarded mail is treated.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Its return addresses; their domain is that of its DKIM signatures too.
    pub srs: Srs,
    /// The address from which forwards leave, where it is another than that of own mail.
    pub source: Option<IpAddr>,
    /// The name in EHLO of forwards, where it is another than that of this server.
    pub hello: Option<Domain>,
    /// Whether the target takes the message while its sender waits.
    pub cut_through: bool,
    /// How long the sender waits for the target at most, in seconds.
    pub deadline_s: u64,
    /// What becomes of mail that neither SPF nor DKIM vouches for.
    pub unauthenticated: Unauthenticated,
    /// What becomes of mail whose own domain asks that it be distrusted, or of which the target would say so.
    pub strict_domain: StrictDomain,
    /// Held mail is kept so long, in seconds.
    pub hold_s: u32,
    /// Held mail takes at most so much, in octets; what comes beyond is put off.
    pub held_bytes: u64,
    /// The postmaster is told of held mail and unreported failures at most this often, in seconds; never where it is 0.
    pub notice_s: u32,
    /// Reports taken for one return address within an hour.
    pub reports_per_sender: u32,
}

/// What becomes of mail while the filter gives no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenDown {
    /// It passes.
    Pass,
    /// It is put off.
    Defer,
}

/// The spam filter.
#[derive(Debug, Clone)]
pub struct Filtering {
    /// Where it is and what it speaks.
    pub filter: spam_filter::Filter,
    /// What becomes of mail while it gives no verdict.
    pub when_down: WhenDown,
    /// Whether it is asked about what accounts send.
    pub submission: bool,
}

/// The reports that are sent to other domains.
#[derive(Debug, Clone)]
pub struct Reporting {
    /// Whether reports of TLS are sent.
    pub tls: bool,
    /// Whether aggregate reports of DMARC are sent.
    pub dmarc: bool,
    /// Who answers questions about them; the postmaster of the forwarding domain where nobody is named.
    pub contact: Option<Mailbox>,
    /// The time that one report is about, in seconds: a day.
    pub every_s: u32,
}

/// Settings that a reload can change.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our name: banner, EHLO, trace fields.
    pub hostname: Domain,
    /// Who looks after this server.
    pub postmaster: Option<Mailbox>,
    /// Characters that separate a user from an extension.
    pub delimiters: String,
    /// A Postfix virtual file that adds aliases.
    pub virtual_file: Option<VirtualSource>,
    /// Bounds.
    pub limits: Limits,
    /// How forwarded mail is treated.
    pub forward: Forward,
    /// The spam filter, where there is one.
    pub filtering: Option<Filtering>,
    /// How mail goes out.
    pub delivery: Delivery,
    /// The reports that are sent to other domains.
    pub reporting: Reporting,
    /// When it is tried again.
    pub schedule: Schedule,
    /// How much an account may send, where it has no limits of its own.
    pub submission: Sending,
    /// Whether SCRAM is offered with channel binding.
    pub channel_binding: bool,
    /// The domain of user names that clients log in with and that have none.
    pub login_domain: Option<Domain>,
    /// As whom users of this machine may send, besides themselves.
    pub local_users: Vec<policy::LocalRule>,
    /// Where access tokens are checked, if they are taken.
    pub introspection: Option<net::Introspection>,
    /// Whether the log names the mailbox behind an alias.
    pub log_targets: bool,
}

/// Who we are towards other servers: what strangers send leaves under one identity, what the owner sends under another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The address from which connections are made, where it is not the system's choice.
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

/// Settings that are read anew for each decision.
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
            channel_binding: false,
            login_domain: None,
            local_users: Vec::new(),
            introspection: None,
            log_targets: true,
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
