//! `/api/v1/aliases/targets`: whether the domains of targets accept mail.
//!
//! RFC 5321 s.5.1, RFC 7505 (null MX). Invariant: the result is advice; no alias is refused because of DNS.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use directory::{Directory, Target, meant};
use mail::Domain;
use mta::LiveDirectory;
use net::Resolver;
use policy::{RouteFailure, rank_mx_hosts};
use tokio::task::JoinSet;

use crate::api::{TargetLook, TargetLooks, TargetsQuery};
use crate::control::Control;
use crate::error::ApiError;
use crate::extract::{Params, parsed};

/// Maximum time to look up a domain: somebody waits, and the result is advice. A resolver that answers at all is faster, except for the first question about
/// a far domain now and then.
const ANSWER: Duration = Duration::from_millis(1500);

/// Maximum concurrent lookups.
const AT_ONCE: usize = 16;

/// Maximum targets that a request names.
const TARGETS_MAX: usize = 100;

/// Maximum domains to look up for one request.
const DOMAINS_MAX: usize = 300;

/// Whether a domain accepts mail, by DNS.
enum DomainCheck {
    Accepts,
    Wrong(String),
    Unknown(String),
}

/// Looks up the domains of the named targets, or of all.
pub(crate) async fn all(State(checker): State<TargetChecker>, Params(query): Params<TargetsQuery>) -> Result<Json<TargetLooks>, ApiError> {
    let directory = checker.live.current();
    if let Some(named) = query.targets {
        let targets =
            named.split_whitespace().take(TARGETS_MAX).map(|target| parsed("an address", target)).collect::<Result<Vec<Target>, _>>()?;
        return Ok(Json(checker.looks(&directory, &targets).await));
    }
    let aliases = directory.contents().aliases.iter().filter(|alias| alias.enabled && directory.hosts(alias.source.domain()));
    let targets: Vec<Target> = aliases.flat_map(|alias| &alias.targets).cloned().collect();
    Ok(Json(checker.looks(&directory, &targets).await))
}

/// Looks up whether the domains of targets take mail.
#[derive(Clone)]
pub(crate) struct TargetChecker {
    pub live: Arc<LiveDirectory>,
    pub resolver: Option<Resolver>,
    pub control: Arc<dyn Control>,
}

impl TargetChecker {
    /// Returns the problems of these targets.
    pub async fn look_at(&self, targets: &[Target]) -> Vec<TargetLook> {
        let directory = self.live.current();
        self.looks(&directory, targets).await.doubts
    }

    async fn looks(&self, directory: &Directory, targets: &[Target]) -> TargetLooks {
        let Some(resolver) = &self.resolver else { return TargetLooks::default() };
        let mut domains: BTreeMap<&Domain, &Target> = BTreeMap::new();
        for target in targets {
            let domain = target.domain();
            if directory.hosted(domain).is_none() && domain.address().is_none() && !self.control.has_route(domain) {
                domains.entry(domain).or_insert(target);
            }
        }
        let found = ask(resolver, domains.keys().take(DOMAINS_MAX).map(|domain| (*domain).clone()).collect()).await;
        let others = || directory.contents().aliases.iter().flat_map(|alias| &alias.targets).map(Target::domain);
        let doubt = |(domain, found): (Domain, DomainCheck)| {
            let target = (*domains.get(&domain)?).to_string();
            // Another target suggests what was meant only if this one is impossible.
            let (is_wrong, found, meant) = match found {
                DomainCheck::Accepts => (false, format!("{domain} accepts mail"), Some(meant(&domain, std::iter::empty())?)),
                DomainCheck::Wrong(text) => (true, text, meant(&domain, others())),
                DomainCheck::Unknown(text) => (false, text, meant(&domain, std::iter::empty())),
            };
            // A well-known domain with a typing error may exist and collect misdirected mail.
            Some(TargetLook { domain: domain.to_string(), target, is_wrong: is_wrong || meant.is_some(), found, meant })
        };
        TargetLooks {
            looked: found.len(),
            left_out: domains.len().saturating_sub(DOMAINS_MAX),
            doubts: found.into_iter().filter_map(doubt).collect(),
        }
    }
}

/// Looks up each domain; the results are in the order of the domains.
async fn ask(resolver: &Resolver, domains: Vec<Domain>) -> Vec<(Domain, DomainCheck)> {
    let mut waiting = domains.into_iter();
    let mut tasks = JoinSet::new();
    let mut found = BTreeMap::new();
    let start = |tasks: &mut JoinSet<(Domain, DomainCheck)>, domain: Domain| {
        let resolver = resolver.clone();
        tasks.spawn(async move {
            let found = tokio::time::timeout(ANSWER, look_up(&resolver, &domain)).await;
            let found = found.unwrap_or_else(|_| unknown(&domain, "no answer in time"));
            (domain, found)
        });
    };
    waiting.by_ref().take(AT_ONCE).for_each(|domain| start(&mut tasks, domain));
    while let Some(done) = tasks.join_next().await {
        found.extend(done.ok());
        if let Some(domain) = waiting.next() {
            start(&mut tasks, domain);
        }
    }
    found.into_iter().collect()
}

fn unknown(domain: &Domain, why: &str) -> DomainCheck {
    DomainCheck::Unknown(format!("cannot look up {domain}: {why}"))
}

async fn look_up(resolver: &Resolver, domain: &Domain) -> DomainCheck {
    if !domain.is_fully_qualified() {
        return DomainCheck::Wrong(format!("{domain} is not a full domain name"));
    }
    let records = match resolver.mail_hosts(domain).await {
        Ok(answer) => answer.records,
        Err(RouteFailure::Temporary(why)) => return unknown(domain, &why),
        Err(failure) => return DomainCheck::Wrong(failure.into_trouble(domain).text),
    };
    let is_implicit = records.is_empty();
    if let Err(trouble) = rank_mx_hosts(domain, records, &[], 25, 0) {
        return DomainCheck::Wrong(trouble.text);
    }
    if !is_implicit {
        return DomainCheck::Accepts;
    }
    // RFC 5321 s.5.1: the domain itself is the host, where it has an address.
    match resolver.addresses(domain, true).await {
        Ok(_) => DomainCheck::Accepts,
        Err(RouteFailure::Temporary(why)) => unknown(domain, &why),
        Err(failure) => DomainCheck::Wrong(failure.into_trouble(domain).text),
    }
}
