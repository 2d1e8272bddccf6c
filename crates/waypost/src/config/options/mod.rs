//! The options: section, name, kind, default and meaning of each, once.
//!
//! Invariant: an option that is not here does not exist, and a key that is not here is refused (threats.md 85).

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use dns_providers::DnsProvider;
use mail::{Domain, Mailbox};
use net::KeyPin;
use policy::{LocalRule, MaildirPlace};
use serde::Deserialize;
use toml::Spanned;

use super::option_row::{OptionRow, Part};
use super::values::{Int, Kind, Score, Secs, Size, Text};
use super::words::{
    ChallengeWord, DmarcWord, FilterWord, FlowWord, ForwardMode, LogFormat, ProtocolWord, StrictDomainWord, StsWord, TlsWord,
    UnauthenticatedWord, ValidateWord, WhenDownWord, WhenWord,
};

macro_rules! section {
    ($header:literal, $about:expr, $struct:ident, [$($field:ident: $part:ty),*],
     { $( $(#[doc = $doc:literal])+ $name:ident : $kind:ty = $default:expr; )* }) => {
        #[doc = $about]
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        #[allow(missing_docs)]
        pub struct $struct {
            $( $(#[doc = $doc])+ pub $name: $kind, )*
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
                    kind: <$kind as Kind>::kind(),
                    default: default.$name.text(),
                    doc: concat!($($doc),+).trim_ascii(),
                }); )*
                $( <$part as Part>::rows(rows); )*
            }
        }

        impl Part for $struct {
            fn rows(rows: &mut Vec<OptionRow>) { Self::rows(rows); }
        }
    };
}

/// All options, in the order of the file.
pub fn all() -> Vec<OptionRow> {
    let mut rows = Vec::new();
    File::rows(&mut rows);
    rows
}

impl File {
    /// The file with the secrets of return addresses.
    pub fn srs_secrets(&self) -> PathBuf {
        self.forward.secrets_file.clone().unwrap_or_else(|| self.data_dir.join("srs.secrets"))
    }

    /// The file with the key of sealed passwords.
    pub fn password_key(&self) -> PathBuf {
        self.submission.password_key_file.clone().unwrap_or_else(|| self.data_dir.join("passwords.key"))
    }
}

fn on_port(port: u16) -> Vec<Text<SocketAddr>> {
    let any = [IpAddr::from([0, 0, 0, 0]), IpAddr::from([0u16; 8])];
    any.into_iter().map(|ip| Text(SocketAddr::new(ip, port))).collect()
}

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

section!("", "What stands at the top of the file.", File,
    [listen: Listen, tls: Tls, acme: Acme, limits: Limits, forward: Forward, submission: Submission, oauth: Oauth, filter: Filter, delivery: Delivery, route: Vec<Spanned<Route>>, retry: Retry, reports: Reports, client_config: ClientConfig, mta_sts: MtaSts, dns: Dns, log: Log], {
    /// The name of this server in banner, EHLO and trace fields. It must have an A or AAAA record, and the address's PTR
    /// record should name it.
    hostname: Option<Text<Domain>> = None;
    /// Where the queue, the directory and, unless other files are named, the certificate are kept.
    data_dir: PathBuf = PathBuf::from("/var/lib/waypost");
    /// Who looks after this server: mail to <postmaster> without a domain goes there.
    postmaster: Option<Text<Mailbox>> = None;
    /// Characters that set off an extension: with "+", mail to me+shop@ goes where mail to me@ goes. "" turns that off.
    recipient_delimiter: Spanned<String> = spanned("+".into());
    /// A file in the form of Postfix's virtual(5) that adds aliases; it is read again whenever it changes.
    virtual_file: Option<PathBuf> = None;
    /// The domain of names in virtual_file that have none, as Postfix's myorigin. Without it such names are faults of their lines.
    virtual_origin: Option<Text<Domain>> = None;
    /// The Unix socket through which the other commands talk to the server. Default: waypost.sock in data_dir.
    admin_socket: Option<PathBuf> = None;
    /// The Unix socket through which `waypost sendmail` hands over mail; every user of this machine may open it. Default: /run/waypost/submit.sock where
    /// data_dir is /var/lib/waypost, else submit.sock in data_dir.
    submit_socket: Option<PathBuf> = None;
});

section!("[listen]", "Where connections are accepted. An empty list turns a service off. A change needs a restart.", Listen, [], {
    /// Mail from other servers (SMTP).
    mx: Vec<Text<SocketAddr>> = on_port(25);
    /// Mail from your accounts, with STARTTLS.
    submission: Vec<Text<SocketAddr>> = on_port(587);
    /// Mail from your accounts, with TLS from the start.
    submissions: Vec<Text<SocketAddr>> = on_port(465);
    /// Mail from your accounts, with TLS from the start and a client certificate instead of a password (`waypost account certificate`).
    submissions_by_certificate: Vec<Text<SocketAddr>> = Vec::new();
    /// HTTP: authorities validate names here, everything else is sent on to HTTPS. Default: port 80 of all addresses, where nothing else has it.
    http: Option<Vec<Text<SocketAddr>>> = None;
    /// HTTPS: authorities validate names here too. Default: port 443 of all addresses, where nothing else has it.
    https: Option<Vec<Text<SocketAddr>>> = None;
});

section!("[tls]", "Certificate and key. Both files are read again when they change.", Tls, [pair: Vec<Spanned<TlsPair>>], {
    /// The certificate and its chain (PEM). Default: tls/cert.pem in data_dir, which setup makes.
    certificate: Option<PathBuf> = None;
    /// Its key (PEM); refused where other users can read it. Default: tls/key.pem in data_dir.
    key: Option<PathBuf> = None;
    /// A file of certificates (PEM) that are trusted beside the system's when mail is sent.
    extra_authorities: Option<PathBuf> = None;
});

section!("[[tls.pair]]", "A further certificate, shown to clients that ask for one of its names. It can stand several times.", TlsPair, [], {
    /// The certificate and its chain (PEM). Required.
    certificate: Option<PathBuf> = None;
    /// Its key (PEM). Required.
    key: Option<PathBuf> = None;
});

section!("[acme]", "Certificates from a public authority, got and renewed by the server. A change needs a restart.", Acme, [], {
    /// Whether certificates are ordered: one for hostname, one for mta-sts, autoconfig and autodiscover of each hosted domain, as far as these
    /// names lead to this server. With "true" you agree to the authority's terms of service.
    enabled: bool = false;
    /// The authority's directory.
    directory: String = net::acme::LETS_ENCRYPT.into();
    /// For trials: Let's Encrypt's staging directory instead. Nobody trusts what it issues.
    staging: bool = false;
    /// An address that the authority may write to. Default: none.
    contact: Option<Text<Mailbox>> = None;
    /// How names are validated: over port 80, over port 443, or by a TXT record that dns_hook makes.
    challenge: ChallengeWord = ChallengeWord::Http;
    /// A program for "dns-01", called as PROGRAM add NAME VALUE and PROGRAM remove NAME VALUE. When it ends, the record must be there to see.
    dns_hook: Option<PathBuf> = None;
    /// A certificate (PEM) by which the authority's own HTTPS is trusted, instead of the system's: for an authority in your own network.
    authority_root: Option<PathBuf> = None;
    /// Whether a renewed certificate has the key of the one before. Otherwise it has a new one: where TLSA records are planned (dns.tlsa), only once its
    /// record is in DNS, which is planned ahead.
    keep_key: bool = true;
});

section!("[limits]", "What clients may take.", Limits, [], {
    /// The largest message.
    message_bytes: Size = Size(50 << 20);
    /// Recipients of one message. RFC 5321 wants at least 100.
    recipients: Int<100, 100_000> = Int(100);
    /// Memory for messages that are being received, up to 384 KiB each. Senders that were not seen before use at most half of it, one network of them an
    /// eighth; the last eighth is for accounts. What does not fit waits for 5 seconds and is put off.
    content_memory_bytes: Size = Size(192 << 20);
    /// Sessions at a time. Of port 25, clients from networks that were not seen before have at most half; of the submission ports, clients that have
    /// not logged in have at most a quarter; where they have three quarters of that, those that are silent for 10 seconds are turned away.
    sessions: Int<1, 1_000_000> = Int(10_000);
    /// Sessions at a time from one IPv4 address or one IPv6 /64. One IPv4 /24 or IPv6 /48 has at most an eighth of all sessions, or this where it is more.
    sessions_per_client: Int<1, 1_000_000> = Int(100);
    /// A command must be complete so long after the one before, in seconds. RFC 5321 wants at least 300.
    command_timeout_s: Int<1, 86_400> = Int(300);
    /// Content must bring 64 KiB in this time, in seconds. From clients that have not logged in, its first octets must come within 30 seconds, and it
    /// must keep up this rate from its first minute on.
    content_timeout_s: Int<1, 86_400> = Int(300);
    /// A TLS handshake must be over in this time, in seconds.
    handshake_timeout_s: Int<1, 86_400> = Int(30);
    /// Failed logins within ten minutes from one IPv4 address or one IPv6 /64; then it is put off.
    failed_logins_per_client: Int<1, 1_000_000> = Int(10);
    /// Failed logins within ten minutes for one account, from all networks that it was not used from in the last 30 days; then these are put off.
    failed_logins_per_account: Int<1, 1_000_000> = Int(20);
    /// The banner waits so long, in milliseconds; who talks before it is turned away.
    greet_delay_ms: Int<0, 60_000> = Int(0);
});

section!("[delivery]", "How mail goes out.", Delivery, [], {
    /// The port of other servers: 25, except in a laboratory.
    port: Int<1, 65_535> = Int(25);
    /// The port of the hosts that serve MTA-STS policies: 443, except in a laboratory.
    policy_port: Int<1, 65_535> = Int(443);
    /// Whether IPv6 is used.
    ipv6: bool = true;
    /// Whether it is used only from an address whose name leads back to it and for which SPF passes: Gmail and others refuse mail from any other IPv6 address.
    check_ipv6: bool = true;
    /// Whether loopback addresses are mail hosts like any other: only in a laboratory.
    loopback: bool = false;
    /// Connections to one host at a time, for each kind of mail: own, forwarded, reports.
    connections_per_host: Int<1, 10_000> = Int(20);
    /// Messages over one connection.
    messages_per_connection: Int<1, 100_000> = Int(100);
    /// A TCP connection must be up in this time, in seconds.
    connect_timeout_s: Int<1, 600> = Int(30);
    /// An idle connection is kept so long for the next message, in seconds.
    keep_s: Int<0, 300> = Int(2);
    /// A host that could not be reached is left alone so long, in seconds.
    host_pause_s: Int<0, 86_400> = Int(60);
    /// When the server stops, deliveries under way get this long to finish, in seconds. Then they are cut, and what their hosts had taken already arrives twice.
    shutdown_grace_s: Int<0, 3_600> = Int(30);
    /// The address from which connections are made. Default: the system chooses.
    source: Option<Text<IpAddr>> = None;
});

section!("[forward]", "How mail to your addresses is passed on.", Forward, [], {
    /// The domain of the return addresses of forwarded mail (SRS) and of its DKIM signatures: one that leads to this server and is not that of
    /// your own mail, fwd.example.com say. Default: hostname.
    domain: Option<Text<Domain>> = None;
    /// A file with the secrets of the return addresses, one a line: the first makes new ones, all are recognised; "postsrsd:" before one that comes
    /// from there. Default: srs.secrets in data_dir, which the server makes.
    secrets_file: Option<PathBuf> = None;
    /// The address from which forwards leave, so that they and your own mail have reputations of their own. Default: that of [delivery].
    source: Option<Text<IpAddr>> = None;
    /// The name in EHLO of forwards; its address must be `source`. Default: hostname.
    hello: Option<Text<Domain>> = None;
    /// "cut-through": the target takes the message while its sender waits, so that its refusal is the sender's answer. "queue": it is stored first.
    mode: ForwardMode = ForwardMode::CutThrough;
    /// The sender waits so long for the target, in seconds; then the message is stored.
    deadline_s: Int<1, 300> = Int(50);
    /// Mail that neither SPF nor DKIM vouches for: "reject", "hold" or "accept". Gmail takes none of it.
    unauthenticated: UnauthenticatedWord = UnauthenticatedWord::Reject;
    /// Mail of a domain with a strict DMARC policy that would fail at the target for having been forwarded: "rewrite" its From field once the
    /// target has refused it, "wrap" it into a message of yours, "hold" it, "reject" it, or "as-is".
    strict_domain: StrictDomainWord = StrictDomainWord::Rewrite;
    /// Held mail is kept so long.
    hold_for: Secs = Secs(14 * 86_400);
    /// Held mail takes at most so much.
    held_bytes: Size = Size(1 << 30);
    /// The postmaster is told of held mail, and of failures that no sender was told of, at most this often; never where it is "0s".
    notice_every: Secs = Secs(3600);
    /// Reports taken for one return address within an hour.
    reports_per_sender: Int<1, 1_000_000> = Int(20);
});

section!("[submission]", "What your accounts may send. `waypost account limits` makes exceptions.", Submission, [], {
    /// Recipients of one account within an hour.
    recipients_per_hour: Int<1, 10_000_000> = Int(1000);
    /// Recipients of one account within a day to whom it has never sent before; an account that goes on regardless is suspended.
    new_recipients_per_day: Int<1, 10_000_000> = Int(200);
    /// The domain of user names without one that clients log in with: with "example.com", `smtp` means smtp@example.com. Without it they are refused.
    login_domain: Option<Text<Domain>> = None;
    /// As whom users of this machine may send by `waypost sendmail`, besides as themselves: "www-data=noreply@example.com", "git=@example.com", or
    /// "backup=*" for any address of your domains. Root and the server's own user may send as any address of your domains.
    local_users: Vec<Text<LocalRule>> = Vec::new();
    /// Whether SCRAM is offered bound to the TLS session as well (the -PLUS mechanisms), so that a client notices somebody in between. Some clients take
    /// it and cannot do it, and then cannot log in at all: mutt 2.2 of Debian 12, for one.
    channel_binding: bool = false;
    /// A file with the key that seals the passwords which CRAM-MD5 and its like need. Default: passwords.key in data_dir, which the server makes.
    password_key_file: Option<PathBuf> = None;
});

section!("[oauth]", "Access tokens instead of passwords (OAUTHBEARER, XOAUTH2), checked with an authorization server by token introspection.", Oauth, [], {
    /// The introspection endpoint: https://login.example.com/introspect. Without it no tokens are taken.
    introspection_url: Option<String> = None;
    /// The name of this server at the endpoint.
    client_id: Option<String> = None;
    /// A file with the password of this server at the endpoint, readable by the server only.
    client_secret_file: Option<Spanned<PathBuf>> = None;
    /// The member of the endpoint's answer that names the account.
    claim: String = "username".into();
});

section!("[filter]", "A spam filter that is asked about each message before it is taken. It gives a verdict and changes nothing in the message.", Filter, [], {
    /// "rspamd" (its normal worker, over HTTP), "milter" (a filter that speaks Sendmail's protocol, such as rspamd's proxy,
    /// OpenDKIM or spamass-milter with -r; what it wants to change in the message is not done, and one that changes the envelope gives no verdict),
    /// or "off".
    kind: FilterWord = FilterWord::Off;
    /// Where it listens: an address and port, or unix: and the path of a socket. Default for rspamd: 127.0.0.1:11333.
    address: Option<Text<spam_filter::Address>> = None;
    /// From this score of rspamd's on mail is refused; what rspamd itself rejects is refused too.
    reject_score: Score = Score(15.0);
    /// From this score of rspamd's on mail is held for you to look at (`waypost held list`); from an account it is refused.
    hold_score: Spanned<Score> = spanned(Score(6.0));
    /// The verdict must be there in this time, in seconds.
    timeout_s: Int<1, 300> = Int(10);
    /// Mail for which the filter gives no verdict, since it is down or slow: "pass", or "defer" until it is back. One that
    /// does not answer at the start is an error in the log.
    when_down: WhenDownWord = WhenDownWord::Pass;
    /// Whether mail that your accounts send is checked too.
    submission: bool = false;
});

section!("[[route]]", "A fixed next hop (a smarthost) instead of the MX records. It can stand several times; the first that fits is taken.", Route, [], {
    /// The destinations; empty means all.
    domains: Vec<Text<Domain>> = Vec::new();
    /// The kinds of mail: what accounts send, what aliases forward, reports. Empty means all.
    flows: Vec<FlowWord> = Vec::new();
    /// The next hop. Required, unless there is a socket.
    host: Option<Text<Domain>> = None;
    /// The Unix socket of a mailbox server on this machine, instead of host and port: "/run/dovecot/lmtp".
    socket: Option<PathBuf> = None;
    /// Mailboxes on this machine in maildir's format, instead of a host: "/var/mail/{domain}/{user}". They are made as mail comes; the server's user must be able to
    /// write there.
    maildir: Option<Text<MaildirPlace>> = None;
    /// "always", or "unreachable": only for mail whose own hosts do not answer, as when the hoster has closed port 25.
    when: WhenWord = WhenWord::Always;
    /// "smtp", or "lmtp" for a mailbox server such as Dovecot, so that mail can be read here by IMAP and POP3. A socket means "lmtp".
    protocol: ProtocolWord = ProtocolWord::Smtp;
    /// Its port: 587 goes with tls = "required", 465 with "implicit", 25 with "opportunistic".
    port: Int<1, 65_535> = Int(587);
    /// How TLS is used.
    tls: TlsWord = TlsWord::Required;
    /// Whether the next hop's certificate is verified.
    verify: bool = true;
    /// The public keys of which the next hop must have one (`waypost route check` prints it). Then neither its name nor an authority counts.
    pin: Vec<Text<KeyPin>> = Vec::new();
    /// The user to log in as.
    user: Option<String> = None;
    /// A file with the password on its first line, readable by the server only.
    password_file: Option<Spanned<PathBuf>> = None;
    /// The SPF record of the smarthost: what its instructions give after include:. It is planned for the domains whose mail goes this way.
    spf: Option<Text<Domain>> = None;
});

section!("[retry]", "When mail that could not be delivered is tried again, and when it is given up.", Retry, [], {
    /// The waits after each attempt; the last one repeats.
    waits_s: Spanned<Vec<Int<1, 604_800>>> = spanned(policy::Schedule::default().waits_s.into_iter().map(|s| Int(u64::from(s))).collect());
    /// Jitter either way, in per cent of the wait.
    jitter_percent: Int<0, 50> = Int(u64::from(policy::Schedule::default().jitter_percent));
    /// Mail is given up after this time.
    lifetime: Secs = Secs(policy::Schedule::default().lifetime_s);
    /// The sender of mail that still waits after this time is told. Default: never.
    delay_report_s: Option<Secs> = policy::Schedule::default().delay_report_s.map(Secs);
});

section!("[reports]", "Reports to other domains.", Reports, [], {
    /// Whether domains that ask for it (`_smtp._tls`) are told once a day how TLS with their hosts went (TLS-RPT). Reports by mail need a DKIM key of the forwarding domain.
    tls: bool = true;
    /// Whether domains that ask for it (rua= of their DMARC record) are told once a day what came under their names, and what was done with it (DMARC aggregate reports). They need a DKIM key of the forwarding domain.
    dmarc: bool = false;
    /// Who answers questions about reports. Default: postmaster of the forwarding domain.
    contact: Option<Text<Mailbox>> = None;
    /// The time that one report is about: a day, except in a laboratory.
    every: Secs = Secs(86_400);
});

section!("[client_config]", "What mail clients are told over HTTPS (Thunderbird, Outlook, Apple's Mail). Everybody can ask, for any address.", ClientConfig, [], {
    /// The host (IMAP, port 993) where all your users read mail: imap.gmail.com, say. It becomes public. Default: only sending is configured.
    imap_host: Option<Text<Domain>> = None;
    /// Whether the answer for an account's address names the host of `waypost account imap`, or else the one that its alias suggests. Then everybody
    /// can ask which of your addresses exist, and with which provider their mail ends.
    reveal_provider: bool = false;
});

section!("[mta_sts]", "What other servers are told about TLS (MTA-STS): the policy at mta-sts.DOMAIN, for each hosted domain.", MtaSts, [], {
    /// "testing": failures are reported; "enforce": mail that finds no valid certificate for hostname waits at its sender; "none": nothing is asked.
    mode: StsWord = StsWord::Testing;
    /// Senders keep the policy so long.
    max_age: Secs = Secs(604_800);
});

section!("[dns]", "Where names are looked up, and what is to stand in your own zones (`waypost dns`). A change needs a restart.", Dns, [], {
    /// Name servers. Empty: those of /etc/resolv.conf.
    servers: Vec<Text<SocketAddr>> = Vec::new();
    /// The public addresses of this server, for its records. Empty: those from which this machine reaches the Internet.
    addresses: Vec<Text<IpAddr>> = Vec::new();
    /// The p= of the DMARC records that are asked for. Raise it once reports show that all your mail passes.
    dmarc: DmarcWord = DmarcWord::None;
    /// Whether a TLSA record (DANE) is asked for. Only where the zone is signed (DNSSEC) and the certificate's key is kept when it is renewed.
    tlsa: bool = false;
    /// The SPF records of smarthosts that send for your domains: what their instructions give after include:.
    relays: Vec<Text<Domain>> = Vec::new();
    /// Names that neither send nor take mail: www.example.com.
    no_mail: Vec<Text<Domain>> = Vec::new();
    /// Resolvers of others that `waypost dns check` asks too, to see how far a change has got.
    resolvers: Vec<Text<SocketAddr>> = [[1, 1, 1, 1], [8, 8, 8, 8]].map(|ip| Text(SocketAddr::from((ip, 53)))).to_vec();
    /// The port on which the servers of a zone are asked.
    port: Int<1, 65_535> = Int(53);
    /// How often the running server compares DNS with what should be there; the postmaster is told of what was right and is no more. Never: "0s".
    check_every: Secs = Secs(86_400);
    /// How `waypost dns apply` changes records: "rfc2136" (a server that takes updates with a key), or a provider's name.
    provider: Option<DnsProvider> = None;
    /// The server that takes updates (rfc2136).
    server: Option<Text<SocketAddr>> = None;
    /// The name of the key (TSIG) for updates, as the server has it.
    tsig_name: Option<String> = None;
    /// A file with the secret of that key in Base64 (HMAC-SHA256), readable by the server only.
    tsig_secret_file: Option<PathBuf> = None;
    /// A file with the provider's token, readable by the server only. The variable WAYPOST_DNS_TOKEN stands instead of it.
    token_file: Option<PathBuf> = None;
    /// Who finds out whether an answer is secure (DNSSEC), so that TLSA records of others can be believed. "here": this server; "upstream": the
    /// name servers, all of which must be on a loopback address; "auto": upstream where that validates, or else here where signatures come
    /// through, or else nobody, with a warning; mail waits while the name servers do not answer; "off": nobody.
    validate: ValidateWord = ValidateWord::Auto;
    /// A file with the DNSKEY records that are trusted instead of those of the root: only in a laboratory.
    trust_anchor: Option<PathBuf> = None;
});

section!("[log]", "What is written to standard error. A change needs a restart.", Log, [], {
    /// Lines for people, or JSON for programs.
    format: LogFormat = LogFormat::Text;
    /// error, warn, info, debug or trace; parts can differ, as in "info,mta=debug".
    level: Spanned<String> = spanned("info".into());
    /// Whether the log names the mailbox behind an alias; otherwise foo@inbox.test is f***@inbox.test there, in the words of its host too.
    targets: bool = true;
});
