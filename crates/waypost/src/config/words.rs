//! The kinds of values that are one of a few words.
//!
//! Invariant: the words that the reader takes are those that the reference and the error show.

use dns_providers::DnsProvider;
use serde::Deserialize;

use super::values::{Kind, quoted};

/// An enum of words, with its reader and its text.
macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident { $( $(#[doc = $item_doc:literal])+ $variant:ident = $word:literal, )+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        pub enum $name { $( $(#[doc = $item_doc])+ #[serde(rename = $word)] $variant, )+ }

        impl Kind for $name {
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
        /// Where it is offered.
        Opportunistic = "opportunistic",
        /// By STARTTLS, or the mail waits.
        Required = "required",
        /// From the first octet on.
        Implicit = "implicit",
    }
}

words! {
    /// What a fixed next hop speaks.
    ProtocolWord {
        /// SMTP.
        Smtp = "smtp",
        /// LMTP: a mailbox server.
        Lmtp = "lmtp",
    }
}

words! {
    /// When a route is taken.
    WhenWord {
        /// For all mail that fits.
        Always = "always",
        /// For mail whose own hosts do not answer.
        Unreachable = "unreachable",
    }
}

words! {
    /// How an authority validates a name.
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
    /// What other servers are asked to do about TLS.
    StsWord {
        /// Nothing.
        None = "none",
        /// To report failures.
        Testing = "testing",
        /// To deliver under TLS or not at all.
        Enforce = "enforce",
    }
}

words! {
    /// How far a domain has come with DMARC.
    DmarcWord {
        /// Reports only.
        None = "none",
        /// What fails goes to the spam folder.
        Quarantine = "quarantine",
        /// What fails is refused.
        Reject = "reject",
    }
}

impl Kind for DnsProvider {
    fn kind() -> String {
        Self::NAMES.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(" or ")
    }
    fn text(&self) -> Option<String> {
        Some(quoted(self.as_str()))
    }
}

words! {
    /// A kind of mail.
    FlowWord {
        /// From our accounts.
        Own = "own",
        /// For our aliases.
        Forward = "forward",
        /// Reports of ours.
        Report = "report",
    }
}

words! {
    /// When a forwarded message is stored.
    ForwardMode {
        /// Only where the target does not take it while its sender waits.
        CutThrough = "cut-through",
        /// Always.
        Queue = "queue",
    }
}

words! {
    /// What becomes of mail that nobody vouches for.
    UnauthenticatedWord {
        /// It is refused.
        Reject = "reject",
        /// It is held.
        Hold = "hold",
        /// It is forwarded.
        Accept = "accept",
    }
}

words! {
    /// What becomes of mail that would fail DMARC at the target.
    StrictDomainWord {
        /// Its From field is rewritten once the target has refused it.
        Rewrite = "rewrite",
        /// It is sent within a message of ours.
        Wrap = "wrap",
        /// It is held.
        Hold = "hold",
        /// It is refused.
        Reject = "reject",
        /// It is forwarded as it is.
        AsIs = "as-is",
    }
}

words! {
    /// Which spam filter is asked.
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
    /// What becomes of mail while the filter gives no verdict.
    WhenDownWord {
        /// It passes.
        Pass = "pass",
        /// It is put off.
        Defer = "defer",
    }
}

words! {
    /// Who finds out whether an answer of DNS is secure.
    ValidateWord {
        /// Whoever can.
        Auto = "auto",
        /// This server.
        Here = "here",
        /// The resolver on this machine.
        Upstream = "upstream",
        /// Nobody.
        Off = "off",
    }
}

words! {
    /// How logs are written.
    LogFormat {
        /// For people.
        Text = "text",
        /// For programs.
        Json = "json",
    }
}
