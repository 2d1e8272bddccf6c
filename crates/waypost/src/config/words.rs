//! The kinds of values that are one of a few words.
//!
//! Invariant: parser, reference and error messages know the same words.

use directory::StrictDomain;
use dns_providers::DnsProvider;
use serde::Deserialize;

use super::values::{OptionKind, quoted};

/// Defines an enum of words with its parser and its text.
macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident { $( $(#[doc = $item_doc:literal])+ $variant:ident = $word:literal, )+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        pub enum $name { $( $(#[doc = $item_doc])+ #[serde(rename = $word)] $variant, )+ }

        impl OptionKind for $name {
            fn kind() -> String {
                [$(concat!("\"", $word, "\"")),+].join(" or ")
            }
            fn text(&self) -> Option<String> {
                Some(quoted(match self { $( Self::$variant => $word, )+ }))
            }
        }
    };
}

words! {
    /// How TLS is used towards a fixed next hop.
    TlsWord {
        /// Never.
        None = "none",
        /// If the next hop offers it.
        Opportunistic = "opportunistic",
        /// By STARTTLS; otherwise mail is deferred.
        Required = "required",
        /// From the first octet.
        Implicit = "implicit",
    }
}

words! {
    /// Whether own mail is signed with DKIM2.
    Dkim2Word {
        /// Only with DKIM.
        Off = "off",
        /// With DKIM and DKIM2.
        Sign = "sign",
    }
}

words! {
    /// The protocol of a fixed next hop.
    ProtocolWord {
        /// SMTP.
        Smtp = "smtp",
        /// LMTP, for a mailbox server.
        Lmtp = "lmtp",
    }
}

words! {
    /// When a route is used.
    WhenWord {
        /// For all mail that matches.
        Always = "always",
        /// For mail whose own hosts cannot be reached.
        Unreachable = "unreachable",
    }
}

words! {
    /// How a CA validates a name.
    ChallengeWord {
        /// A file over HTTP.
        Http = "http-01",
        /// A certificate over TLS.
        TlsAlpn = "tls-alpn-01",
        /// A TXT record.
        Dns = "dns-01",
    }
}

words! {
    /// The mode of the MTA-STS policy.
    StsWord {
        /// No policy.
        None = "none",
        /// Senders report failures.
        Testing = "testing",
        /// Senders deliver with valid TLS or not at all.
        Enforce = "enforce",
    }
}

words! {
    /// The DMARC policy of a domain.
    DmarcWord {
        /// Reports only.
        None = "none",
        /// Mail that fails goes to the spam folder.
        Quarantine = "quarantine",
        /// Mail that fails is refused.
        Reject = "reject",
    }
}

impl OptionKind for DnsProvider {
    fn kind() -> String {
        Self::NAMES.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(" or ")
    }
    fn text(&self) -> Option<String> {
        Some(quoted(self.as_str()))
    }
}

words! {
    /// A flow.
    FlowWord {
        /// Mail from accounts.
        Own = "own",
        /// Mail to aliases.
        Forward = "forward",
        /// DSNs and reports.
        Report = "report",
    }
}

words! {
    /// When a forwarded message is stored.
    ForwardMode {
        /// If the target does not accept it while its sender waits.
        CutThrough = "cut-through",
        /// Always.
        Queue = "queue",
    }
}

words! {
    /// What happens to mail that is not authenticated.
    UnauthenticatedWord {
        /// It is refused.
        Reject = "reject",
        /// It is held.
        Hold = "hold",
        /// It is forwarded.
        Accept = "accept",
    }
}

impl OptionKind for StrictDomain {
    fn kind() -> String {
        Self::WORDS.map(|(_, word)| quoted(word)).join(" or ")
    }
    fn text(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

words! {
    /// The kind of spam filter.
    FilterWord {
        /// None.
        Off = "off",
        /// rspamd, over HTTP.
        Rspamd = "rspamd",
        /// A milter.
        Milter = "milter",
    }
}

words! {
    /// What happens to mail while the filter gives no verdict.
    WhenDownWord {
        /// It is accepted.
        Pass = "pass",
        /// It is deferred.
        Defer = "defer",
    }
}

words! {
    /// What validates DNSSEC.
    ValidateWord {
        /// The resolvers or this server, whichever can.
        Auto = "auto",
        /// This server.
        Here = "here",
        /// The resolvers on this machine.
        Upstream = "upstream",
        /// Nothing.
        Off = "off",
    }
}

words! {
    /// The format of the log.
    LogFormat {
        /// Lines of text.
        Text = "text",
        /// JSON objects.
        Json = "json",
    }
}
