//! Options about client configuration, the MTA-STS policy, DNS records, and the resolvers.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use dns_providers::DnsProvider;
use mail::Domain;
use serde::Deserialize;

use super::super::option_row::{OptionInForce, OptionPart, OptionRow};
use super::super::values::{Int, OptionKind, Secs, Text};
use super::super::words::{DmarcWord, StsWord, ValidateWord};
use super::section;

section!("[client_config]", "Configuration of mail clients over HTTPS (Thunderbird, Outlook, Apple Mail). It is public, for any address.", ClientConfigOptions, [], {
    /// The IMAP host (port 993) of all your users: imap.gmail.com, for example. It becomes public. Default: only sending is configured.
    imap_host: Option<Text<Domain>> = None;
    /// Whether the configuration for an account names the host set by `waypost account imap`, or else the one that its alias suggests. This reveals which
    /// of your addresses exist, and at which provider they are read.
    reveal_provider: bool = false;
});

section!("[api]", "The HTTP API, over HTTPS for holders of a token (`waypost token`). A change needs a restart.", ApiOptions, [], {
    /// Whether password managers may make addresses: Bitwarden, for example, with addy.io and the server URL https://HOSTNAME/addy, or with SimpleLogin and
    /// https://HOSTNAME/simplelogin. A token of scope aliases or own, with an account, is the API key.
    password_managers: bool = false;
});

section!("[mta_sts]", "The MTA-STS policy for mail to this server, at mta-sts.DOMAIN of each hosted domain.", MtaStsOptions, [], {
    /// "testing": senders report failures; "enforce": senders do not deliver without a valid certificate for hostname; "none": no policy.
    mode: StsWord = StsWord::Testing;
    /// How long senders may cache the policy.
    max_age: Secs = Secs(604_800);
});

section!("[dns]", "Resolvers, and the records of your zones (`waypost dns`). A change needs a restart.", DnsOptions, [], {
    /// The resolvers to use. Empty: those of /etc/resolv.conf.
    servers: Vec<Text<SocketAddr>> = Vec::new();
    /// The public addresses of this server, for its records. Empty: the addresses of outgoing connections.
    addresses: Vec<Text<IpAddr>> = Vec::new();
    /// The policy (p=) of the DMARC records that are planned. Raise it once reports show that all your mail passes.
    dmarc: DmarcWord = DmarcWord::None;
    /// Whether to plan a TLSA record (DANE). Only if the zone is signed (DNSSEC) and renewals keep the key of the certificate.
    tlsa: bool = false;
    /// Smarthosts that send for your domains: what their instructions put after include: in SPF records.
    spf_includes was "relays": Vec<Text<Domain>> = Vec::new();
    /// Names that neither send nor receive mail: www.example.com.
    no_mail: Vec<Text<Domain>> = Vec::new();
    /// Public resolvers that `waypost dns check` queries too, to show how far a change has spread.
    public_resolvers was "resolvers": Vec<Text<SocketAddr>> = [[1, 1, 1, 1], [8, 8, 8, 8]].map(|ip| Text(SocketAddr::from((ip, 53)))).to_vec();
    /// The port of the authoritative servers of your zones.
    port: Int<1, 65_535> = Int(53);
    /// How often the server compares DNS with the plan; the postmaster gets a notice when a record that was right is wrong or missing. "0s": never.
    check_every: Secs = Secs(86_400);
    /// How `waypost dns apply` changes records: "rfc2136" (dynamic updates), or the name of a provider.
    provider: Option<DnsProvider> = None;
    /// The server for dynamic updates (rfc2136).
    update_server was "server": Option<Text<SocketAddr>> = None;
    /// The name of the TSIG key for dynamic updates.
    tsig_name: Option<String> = None;
    /// A file with the secret of that key in base64 (HMAC-SHA256), readable by the server only.
    tsig_secret_file: Option<PathBuf> = None;
    /// A file with the API token of the provider, readable by the server only. The environment variable WAYPOST_DNS_TOKEN can be used instead.
    token_file: Option<PathBuf> = None;
    /// What validates DNSSEC, so that TLSA records of other domains can be trusted. "here": this server; "upstream": the resolvers, which must all have
    /// loopback addresses; "auto": the resolvers if they validate, otherwise this server if signatures reach it, otherwise nothing, with a warning; mail
    /// waits while the resolvers do not answer; "off": nothing.
    validate: ValidateWord = ValidateWord::Auto;
    /// A file with DNSKEY records to trust instead of those of the root: only in tests.
    trust_anchor: Option<PathBuf> = None;
});
