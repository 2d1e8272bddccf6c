//! `/v1/aliases/targets`: whether mail can arrive where aliases lead.
//!
//! RFC 5321 s.5.1, RFC 7505 (null MX). Invariant: nothing is refused for what DNS says, or for its silence.

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

use crate::api::{TargetLook, TargetLooks};
use crate::control::Control;

/// An answer comes within this time, or none is waited for.
const ANSWER: Duration = Duration::from_secs(3);

/// Questions at a time.
const AT_ONCE: usize = 16;

/// Domains that are looked up for one request.
const DOMAINS_MAX: usize = 300;

/// What DNS said.
enum Found {
    Fine,
    Wrong(String),
    Silent(String),
}

pub(crate) async fn all(State(checker): State<TargetChecker>) -> Json<TargetLooks> {
    let directory = checker.live.current();
    let aliases = directory.contents().aliases.iter().filter(|alias| alias.enabled && directory.hosts(alias.source.domain()));
    let targets: Vec<Target> = aliases.flat_map(|alias| &alias.targets).cloned().collect();
    Json(checker.looks(&directory, &targets).await)
}

/// Looks up whether the domains of targets take mail.
#[derive(Clone)]
pub(crate) struct TargetChecker {
    pub live: Arc<LiveDirectory>,
    pub resolver: Option<Resolver>,
    pub control: Arc<dyn Control>,
}

impl TargetChecker {
    /// What DNS says against these targets.
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
        let doubt = |(domain, found): (Domain, Found)| {
            let target = (*domains.get(&domain)?).to_string();
            // Another target is no proof of what was meant, unless this one cannot be.
            let (is_wrong, found, meant) = match found {
                Found::Fine => (false, format!("{domain} takes mail"), Some(meant(&domain, std::iter::empty())?)),
                Found::Wrong(text) => (true, text, meant(&domain, others())),
                Found::Silent(text) => (false, text, meant(&domain, std::iter::empty())),
            };
            // A well-known domain with one letter changed may well exist, and belong to whoever collects such mail.
            Some(TargetLook { domain: domain.to_string(), target, is_wrong: is_wrong || meant.is_some(), found, meant })
        };
        TargetLooks {
            looked: found.len(),
            left_out: domains.len().saturating_sub(DOMAINS_MAX),
            doubts: found.into_iter().filter_map(doubt).collect(),
        }
    }
}

/// Asks about each domain; the answers come in the order of the domains.
async fn ask(resolver: &Resolver, domains: Vec<Domain>) -> Vec<(Domain, Found)> {
    let mut waiting = domains.into_iter();
    let mut tasks = JoinSet::new();
    let mut found = BTreeMap::new();
    let start = |tasks: &mut JoinSet<(Domain, Found)>, domain: Domain| {
        let resolver = resolver.clone();
        tasks.spawn(async move {
            let found = look_up(&resolver, &domain).await;
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

async fn look_up(resolver: &Resolver, domain: &Domain) -> Found {
    if !domain.is_fully_qualified() {
        return Found::Wrong(format!("{domain} is no full domain name"));
    }
    let silent = |why: &str| Found::Silent(format!("{domain} could not be looked up: {why}"));
    let Ok(answer) = tokio::time::timeout(ANSWER, resolver.mail_hosts(domain)).await else { return silent("DNS gave no answer in time") };
    let records = match answer {
        Ok(answer) => answer.records,
        Err(RouteFailure::Temporary(why)) => return silent(&why),
        Err(failure) => return Found::Wrong(failure.into_trouble(domain).text),
    };
    let is_implicit = records.is_empty();
    if let Err(trouble) = rank_mx_hosts(domain, records, &[], 25, 0) {
        return Found::Wrong(trouble.text);
    }
    if !is_implicit {
        return Found::Fine;
    }
    // RFC 5321 s.5.1: the domain itself is the host, where it has an address.
    match resolver.addresses(domain, true).await {
        Ok(_) => Found::Fine,
        Err(RouteFailure::Temporary(why)) => silent(&why),
        Err(failure) => Found::Wrong(failure.into_trouble(domain).text),
    }
}
