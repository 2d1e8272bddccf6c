//! SPF: `check_host()`.
//!
//! RFC 7208 s.4. Our own, since mail-auth's neither counts void lookups nor minds a second record, and reads several malformed
//! records as good ones (docs/adr/0005). Explanations (`exp=`) are checked for syntax and not fetched: nobody would be shown
//! them. Invariant: at most ten terms that ask DNS, two of them in vain, ten exchangers; time is bounded by the caller.

use std::net::IpAddr;
use std::pin::Pin;

use mail::evidence::SpfResult;
use mail::spf::{self, HOSTS_MAX, MacroString, MacroValues, Mechanism, Prefix, SpfRecord, TERMS_MAX, VOID_TERMS_MAX, is_within};

use crate::lookup::{Answer, Lookup, Missing, fqdn};

/// Who is asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub client: IpAddr,
    pub hello: &'a str,
    /// The domain whose record is wanted.
    pub domain: &'a str,
    /// What stands before the last `@` of the reverse-path.
    pub local_part: &'a str,
}

/// Whether `identity.client` may send for `identity.domain`.
pub(crate) async fn check_host(dns: &impl Lookup, identity: Identity<'_>) -> SpfResult {
    let client = identity.client.to_canonical();
    let local_part = if identity.local_part.is_empty() { "postmaster" } else { identity.local_part };
    let sender_domain = identity.domain;
    let mut check =
        Check { dns, client, hello: identity.hello, local_part, sender_domain, name: None, terms: 0, void_terms: 0, is_void: false };
    match check.host(identity.domain).await {
        Ok(result) => result,
        Err(Stop::Temporary) => SpfResult::TempError,
        Err(Stop::Permanent) => SpfResult::PermError,
    }
}

/// Why an evaluation ends at once.
enum Stop {
    Temporary,
    Permanent,
}

struct Check<'a, D> {
    dns: &'a D,
    client: IpAddr,
    hello: &'a str,
    local_part: &'a str,
    sender_domain: &'a str,
    name: Option<String>,
    terms: u32,
    /// Terms for which DNS has nothing.
    void_terms: u32,
    /// Whether the term that is looked at is one of them already.
    is_void: bool,
}

/// Whether this is a name that can have a record (s.4.3).
fn is_well_formed(domain: &str) -> bool {
    fqdn(domain).is_some() && domain.trim_end_matches('.').contains('.')
}

impl<D: Lookup> Check<'_, D> {
    /// One domain's record; boxed, since an include asks for another.
    fn host<'b>(&'b mut self, domain: &'b str) -> Pin<Box<dyn Future<Output = Result<SpfResult, Stop>> + Send + 'b>> {
        Box::pin(async move {
            let mut domain = domain.to_owned();
            let mut redirected = false;
            loop {
                let Some(record) = self.record(&domain).await? else {
                    return if redirected { Err(Stop::Permanent) } else { Ok(SpfResult::None) };
                };
                for directive in &record.directives {
                    if self.directive(&directive.mechanism, &domain).await? {
                        return Ok(directive.result);
                    }
                }
                let Some(target) = &record.redirect else { return Ok(SpfResult::Neutral) };
                self.count_term()?;
                domain = self.expand(target, &domain).await;
                redirected = true;
            }
        })
    }

    async fn record(&self, domain: &str) -> Result<Option<SpfRecord>, Stop> {
        if !is_well_formed(domain) {
            return Ok(None);
        }
        let texts = match self.dns.txt(domain).await {
            Ok(texts) => texts,
            Err(Missing::Temporary) => return Err(Stop::Temporary),
            Err(Missing::Name | Missing::Record) => return Ok(None),
        };
        let mut records = texts.iter().filter(|text| spf::is_spf(text));
        let Some(first) = records.next() else { return Ok(None) };
        if records.next().is_some() {
            return Err(Stop::Permanent);
        }
        SpfRecord::parse(first).map(Some).map_err(|_| Stop::Permanent)
    }

    fn count_term(&mut self) -> Result<(), Stop> {
        self.terms += 1;
        self.is_void = false;
        if self.terms > TERMS_MAX { Err(Stop::Permanent) } else { Ok(()) }
    }

    /// What was found; nothing where there is nothing, of which there may be too much.
    fn found<T>(&mut self, answer: Answer<T>) -> Result<Vec<T>, Stop> {
        match answer {
            Ok(found) => Ok(found),
            Err(Missing::Temporary) => Err(Stop::Temporary),
            Err(Missing::Name | Missing::Record) => {
                // s.4.6.4 counts terms: the hosts of an `mx` that have no address of the client's family are one void lookup, not one each.
                self.void_terms += u32::from(!std::mem::replace(&mut self.is_void, true));
                if self.void_terms > VOID_TERMS_MAX { Err(Stop::Permanent) } else { Ok(Vec::new()) }
            }
        }
    }

    async fn directive(&mut self, mechanism: &Mechanism, domain: &str) -> Result<bool, Stop> {
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
                SpfResult::TempError => Err(Stop::Temporary),
                SpfResult::PermError | SpfResult::None => Err(Stop::Permanent),
            },
            // A name that cannot be asked about matches nothing (s.4.8), and was not asked about: no void lookup.
            _ if fqdn(&target).is_none() => Ok(false),
            Mechanism::Exists(_) => {
                let answer = self.dns.a(&target).await;
                Ok(!self.found(answer)?.is_empty())
            }
            Mechanism::A { prefix, .. } => self.host_matches(&target, *prefix).await,
            Mechanism::Mx { prefix, .. } => self.exchanger_matches(&target, *prefix).await,
            _ => {
                let suffix = format!(".{}", target.trim_end_matches('.').to_ascii_lowercase());
                let names = self.names().await;
                Ok(names.iter().any(|name| format!(".{name}").ends_with(&suffix)))
            }
        }
    }

    async fn host_matches(&mut self, host: &str, prefix: Prefix) -> Result<bool, Stop> {
        let answer = self.dns.same_family(host, self.client).await;
        let bits = if self.client.is_ipv4() { prefix.v4 } else { prefix.v6 };
        Ok(self.found(answer)?.iter().any(|address| is_within(self.client, *address, bits)))
    }

    async fn exchanger_matches(&mut self, domain: &str, prefix: Prefix) -> Result<bool, Stop> {
        let answer = self.dns.mx(domain).await;
        let hosts = self.found(answer)?;
        if hosts.len() > HOSTS_MAX {
            return Err(Stop::Permanent);
        }
        for host in &hosts {
            if fqdn(host).is_some() && self.host_matches(host, prefix).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The client's names that lead back to it; what DNS does not answer is passed over (s.5.5).
    async fn names(&mut self) -> Vec<String> {
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
            let names = self.names().await;
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
