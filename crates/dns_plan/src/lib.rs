//! The DNS records of a complete install, planned from plain facts; their text forms; and what DNS says, compared with the plan.
//!
//! RFC 5321 s.5.1 (MX), RFC 7208 s.3 (SPF), RFC 6376 s.3.6 (DKIM), RFC 9989 s.4 (DMARC), RFC 8460 s.3 (TLS-RPT), RFC 6698 s.2 (TLSA), RFC 8659 s.4
//! (CAA), RFC 7505 s.3 (null MX). Invariant: nothing here asks DNS; a plan is the same for the same facts, and in the same order.

mod client_records;
mod compare;
#[cfg(test)]
mod compare_tests;
mod finding;
mod forms;
mod judge;
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
pub use finding::{Answer, Answers, Data, Finding, Found, Question, Source, State};
pub use forms::{Provider, provider_fields, strings_of, zone_lines};
pub use plan::plan;
pub use record::{DnsSeverity, PlannedRecord, RecordKind, RecordType, RecordUse, reverse_name, zone_among};

/// Where a DKIM key is in its life, as DNS sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStage {
    /// Published ahead of its use.
    Next,
    /// It signs.
    Active,
    /// It signed until lately: what it signed may still be verified.
    Retired,
    /// Nothing that it signed is on its way any more: its record is emptied.
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
    /// Where it is in its life.
    pub stage: KeyStage,
}

/// How far a domain has come with DMARC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DmarcStage {
    /// Reports only.
    None,
    /// What fails goes to the spam folder.
    Quarantine,
    /// What fails is refused.
    Reject,
}

impl DmarcStage {
    /// The word after p=.
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

/// All that the plan is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsFacts {
    /// The name of this server.
    pub hostname: Domain,
    /// Its public addresses; where none is known, the plan has a place for one.
    pub addresses: Vec<IpAddr>,
    /// The addresses from which forwards leave.
    pub forward_addresses: Vec<IpAddr>,
    /// The domains that mail is taken for.
    pub domains: Vec<Domain>,
    /// The domain under which forwards leave.
    pub forwarding: Domain,
    /// The DKIM keys.
    pub keys: Vec<DkimFact>,
    /// What other servers are told about TLS.
    pub sts: StsPolicy,
    /// Where accounts submit.
    pub ports: SubmissionPorts,
    /// Where mailboxes are read, if it is to be announced.
    pub imap_host: Option<Domain>,
    /// SHA-256 of the keys of this server's certificate, the current and the next; none where TLSA is not wanted.
    pub tlsa: Vec<String>,
    /// The SPF records of smarthosts that the accounts' mail goes through: what stands after include:.
    pub includes: Vec<String>,
    /// The same for what is forwarded.
    pub forward_includes: Vec<String>,
    /// The authority whose certificates are used: what stands after issue.
    pub authority: Option<String>,
    /// How far the hosted domains have come with DMARC.
    pub dmarc: DmarcStage,
    /// The user of each domain who gets reports about its mail.
    pub dmarc_user: String,
    /// The user of each domain who gets reports about TLS.
    pub tls_user: String,
    /// Names that neither send nor take mail.
    pub no_mail: Vec<Domain>,
}
