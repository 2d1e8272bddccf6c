//! The DNS records that a server needs, planned from plain facts; their text forms; and the comparison of DNS with the plan.
//!
//! RFC 5321 s.5.1 (MX), RFC 7208 s.3 (SPF), RFC 6376 s.3.6 (DKIM), RFC 9989 s.4 (DMARC), RFC 8460 s.3 (TLS-RPT), RFC 6698 s.2 (TLSA), RFC 8659 s.4
//! (CAA), RFC 7505 s.3 (null MX). Invariant: nothing here queries DNS; the same facts give the same plan, in the same order.

mod client_records;
mod compare;
#[cfg(test)]
mod compare_tests;
mod finding;
mod forms;
mod judge;
mod judge_texts;
mod mistakes;
mod plan;
mod record;
mod spf;
mod spf_merge;

use std::net::IpAddr;

use mail::Domain;
use mail::evidence::DmarcPolicy;
use policy::StsPolicy;

pub use client_records::{ClientRecord, SubmissionPorts, client_records};
pub use compare::{Checked, compare, questions};
pub use finding::{Answer, Answers, Data, DomainLoss, Finding, Found, Question, RecordState, Source};
pub use forms::{ProviderForm, provider_fields, strings_of, zone_lines};
pub use plan::plan;
pub use record::{DnsSeverity, PlannedRecord, RecordKind, RecordType, RecordUse, reverse_name, zone_among};

/// The stage of a DKIM key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStage {
    /// Published before its first use.
    Next,
    /// Signs.
    Active,
    /// Signed until recently: its signatures may still be verified.
    Retired,
    /// No message that it signed is under way any more: its record has an empty key.
    Revoked,
}

/// A DKIM key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimFact {
    /// The domain that it signs for.
    pub domain: Domain,
    /// s=.
    pub selector: String,
    /// k=.
    pub key_type: String,
    /// The record, with the key.
    pub record: String,
    /// Its stage.
    pub stage: KeyStage,
}

/// The DMARC policy of a domain, by stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DmarcStage {
    /// Reports only.
    None,
    /// Mail that fails goes to the spam folder.
    Quarantine,
    /// Mail that fails is refused.
    Reject,
}

impl DmarcStage {
    /// The value of p=.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    /// The stage of a record with this policy.
    pub fn of(policy: DmarcPolicy) -> Self {
        match policy {
            DmarcPolicy::None => Self::None,
            DmarcPolicy::Quarantine => Self::Quarantine,
            DmarcPolicy::Reject => Self::Reject,
        }
    }
}

/// The facts that the plan is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsFacts {
    /// The host name of this server.
    pub hostname: Domain,
    /// The host names of the other servers that share the mail, in any order.
    pub other_hosts: Vec<Domain>,
    /// Its public addresses; if none is known, the plan has a placeholder.
    pub addresses: Vec<IpAddr>,
    /// The source addresses of forwarded mail.
    pub forward_addresses: Vec<IpAddr>,
    /// The hosted domains.
    pub domains: Vec<Domain>,
    /// The forwarding domain.
    pub forwarding: Domain,
    /// The DKIM keys.
    pub keys: Vec<DkimFact>,
    /// The MTA-STS policy.
    pub sts: StsPolicy,
    /// The ports for submission.
    pub ports: SubmissionPorts,
    /// The IMAP host to announce, if any.
    pub imap_host: Option<Domain>,
    /// SHA-256 of the keys of this server's certificate, the current and the next; none without TLSA.
    pub tlsa: Vec<String>,
    /// The SPF includes of smarthosts for mail of accounts.
    pub includes: Vec<String>,
    /// The same for forwarded mail.
    pub forward_includes: Vec<String>,
    /// The certificate authority, as in a CAA issue property.
    pub authority: Option<String>,
    /// The DMARC stage of the hosted domains.
    pub dmarc: DmarcStage,
    /// The local part for DMARC reports, at each domain.
    pub dmarc_user: String,
    /// The local part for TLS reports, at each domain.
    pub tls_user: String,
    /// Names that neither send nor accept mail.
    pub no_mail: Vec<Domain>,
}
