//! What was found out about who sent a message: SPF, DKIM, DMARC, ARC and the name of the address.
//!
//! RFC 8601 s.2.7, RFC 7208 s.2.6, RFC 6376 s.3.9, RFC 9989, RFC 8617 s.4.4. Invariant: results only; nothing is decided here,
//! and a name that a stranger wrote is a string, not yet a domain.

/// The result of an SPF check (RFC 7208 s.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpfResult {
    /// No record, or no name to look one up for.
    #[default]
    None,
    /// The domain says nothing about the address.
    Neutral,
    /// The address may send for the domain.
    Pass,
    /// It may not.
    Fail,
    /// It probably may not.
    SoftFail,
    /// DNS did not answer.
    TempError,
    /// The record cannot be read, or asks for too much.
    PermError,
}

/// One SPF check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpfCheck {
    /// The result.
    pub result: SpfResult,
    /// The domain that was checked.
    pub domain: String,
}

/// The result of a DKIM signature (RFC 8601 s.2.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DkimResult {
    /// It verifies.
    Pass,
    /// It does not.
    Fail,
    /// It was there, but cannot be taken into account.
    Neutral,
    /// It is not one that we accept: SHA-1, a short key, a part of the body only.
    Policy,
    /// DNS did not answer.
    TempError,
    /// It or its key cannot be read.
    PermError,
}

/// One DKIM signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimCheck {
    /// The result.
    pub result: DkimResult,
    /// d=, as it was written.
    pub domain: String,
    /// s=, as it was written.
    pub selector: String,
    /// a=, such as `rsa-sha256`; empty where it cannot be read.
    pub algorithm: String,
    /// The first characters of b=, by which one signature is told from another (RFC 6008); empty where it cannot be read.
    pub signature_prefix: String,
    /// Why it is not a pass, or what is odd about a pass, for people.
    pub reason: Option<String>,
}

/// What a domain asks to be done with mail that fails DMARC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DmarcPolicy {
    /// Nothing.
    #[default]
    None,
    /// To distrust it.
    Quarantine,
    /// Not to take it.
    Reject,
}

/// The result of DMARC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DmarcResult {
    /// The domain has no record, or the message no single From domain.
    #[default]
    None,
    /// An aligned SPF or DKIM pass.
    Pass,
    /// None.
    Fail,
    /// DNS did not answer.
    TempError,
    /// The record cannot be read.
    PermError,
}

/// A DMARC record, as far as its owner is told about it (RFC 9990).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DmarcRecord {
    /// Where it was found.
    pub domain: String,
    /// p=.
    pub policy: DmarcPolicy,
    /// sp=.
    pub subdomain_policy: Option<DmarcPolicy>,
    /// np=.
    pub nonexistent_policy: Option<DmarcPolicy>,
    /// adkim=s.
    pub dkim_strict: bool,
    /// aspf=s.
    pub spf_strict: bool,
    /// t=y.
    pub testing: bool,
    /// fo=.
    pub failure_options: Option<String>,
    /// rua=, as it was written, up to a bound; empty where nobody wants a report.
    pub report_uris: String,
}

/// DMARC (RFC 9989).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DmarcCheck {
    /// The result.
    pub result: DmarcResult,
    /// The domain of the From field; empty where there is none.
    pub domain: String,
    /// The policy that applies to it.
    pub policy: DmarcPolicy,
    /// What its record asks, before t=y takes a step off.
    pub asked: DmarcPolicy,
    /// The record.
    pub record: Option<Box<DmarcRecord>>,
    /// Whether SPF passed for an aligned domain.
    pub spf_aligned: bool,
    /// Whether a DKIM signature of an aligned domain verifies.
    pub dkim_aligned: bool,
}

/// The result of an ARC chain (RFC 8617 s.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ArcResult {
    /// There is none.
    #[default]
    None,
    /// It verifies.
    Pass,
    /// It does not.
    Fail,
}

/// Whether the address has a name that leads back to it (FCrDNS, RFC 8601 s.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IprevResult {
    /// It has.
    Pass,
    /// It has not.
    Fail,
    /// DNS did not answer.
    TempError,
    /// DNS cannot be asked about it.
    #[default]
    PermError,
}

/// Everything that was found out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The address's name.
    pub iprev: IprevResult,
    /// The name itself, where it leads back to the address.
    pub client_name: Option<String>,
    /// SPF of what the client called itself.
    pub helo: SpfCheck,
    /// SPF of the reverse-path; that of HELO where it is null.
    pub mail_from: SpfCheck,
    /// The DKIM signatures, in the order of the message, at most so many as are verified.
    pub dkim: Vec<DkimCheck>,
    /// DMARC.
    pub dmarc: DmarcCheck,
    /// ARC.
    pub arc: ArcResult,
}
