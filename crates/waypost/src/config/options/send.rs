//! Options about what is sent: delivery, forwards, fixed next hops, retries, reports to other domains.

use std::net::IpAddr;
use std::path::PathBuf;

use directory::StrictDomain;
use mail::{Domain, Mailbox};
use net::KeyPin;
use policy::MaildirPlace;
use serde::Deserialize;
use toml::Spanned;

use super::super::option_row::{OptionInForce, OptionPart, OptionRow};
use super::super::values::{Int, OptionKind, Secs, Size, Text};
use super::super::words::{FlowWord, ForwardMode, ProtocolWord, TlsWord, UnauthenticatedWord, WhenWord};
use super::{section, spanned};

section!("[delivery]", "Connections to other servers.", DeliveryOptions, [], {
    /// The SMTP port of other servers: 25, except in tests.
    port: Int<1, 65_535> = Int(25);
    /// The HTTPS port of the hosts that serve MTA-STS policies: 443, except in tests.
    mta_sts_port was "policy_port": Int<1, 65_535> = Int(443);
    /// Whether to use IPv6.
    ipv6: bool = true;
    /// Use IPv6 only from an address that has a matching PTR record and passes SPF: Gmail and others refuse mail from any other IPv6 address.
    check_ipv6: bool = true;
    /// Whether to deliver to hosts with loopback addresses: only in tests.
    loopback: bool = false;
    /// Maximum concurrent connections to one host, for each flow: own mail, forwards, DSNs.
    connections_per_host: Int<1, 10_000> = Int(20);
    /// Maximum messages over one connection.
    messages_per_connection: Int<1, 100_000> = Int(100);
    /// Maximum time to open a TCP connection, in seconds.
    connect_timeout_s: Int<1, 600> = Int(30);
    /// How long an idle connection is kept open for the next message, in seconds.
    idle_timeout_s was "keep_s": Int<0, 300> = Int(2);
    /// Wait before a host is tried again that could not be reached, in seconds.
    host_pause_s: Int<0, 86_400> = Int(60);
    /// Maximum time for deliveries in progress to finish when the server stops, in seconds. Then they are cut off; a message that its host has already
    /// accepted is delivered twice.
    shutdown_grace_s: Int<0, 3_600> = Int(30);
    /// The local address for outgoing connections. Default: chosen by the system.
    source: Option<Text<IpAddr>> = None;
});

section!("[forward]", "Forwarding of mail to your aliases.", ForwardOptions, [], {
    /// The domain of return addresses (SRS) and DKIM signatures of forwards. It must resolve to this server and should not be a domain of your own mail:
    /// fwd.example.com, for example. Default: hostname.
    domain: Option<Text<Domain>> = None;
    /// A file with the secrets of return addresses, one on each line: the first signs new addresses, all are accepted; put "postsrsd:" before a secret
    /// of postsrsd. Default: srs.secrets in data_dir, which the server creates.
    secrets_file: Option<PathBuf> = None;
    /// The local address for forwards, so that forwards and your own mail have separate reputations. Default: delivery.source.
    source: Option<Text<IpAddr>> = None;
    /// The name in EHLO for forwards; its address must be `source`. Default: hostname.
    ehlo_name was "hello": Option<Text<Domain>> = None;
    /// Whether to continue a DKIM2 chain that verified, by a signature of this hop: without it, the target finds that the chain ends here. The target's
    /// address is in the signature, and so in the target's copy alone. A chain that does not verify is forwarded as it is.
    extend_dkim2: bool = true;
    /// "cut-through": deliver to the target while the sender waits, and answer with the target's reply. "queue": store the message first.
    mode: ForwardMode = ForwardMode::CutThrough;
    /// Maximum time that the sender waits for the target, in seconds; then the message is queued.
    cut_through_timeout_s was "deadline_s": Int<1, 300> = Int(50);
    /// What to do with mail that passes neither SPF nor DKIM: "reject", "hold" or "accept". Gmail refuses all of it.
    unauthenticated: UnauthenticatedWord = UnauthenticatedWord::Reject;
    /// What to do with mail of a domain with a strict DMARC policy that fails at the target because it was forwarded: "rewrite" the From field after the
    /// target has refused it, "wrap" it into a message of this server, "hold" it, "reject" it, or forward it "as-is".
    strict_domain: StrictDomain = StrictDomain::Rewrite;
    /// How long held mail is kept.
    hold_for: Secs = Secs(14 * 86_400);
    /// Maximum size of all held mail.
    held_bytes: Size = Size(1 << 30);
    /// Minimum time between two notices to the postmaster about held mail and about failures without a DSN. "0s" disables the notices.
    notice_every: Secs = Secs(3600);
    /// Maximum DSNs accepted for one return address in an hour.
    dsns_per_sender was "reports_per_sender": Int<1, 1_000_000> = Int(20);
});

section!("[[route]]", "A fixed next hop (smarthost) instead of the MX records. Can be repeated; the first match is used.", RouteOptions, [], {
    /// The destination domains. Empty: all.
    domains: Vec<Text<Domain>> = Vec::new();
    /// The flows: mail from accounts, forwards, DSNs and reports. Empty: all.
    flows: Vec<FlowWord> = Vec::new();
    /// The next hop. Required, unless `socket` or `maildir` is set.
    host: Option<Text<Domain>> = None;
    /// The Unix socket of an LMTP server on this machine, instead of host and port: "/run/dovecot/lmtp".
    socket: Option<PathBuf> = None;
    /// Deliver to maildirs on this machine, instead of a host: "/var/mail/{domain}/{user}". They are created on demand; the server's user needs
    /// permission to write there.
    maildir: Option<Text<MaildirPlace>> = None;
    /// "always", or "unreachable": only for mail whose own hosts cannot be reached, for example because the hoster blocks port 25.
    when: WhenWord = WhenWord::Always;
    /// "smtp", or "lmtp" for a mailbox server such as Dovecot, which serves IMAP and POP3. A socket implies "lmtp".
    protocol: ProtocolWord = ProtocolWord::Smtp;
    /// Its port: usually 587 with tls = "required", 465 with "implicit", 25 with "opportunistic".
    port: Int<1, 65_535> = Int(587);
    /// How TLS is used.
    tls: TlsWord = TlsWord::Required;
    /// Whether to verify the certificate of the next hop.
    verify: bool = true;
    /// The public keys to accept from the next hop (`waypost route check` prints its key). With a pin, name and CA of the certificate are not checked.
    pin: Vec<Text<KeyPin>> = Vec::new();
    /// The login at the next hop.
    user: Option<String> = None;
    /// A file with the password on its first line, readable by the server only.
    password_file: Option<Spanned<PathBuf>> = None;
    /// The domain that the smarthost's instructions put after include: in SPF records. It is planned for the domains whose mail takes this route.
    spf_include was "spf": Option<Text<Domain>> = None;
});

section!("[retry]", "When deferred mail is tried again, and when it fails.", RetryOptions, [], {
    /// The wait after each attempt, in seconds; the last one repeats.
    waits_s: Spanned<Vec<Int<1, 604_800>>> = spanned(policy::Schedule::default().waits_s.into_iter().map(|s| Int(u64::from(s))).collect());
    /// Random variation of each wait, in percent of it.
    jitter_percent: Int<0, 50> = Int(u64::from(policy::Schedule::default().jitter_percent));
    /// Maximum time in the queue; then the message fails.
    lifetime: Secs = Secs(policy::Schedule::default().lifetime_s);
    /// Send a DSN about the delay to the sender of a message that is still queued after this time. Default: never.
    delay_dsn_after was "delay_report_s": Option<Secs> = policy::Schedule::default().delay_report_s.map(Secs);
});

section!("[reports]", "Daily reports to other domains.", ReportsOptions, [], {
    /// Whether to send TLS reports to the domains that ask for them (`_smtp._tls`). Reports by mail need a DKIM key of the forwarding domain.
    tls: bool = true;
    /// Whether to send DMARC reports to the domains that ask for them (rua=): which mail arrived under their names, and what was done with it. They need a
    /// DKIM key of the forwarding domain.
    dmarc: bool = false;
    /// The contact address in reports. Default: postmaster of the forwarding domain.
    contact: Option<Text<Mailbox>> = None;
    /// The period that a report covers: a day, except in tests.
    every: Secs = Secs(86_400);
});
