//! Options about what is received: listeners, certificates, limits, logins, the spam filter.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use mail::{Domain, Mailbox};
use policy::LocalRule;
use serde::Deserialize;
use toml::Spanned;

use super::super::option_row::{OptionInForce, OptionPart, OptionRow};
use super::super::values::{Int, OptionKind, Score, Size, Text};
use super::super::words::{ChallengeWord, Dkim2Word, FilterWord, WhenDownWord};
use super::{section, spanned};

fn on_port(port: u16) -> Vec<Text<SocketAddr>> {
    let any = [IpAddr::from([0, 0, 0, 0]), IpAddr::from([0u16; 8])];
    any.into_iter().map(|ip| Text(SocketAddr::new(ip, port))).collect()
}

section!("[listen]", "Addresses to listen on. An empty list disables the service. A change needs a restart.", ListenOptions, [], {
    /// SMTP: mail from other servers.
    mx: Vec<Text<SocketAddr>> = on_port(25);
    /// Submission by accounts, with STARTTLS.
    submission: Vec<Text<SocketAddr>> = on_port(587);
    /// Submission by accounts, with implicit TLS.
    submissions: Vec<Text<SocketAddr>> = on_port(465);
    /// Submission by accounts, with implicit TLS and a client certificate instead of a password (`waypost account certificate`).
    submissions_by_certificate: Vec<Text<SocketAddr>> = Vec::new();
    /// HTTP: validation of names for certificates; everything else is redirected to HTTPS. Default: port 80 of all addresses, if it is free.
    http: Option<Vec<Text<SocketAddr>>> = None;
    /// HTTPS: MTA-STS policies and client configuration, validation of names, the owner's page. Default: port 443 of all addresses, if it is free.
    https: Option<Vec<Text<SocketAddr>>> = None;
    /// Plain HTTP for Prometheus: GET /metrics, for example on "127.0.0.1:9419". Use a loopback address, or one that only your monitoring reaches: it has
    /// no password and no TLS, and the metrics show how much mail is sent to which domains. With a token, the HTTP API gives the same over HTTPS.
    metrics: Vec<Text<SocketAddr>> = Vec::new();
    /// The owner's page and the HTTP API, over HTTPS at these addresses only, for example "127.0.0.1:8443" behind an SSH tunnel; an empty list disables
    /// both. Default: at the addresses of `https`, under the server's name.
    admin: Option<Vec<Text<SocketAddr>>> = None;
    /// The load balancers in front of this server, by address or network: ["10.0.0.1", "10.1.0.0/16"]. Each of their connections must begin with a header
    /// of the PROXY protocol, version 1 or 2 (haproxy: send-proxy-v2), on every listener except `metrics`; the client is then the one that it names. Name
    /// no address from which clients connect directly: they would be disconnected.
    proxy_from: Vec<Text<net::IpRange>> = Vec::new();
});

section!("[tls]", "Certificate and key. Both files are read again when they change.", TlsOptions, [pair: Vec<Spanned<TlsPairOptions>>], {
    /// The certificate with its chain (PEM). Default: tls/cert.pem in data_dir, which setup creates.
    certificate: Option<PathBuf> = None;
    /// Its private key (PEM); refused if other users can read it. Default: tls/key.pem in data_dir.
    key: Option<PathBuf> = None;
    /// A file of CA certificates (PEM) that are trusted for outgoing mail, in addition to those of the system.
    extra_authorities: Option<PathBuf> = None;
});

section!("[[tls.pair]]", "A further certificate, used for clients that ask for one of its names. Can be repeated.", TlsPairOptions, [], {
    /// The certificate with its chain (PEM). Required.
    certificate: Option<PathBuf> = None;
    /// Its private key (PEM). Required.
    key: Option<PathBuf> = None;
});

section!("[acme]", "Certificates from a public CA, ordered and renewed by the server (ACME).", AcmeOptions, [], {
    /// Whether to order certificates: one for hostname, and one for the names mta-sts, autoconfig and autodiscover of each hosted domain that resolve to
    /// this server. "true" accepts the terms of service of the CA.
    enabled: bool = false;
    /// URL of the CA's ACME directory.
    directory: String = net::acme::LETS_ENCRYPT.into();
    /// Use Let's Encrypt's staging directory, for tests. No client trusts its certificates.
    staging: bool = false;
    /// Contact address that is given to the CA. Default: none.
    contact: Option<Text<Mailbox>> = None;
    /// How the CA validates names: over port 80, over port 443, or by a TXT record that dns_hook sets.
    challenge: ChallengeWord = ChallengeWord::Http;
    /// The program for "dns-01", called as PROGRAM add NAME VALUE and PROGRAM remove NAME VALUE. The record must be visible when the program exits.
    dns_hook: Option<PathBuf> = None;
    /// A CA certificate (PEM) to trust for HTTPS with the ACME server, instead of those of the system: for a CA in your own network.
    authority_root: Option<PathBuf> = None;
    /// Whether a renewed certificate keeps its private key. Otherwise each renewal makes a new key; with dns.tlsa it is used only once its TLSA record is in
    /// DNS.
    keep_key: bool = true;
});

section!("[limits]", "Limits for clients.", LimitsOptions, [], {
    /// Maximum size of a message.
    message_bytes: Size = Size(50 << 20);
    /// Maximum recipients of a message. RFC 5321 requires at least 100.
    recipients: Int<100, 100_000> = Int(100);
    /// Maximum memory for messages that are being received, at most 384 KiB for each; while less than a third of it is used, a forward stays in memory up to
    /// 8 MiB, and is on disk only if it must be queued. Clients from unknown networks use at most half of it, one such network an eighth; the last eighth is
    /// reserved for accounts. If the memory is used up, a client waits for 5 seconds, then gets a 4xx reply.
    content_memory_bytes: Size = Size(192 << 20);
    /// Maximum memory of the whole server. Beyond it new clients get 421 4.3.2, except those with a login or from the network of one; from seven eighths of it on
    /// the server is under stress: unknown clients get at most 10 seconds for a command and 3 errors. Default: three quarters of the memory of the machine,
    /// or of the server's control group.
    memory_bytes: Option<Size> = None;
    /// Maximum concurrent sessions. On port 25, clients from unknown networks get at most half of them; on the submission ports, clients that have not
    /// logged in get at most a quarter; when three quarters of such a share are used, its clients are disconnected after 10 seconds without a command.
    sessions: Int<1, 1_000_000> = Int(10_000);
    /// Maximum concurrent sessions of one IPv4 address or IPv6 /64. The maximum of one IPv4 /24 or IPv6 /48 is an eighth of `sessions`, or this if it is
    /// larger.
    sessions_per_client: Int<1, 1_000_000> = Int(100);
    /// Maximum time between two commands, in seconds. RFC 5321 requires at least 300.
    command_timeout_s: Int<1, 86_400> = Int(300);
    /// Maximum time to receive 64 KiB of content, in seconds. If the client has not logged in, its first octets must arrive within 30 seconds, and the
    /// average rate must be at least this from the first minute on.
    content_timeout_s: Int<1, 86_400> = Int(300);
    /// Maximum duration of a TLS handshake, in seconds.
    handshake_timeout_s: Int<1, 86_400> = Int(30);
    /// Maximum failed logins in 10 minutes from one IPv4 address or IPv6 /64; further logins get a 4xx reply.
    failed_logins_per_client: Int<1, 1_000_000> = Int(10);
    /// Maximum failed logins in 10 minutes for one account, over all networks that it was not used from in the last 30 days; further logins from those
    /// networks get a 4xx reply.
    failed_logins_per_account: Int<1, 1_000_000> = Int(20);
    /// Delay before the greeting, in milliseconds; clients that talk first are rejected.
    greet_delay_ms: Int<0, 60_000> = Int(0);
    /// Minimum time until RCPT is answered, in milliseconds, for clients without a login: with a value above the usual time, the time does not tell whether
    /// an address exists. The reply itself still does.
    recipient_delay_ms: Int<0, 10_000> = Int(0);
});

section!("[submission]", "Submission by accounts and local users. `waypost account limits` sets the limits of one account.", SubmissionOptions, [], {
    /// Maximum recipients of one account in an hour.
    recipients_per_hour: Int<1, 10_000_000> = Int(1000);
    /// Maximum recipients of one account in a day that it has never sent to before; an account that keeps sending beyond it is suspended.
    new_recipients_per_day: Int<1, 10_000_000> = Int(200);
    /// The domain that is added to logins without one: with "example.com", `smtp` logs in as smtp@example.com. Without it, such logins are refused.
    login_domain: Option<Text<Domain>> = None;
    /// "sign": sign own mail with DKIM2 beside DKIM, with the same keys and DNS records. Each signature names the recipients of its message, so a recipient
    /// that is in neither To nor Cc gets a message of its own. Default: "off", since the drafts still change in ways that make signatures invalid, and no
    /// large receiver has announced that it uses them.
    dkim2: Dkim2Word = Dkim2Word::Off;
    /// Further senders that users of this machine may use with `waypost sendmail`: "www-data=noreply@example.com", "git=@example.com", or "backup=*" for
    /// any address of your domains. Root and the server's user may use any address of your domains.
    local_users: Vec<Text<LocalRule>> = Vec::new();
    /// Whether to offer SCRAM with channel binding (-PLUS), which detects a man in the middle. Some clients select it without supporting it and cannot log
    /// in: mutt 2.2 of Debian 12, for example.
    channel_binding: bool = false;
    /// A file with the key that seals the passwords for CRAM-MD5, DIGEST-MD5 and NTLM. Default: passwords.key in data_dir, which the server creates.
    password_key_file: Option<PathBuf> = None;
});

section!("[oauth]", "Login with access tokens (OAUTHBEARER, XOAUTH2), checked by token introspection at an authorization server.", OauthOptions, [], {
    /// URL of the introspection endpoint: https://login.example.com/introspect. Without it, tokens are not accepted.
    introspection_url: Option<String> = None;
    /// Client ID of this server at the endpoint.
    client_id: Option<String> = None;
    /// A file with the client secret, readable by the server only.
    client_secret_file: Option<Spanned<PathBuf>> = None;
    /// The member of the endpoint's answer that holds the login.
    claim: String = "username".into();
});

section!("[filter]", "A spam filter that checks each message before it is accepted. The message is never changed.", FilterOptions, [], {
    /// "rspamd" (its normal worker, over HTTP), "milter" (a filter that speaks Sendmail's milter protocol, such as rspamd's proxy, OpenDKIM or
    /// spamass-milter with -r; changes to the message are ignored, and an attempt to change the envelope counts as no verdict), or "off".
    kind: FilterWord = FilterWord::Off;
    /// Its address: host and port, or unix: and the path of a socket. Default for rspamd: 127.0.0.1:11333.
    address: Option<Text<spam_filter::Address>> = None;
    /// Minimum score at which mail is refused (rspamd). Mail that rspamd itself rejects is always refused.
    reject_score: Score = Score(15.0);
    /// Minimum score at which mail is held for review with `waypost held list` (rspamd); from an account it is refused.
    hold_score: Spanned<Score> = spanned(Score(6.0));
    /// Maximum time to wait for the verdict, in seconds.
    timeout_s: Int<1, 300> = Int(10);
    /// What to do when the filter gives no verdict, because it is down or too slow: "pass" the mail, or "defer" it until the filter is back. A filter that
    /// does not answer at startup is logged as an error.
    when_down: WhenDownWord = WhenDownWord::Pass;
    /// Whether to check mail from your accounts too.
    submission: bool = false;
});
