//! Evidence about the sender of a message: SPF, DKIM, DKIM2, DMARC, ARC and the name of the client's address.
//!
//! RFC 8601 s.2.7, RFC 7208 s.2.6, RFC 6376 s.3.9, RFC 9989, RFC 8617 s.4.4, draft-ietf-dkim-dkim2-spec-08. Invariant: results only, no decisions; a
//! name from the message is a string, not yet a domain.

/// The result of an SPF check (RFC 7208 s.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpfResult {
    /// No record, or no name to look one up for.
    #[default]
    None,
    /// The domain makes no statement about the address.
    Neutral,
    /// The address may send for the domain.
    Pass,
    /// It may not.
    Fail,
    /// It probably may not.
    SoftFail,
    /// DNS did not answer.
    TempError,
    /// The record is invalid, or needs too many lookups.
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
    /// It is there, but cannot be evaluated.
    Neutral,
    /// Our policy does not accept it: SHA-1, a short key, only a part of the body.
    Policy,
    /// DNS did not answer.
    TempError,
    /// It or its key is invalid.
    PermError,
}

/// One DKIM signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimCheck {
    /// The result.
    pub result: DkimResult,
    /// d=, unchanged.
    pub domain: String,
    /// s=, unchanged.
    pub selector: String,
    /// a=, such as `rsa-sha256`; empty if invalid.
    pub algorithm: String,
    /// The first characters of b=, which identify the signature (RFC 6008); empty if invalid.
    pub signature_prefix: String,
    /// Why it does not pass, or a remark about a pass, for people.
    pub reason: Option<String>,
}

/// What a domain requests for mail that fails DMARC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DmarcPolicy {
    /// Nothing.
    #[default]
    None,
    /// Treat it as suspicious.
    Quarantine,
    /// Reject it.
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
    /// No aligned pass.
    Fail,
    /// DNS did not answer.
    TempError,
    /// The record is invalid.
    PermError,
}

/// A DMARC record, as far as reports repeat it (RFC 9990).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DmarcRecord {
    /// The domain where it was found.
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
    /// rua=, unchanged up to a maximum; empty without a request for reports.
    pub report_uris: String,
}

/// DMARC (RFC 9989).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DmarcCheck {
    /// The result.
    pub result: DmarcResult,
    /// The domain of the From field; empty without one.
    pub domain: String,
    /// The policy that applies to it.
    pub policy: DmarcPolicy,
    /// The policy of its record, before t=y weakens it.
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

/// The result of a DKIM2 chain (draft-ietf-dkim-dkim2-spec-08 s.14.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChainResult {
    /// The message has none.
    #[default]
    None,
    /// It verifies from its originator to this delivery, envelope included.
    Pass,
    /// A signature, a hash, the custody or the envelope is wrong.
    Fail,
    /// DNS did not answer.
    TempError,
    /// It is malformed, incomplete, beyond our limits, or a key is missing.
    PermError,
}

/// One hop of a DKIM2 chain, as its signature says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainHop {
    /// i=, from 1 for the originator.
    pub number: u32,
    /// d=, the domain that signed.
    pub domain: String,
    /// m=, the revision of the message that it signed.
    pub revision: u32,
    /// Where it sent the message.
    pub sent: HopSent,
}

/// Where a hop of a DKIM2 chain sent the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HopSent {
    /// Over SMTP, with this envelope: paths in angle brackets.
    Envelope {
        /// mf=.
        from: String,
        /// rt=.
        to: Vec<String>,
    },
    /// To another domain of the same system (nd=).
    Domain(String),
}

/// The DKIM2 chain of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainCheck {
    /// The result.
    pub result: ChainResult,
    /// Its hops by number, at most as many as are verified; claims only, unless the result is a pass.
    pub hops: Vec<ChainHop>,
    /// The hop that the reason is about.
    pub failed_hop: Option<u32>,
    /// Why it does not pass, for people.
    pub reason: Option<String>,
}

impl ChainCheck {
    /// The domain of the originator, if it is named.
    pub fn originator(&self) -> Option<&str> {
        self.hops.first().filter(|hop| hop.number == 1).map(|hop| hop.domain.as_str())
    }
}

/// Whether the address has a name that resolves to it (FCrDNS, RFC 8601 s.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IprevResult {
    /// It has.
    Pass,
    /// It has not.
    Fail,
    /// DNS did not answer.
    TempError,
    /// DNS cannot be queried for it.
    #[default]
    PermError,
}

/// All evidence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The result for the address's name.
    pub iprev: IprevResult,
    /// The name itself, if it resolves to the address.
    pub client_name: Option<String>,
    /// SPF of the HELO name.
    pub helo: SpfCheck,
    /// SPF of the reverse-path; if null, that of HELO.
    pub mail_from: SpfCheck,
    /// The DKIM signatures that were verified, in the order of the message.
    pub dkim: Vec<DkimCheck>,
    /// The DKIM2 chain.
    pub dkim2: ChainCheck,
    /// DMARC.
    pub dmarc: DmarcCheck,
    /// ARC.
    pub arc: ArcResult,
}

/// The words of a result, as RFC 8601 s.2.7 and RFC 9989 write them.
macro_rules! words {
    ($($result:ident: $($variant:ident $word:literal),+;)+) => {
        $(impl $result {
            /// Returns its word (RFC 8601 s.2.7).
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        })+
    };
}

words! {
    SpfResult: None "none", Neutral "neutral", Pass "pass", Fail "fail", SoftFail "softfail", TempError "temperror", PermError "permerror";
    DkimResult: Pass "pass", Fail "fail", Neutral "neutral", Policy "policy", TempError "temperror", PermError "permerror";
    DmarcResult: None "none", Pass "pass", Fail "fail", TempError "temperror", PermError "permerror";
    DmarcPolicy: None "none", Quarantine "quarantine", Reject "reject";
    ArcResult: None "none", Pass "pass", Fail "fail";
    ChainResult: None "none", Pass "pass", Fail "fail", TempError "temperror", PermError "permerror";
    IprevResult: Pass "pass", Fail "fail", TempError "temperror", PermError "permerror";
}
