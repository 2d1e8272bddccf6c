//! DMARC: the policies of the domains in From, and alignment of SPF and DKIM with them.
//!
//! RFC 9989 s.4.10 (the tree walk), s.5.3. Invariant: if From has several domains, the strictest outcome counts, and a failed lookup
//! neither makes a pass nor removes a policy.

use mail::Mailbox;
use mail::dmarc_record::{DmarcPolicyRecord, Suffix, is_dmarc};
use mail::evidence::{DkimCheck, DkimResult, DmarcCheck, DmarcPolicy, DmarcRecord, DmarcResult, SpfCheck, SpfResult};

use crate::lookup::{Lookup, Missing, fqdn};

/// Maximum labels of the tree walk (s.4.10).
const LABELS_MAX: usize = 8;
/// Maximum domains of From that are evaluated.
const DOMAINS_MAX: usize = 10;

/// The DMARC records on the way from a name towards the root.
#[derive(Debug, Clone)]
pub(crate) struct TreeWalk {
    start: String,
    records: Vec<(String, DmarcPolicyRecord)>,
}

/// The lookup for one domain of From.
#[derive(Debug, Clone)]
pub(crate) enum PolicyLookup {
    /// Its records, and whether the domain does not exist.
    Records(TreeWalk, bool),
    /// No answer from DNS.
    Unanswered(String),
}

/// The domains of From: at most ten, without duplicates, as A-labels.
pub(crate) fn author_domains(authors: &[Mailbox]) -> Vec<String> {
    let mut domains: Vec<String> = Vec::new();
    for author in authors {
        let domain = author.domain.to_string();
        if !domain.is_empty() && !domains.contains(&domain) && domains.len() < DOMAINS_MAX {
            domains.push(domain);
        }
    }
    domains
}

/// Looks up the policies of the domains.
pub(crate) async fn discover(dns: &impl Lookup, domains: &[String]) -> Vec<PolicyLookup> {
    let mut found = Vec::with_capacity(domains.len());
    for domain in domains {
        let Ok(walk) = walk(dns, domain).await else {
            found.push(PolicyLookup::Unanswered(domain.clone()));
            continue;
        };
        // Only where it makes a difference. RFC 8020: NXDOMAIN for one type is NXDOMAIN for all.
        let differs =
            walk.applying().is_some_and(|(place, record)| place != walk.start && record.nonexistent_policy != record.subdomain_policy);
        let absent = differs && dns.a(domain).await == Err(Missing::Name);
        found.push(PolicyLookup::Records(walk, absent));
    }
    found
}

/// Evaluates all domains; returns the strictest outcome.
pub(crate) async fn check(dns: &impl Lookup, found: &[PolicyLookup], spf: &SpfCheck, dkim: &[DkimCheck]) -> DmarcCheck {
    let mut strictest: Option<DmarcCheck> = None;
    for domain in found {
        let check = match domain {
            PolicyLookup::Unanswered(domain) => unanswered(domain),
            PolicyLookup::Records(walk, absent) => check_domain(dns, walk, *absent, spf, dkim).await,
        };
        if strictest.as_ref().is_none_or(|other| severity(&check) > severity(other)) {
            strictest = Some(check);
        }
    }
    strictest.unwrap_or_default()
}

/// The result for a domain whose policy lookup failed.
pub(crate) fn unanswered(domain: &str) -> DmarcCheck {
    DmarcCheck { result: DmarcResult::TempError, domain: domain.to_owned(), ..DmarcCheck::default() }
}

fn severity(check: &DmarcCheck) -> u8 {
    match (check.result, check.policy) {
        (DmarcResult::Pass, _) => 0,
        (DmarcResult::None, _) => 1,
        (DmarcResult::Fail, DmarcPolicy::None) => 2,
        (DmarcResult::PermError, _) => 3,
        (DmarcResult::TempError, _) => 4,
        (DmarcResult::Fail, DmarcPolicy::Quarantine) => 5,
        (DmarcResult::Fail, DmarcPolicy::Reject) => 6,
    }
}

async fn check_domain(dns: &impl Lookup, walk: &TreeWalk, absent: bool, spf: &SpfCheck, dkim: &[DkimCheck]) -> DmarcCheck {
    let mut check = DmarcCheck { domain: walk.start.clone(), ..DmarcCheck::default() };
    let Some((place, record)) = walk.applying() else { return check };
    check.record = Some(Box::new(record.published(place)));
    check.asked = match (place == walk.start, absent) {
        (true, _) => record.policy,
        (false, true) => record.nonexistent_policy,
        (false, false) => record.subdomain_policy,
    };
    check.policy = match check.asked {
        asked if !record.testing => asked,
        DmarcPolicy::Reject => DmarcPolicy::Quarantine,
        DmarcPolicy::Quarantine | DmarcPolicy::None => DmarcPolicy::None,
    };
    let mut unanswered = false;
    if matches!(spf.result, SpfResult::Pass | SpfResult::TempError) {
        match is_aligned(dns, walk, &spf.domain, record.spf_strict).await {
            Ok(true) if spf.result == SpfResult::Pass => check.spf_aligned = true,
            Ok(true) | Err(_) => unanswered = true,
            Ok(false) => {}
        }
    }
    for signature in dkim {
        if check.dkim_aligned || !matches!(signature.result, DkimResult::Pass | DkimResult::TempError) {
            continue;
        }
        match is_aligned(dns, walk, &signature.domain, record.dkim_strict).await {
            Ok(true) if signature.result == DkimResult::Pass => check.dkim_aligned = true,
            Ok(true) | Err(_) => unanswered = true,
            Ok(false) => {}
        }
    }
    check.result = match (check.spf_aligned || check.dkim_aligned, unanswered) {
        (true, _) => DmarcResult::Pass,
        (false, true) => DmarcResult::TempError,
        (false, false) => DmarcResult::Fail,
    };
    check
}

/// The record at the domain itself; none unless there is exactly one.
pub(crate) async fn record_at(dns: &impl Lookup, domain: &str) -> Result<Option<DmarcRecord>, Missing> {
    if fqdn(domain).is_none() {
        return Ok(None);
    }
    Ok(own_record(dns, domain).await?.map(|record| record.published(domain)))
}

/// The organizational domain of a name (s.4.10.2).
pub(crate) async fn organization(dns: &impl Lookup, domain: &str) -> Result<String, Missing> {
    Ok(walk(dns, domain).await?.organization().to_owned())
}

/// Whether a domain that passed is aligned with the author's.
async fn is_aligned(dns: &impl Lookup, author: &TreeWalk, domain: &str, strict: bool) -> Result<bool, Missing> {
    let Some(name) = fqdn(domain) else { return Ok(false) };
    let domain = name.to_ascii().trim_end_matches('.').to_owned();
    if domain == author.start {
        return Ok(true);
    }
    let organization = author.organization();
    let within = domain == organization || domain.ends_with(&format!(".{organization}"));
    // Only a domain within the author's organizational domain can have the same one.
    if strict || !within {
        return Ok(false);
    }
    Ok(walk(dns, &domain).await?.organization() == organization)
}

async fn own_record(dns: &impl Lookup, name: &str) -> Result<Option<DmarcPolicyRecord>, Missing> {
    let texts = match dns.txt(&format!("_dmarc.{name}")).await {
        Ok(texts) => texts,
        Err(Missing::Temporary) => return Err(Missing::Temporary),
        Err(Missing::Name | Missing::Record) => Vec::new(),
    };
    let mut records = texts.iter().filter(|text| is_dmarc(text));
    // Several records at one name count as none.
    match (records.next(), records.next()) {
        (Some(text), None) => Ok(DmarcPolicyRecord::parse(text)),
        _ => Ok(None),
    }
}

/// The tree walk (s.4.10).
async fn walk(dns: &impl Lookup, start: &str) -> Result<TreeWalk, Missing> {
    let mut walk = TreeWalk { start: start.to_owned(), records: Vec::new() };
    let labels: Vec<&str> = start.split('.').collect();
    if fqdn(start).is_none() || labels.len() < 2 {
        return Ok(walk);
    }
    let mut count = labels.len();
    while count > 0 {
        let name = labels.get(labels.len() - count..).unwrap_or_default().join(".");
        if let Some(record) = own_record(dns, &name).await? {
            let last = record.suffix != Suffix::Unsaid;
            walk.records.push((name, record));
            if last {
                break;
            }
        }
        count = if count >= LABELS_MAX { LABELS_MAX - 1 } else { count - 1 };
    }
    Ok(walk)
}

impl TreeWalk {
    /// The organizational domain (s.4.10.2).
    fn organization(&self) -> &str {
        for (name, record) in &self.records {
            match record.suffix {
                Suffix::No => return name,
                Suffix::Yes if *name != self.start => return self.one_below(name),
                Suffix::Yes | Suffix::Unsaid => {}
            }
        }
        self.records.last().map_or(self.start.as_str(), |(name, _)| name)
    }

    /// The ancestor of the start that is one label longer than `suffix`.
    fn one_below(&self, suffix: &str) -> &str {
        let Some(above) = self.start.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.')) else { return &self.start };
        let cut = above.rfind('.').map_or(0, |dot| dot + 1);
        self.start.get(cut..).unwrap_or(&self.start)
    }

    /// The record that applies (s.4.10.1), and its name.
    fn applying(&self) -> Option<(&str, &DmarcPolicyRecord)> {
        let of = |wanted: &str| self.records.iter().find(|(name, _)| name == wanted);
        let applying = of(&self.start).or_else(|| of(self.organization())).or(self.records.last());
        applying.map(|(name, record)| (name.as_str(), record))
    }
}
