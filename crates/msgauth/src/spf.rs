//! SPF: `check_host()`.
//!
//! RFC 7208 s.4. Not by mail-auth, which neither counts void lookups nor refuses a second record, and accepts several malformed records
//! (docs/adr/0005). Explanations (`exp=`) are checked for syntax and not fetched, since they are not used. Invariant: at most ten terms with lookups, two
//! void ones, ten mail exchangers; the caller bounds the time.

use std::net::IpAddr;
use std::pin::Pin;

use mail::evidence::SpfResult;
use mail::spf::{self, HOSTS_MAX, MacroString, MacroValues, Mechanism, Prefix, SpfRecord, TERMS_MAX, VOID_TERMS_MAX, is_within};

use crate::lookup::{Answer, Lookup, Missing, fqdn};

/// The identity to check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpfIdentity<'a> {
    pub client: IpAddr,
    pub hello: &'a str,
    /// The domain whose record is evaluated.
    pub domain: &'a str,
    /// The local-part of the reverse-path (before the last `@`).
    pub local_part: &'a str,
}

/// Whether `identity.client` may send for `identity.domain`, and the terms that decided it, those of included records first.
pub(crate) async fn check_host(dns: &impl Lookup, identity: SpfIdentity<'_>) -> (SpfResult, Vec<SpfTerm>) {
    let client = identity.client.to_canonical();
    let local_part = if identity.local_part.is_empty() { "postmaster" } else { identity.local_part };
    let sender_domain = identity.domain;
    let mut check = HostCheck {
        dns,
        client,
        hello: identity.hello,
        local_part,
        sender_domain,
        name: None,
        terms: 0,
        void_terms: 0,
        is_void: false,
        decided: Vec::new(),
    };
    let result = match check.host(identity.domain).await {
        Ok(result) => result,
        Err(SpfStop::Temporary) => SpfResult::TempError,
        Err(SpfStop::Permanent) => SpfResult::PermError,
    };
    (result, check.decided)
}

/// A term of a record that decided a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpfTerm {
    /// The domain whose record has it.
    pub domain: String,
    /// Its text: `ip4:192.0.2.0/24`, `redirect=...`.
    pub term: String,
}

/// Why an evaluation stops early.
enum SpfStop {
    Temporary,
    Permanent,
}

struct HostCheck<'a, D> {
    dns: &'a D,
    client: IpAddr,
    hello: &'a str,
    local_part: &'a str,
    sender_domain: &'a str,
    name: Option<String>,
    terms: u32,
    /// Terms with void lookups.
    void_terms: u32,
    /// Whether the current term is counted as one already.
    is_void: bool,
    /// The terms that matched, innermost first.
    decided: Vec<SpfTerm>,
}

/// Whether the name is valid and has at least two labels (s.4.3).
fn is_well_formed(domain: &str) -> bool {
    fqdn(domain).is_some() && domain.trim_end_matches('.').contains('.')
}

impl<D: Lookup> HostCheck<'_, D> {
    /// Evaluates one domain's record; boxed, since `include` recurses.
    fn host<'b>(&'b mut self, domain: &'b str) -> Pin<Box<dyn Future<Output = Result<SpfResult, SpfStop>> + Send + 'b>> {
        Box::pin(async move {
            let mut domain = domain.to_owned();
            let mut redirected = false;
            loop {
                let Some(record) = self.record(&domain).await? else {
                    return if redirected { Err(SpfStop::Permanent) } else { Ok(SpfResult::None) };
                };
                for directive in record.directives {
                    let before = self.decided.len();
                    if self.matches(&directive.mechanism, &domain).await? {
                        self.decided.push(SpfTerm { domain, term: directive.term });
                        return Ok(directive.result);
                    }
                    // What decided within an included record decides nothing here.
                    self.decided.truncate(before);
                }
                let Some(target) = &record.redirect else { return Ok(SpfResult::Neutral) };
                self.count_term()?;
                domain = self.expand(target, &domain).await;
                redirected = true;
            }
        })
    }

    async fn record(&self, domain: &str) -> Result<Option<SpfRecord>, SpfStop> {
        if !is_well_formed(domain) {
            return Ok(None);
        }
        let texts = match self.dns.txt(domain).await {
            Ok(texts) => texts,
            Err(Missing::Temporary) => return Err(SpfStop::Temporary),
            Err(Missing::Name | Missing::Record) => return Ok(None),
        };
        let mut records = texts.iter().filter(|text| spf::is_spf(text));
        let Some(first) = records.next() else { return Ok(None) };
        if records.next().is_some() {
            return Err(SpfStop::Permanent);
        }
        SpfRecord::parse(first).map(Some).map_err(|_| SpfStop::Permanent)
    }

    fn count_term(&mut self) -> Result<(), SpfStop> {
        self.terms += 1;
        self.is_void = false;
        if self.terms > TERMS_MAX { Err(SpfStop::Permanent) } else { Ok(()) }
    }

    /// The records of an answer; counts void lookups.
    fn count_void<T>(&mut self, answer: Answer<T>) -> Result<Vec<T>, SpfStop> {
        match answer {
            Ok(found) => Ok(found),
            Err(Missing::Temporary) => Err(SpfStop::Temporary),
            Err(Missing::Name | Missing::Record) => {
                // s.4.6.4 counts terms: the hosts of an `mx` that have no address of the client's family are one void lookup, not one each.
                self.void_terms += u32::from(!std::mem::replace(&mut self.is_void, true));
                if self.void_terms > VOID_TERMS_MAX { Err(SpfStop::Permanent) } else { Ok(Vec::new()) }
            }
        }
    }

    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Result<bool, SpfStop> {
        match mechanism {
            Mechanism::All => return Ok(true),
            Mechanism::Network { address, bits } => return Ok(is_within(self.client, *address, *bits)),
            _ => self.count_term()?,
        }
        let target = match mechanism {
            Mechanism::Include(spec) | Mechanism::Exists(spec) => self.expand(spec, domain).await,
            Mechanism::A { host: Some(spec), .. } | Mechanism::Mx { host: Some(spec), .. } | Mechanism::Ptr(Some(spec)) => {
                self.expand(spec, domain).await
            }
            _ => domain.to_owned(),
        };
        match mechanism {
            Mechanism::Include(_) => match self.host(&target).await? {
                SpfResult::Pass => Ok(true),
                SpfResult::Fail | SpfResult::SoftFail | SpfResult::Neutral => Ok(false),
                SpfResult::TempError => Err(SpfStop::Temporary),
                SpfResult::PermError | SpfResult::None => Err(SpfStop::Permanent),
            },
            // An invalid name matches nothing (s.4.8), and is not looked up: no void lookup.
            _ if fqdn(&target).is_none() => Ok(false),
            Mechanism::Exists(_) => {
                let answer = self.dns.a(&target).await;
                Ok(!self.count_void(answer)?.is_empty())
            }
            Mechanism::A { prefix, .. } => self.host_matches(&target, *prefix).await,
            Mechanism::Mx { prefix, .. } => self.exchanger_matches(&target, *prefix).await,
            _ => {
                let suffix = format!(".{}", target.trim_end_matches('.').to_ascii_lowercase());
                let names = self.confirmed_names().await;
                Ok(names.iter().any(|name| format!(".{name}").ends_with(&suffix)))
            }
        }
    }

    async fn host_matches(&mut self, host: &str, prefix: Prefix) -> Result<bool, SpfStop> {
        let answer = self.dns.same_family(host, self.client).await;
        let bits = if self.client.is_ipv4() { prefix.v4 } else { prefix.v6 };
        Ok(self.count_void(answer)?.iter().any(|address| is_within(self.client, *address, bits)))
    }

    async fn exchanger_matches(&mut self, domain: &str, prefix: Prefix) -> Result<bool, SpfStop> {
        let answer = self.dns.mx(domain).await;
        let hosts = self.count_void(answer)?;
        if hosts.len() > HOSTS_MAX {
            return Err(SpfStop::Permanent);
        }
        for host in &hosts {
            if fqdn(host).is_some() && self.host_matches(host, prefix).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The client's confirmed names; lookups without an answer are ignored (s.5.5).
    async fn confirmed_names(&mut self) -> Vec<String> {
        let mut confirmed = Vec::new();
        for name in self.dns.ptr(self.client).await.unwrap_or_default().into_iter().take(HOSTS_MAX) {
            if self.dns.same_family(&name, self.client).await.is_ok_and(|found| found.contains(&self.client)) {
                confirmed.push(name);
            }
        }
        confirmed
    }

    async fn expand(&mut self, spec: &MacroString, domain: &str) -> String {
        if spec.wants_name() && self.name.is_none() {
            let names = self.confirmed_names().await;
            let own = domain.to_ascii_lowercase();
            let below = format!(".{own}");
            let best = names.iter().find(|name| **name == own).or_else(|| names.iter().find(|name| name.ends_with(&below)));
            self.name = Some(best.or(names.first()).cloned().unwrap_or_else(|| "unknown".into()));
        }
        spec.expand(&MacroValues {
            local_part: self.local_part,
            sender_domain: self.sender_domain,
            client: self.client,
            hello: self.hello,
            domain,
            client_name: self.name.as_deref().unwrap_or("unknown"),
        })
    }
}
