//! Looks up the records of a DNS plan: at the servers of each zone, at the resolver in use, and at public resolvers.
//!
//! RFC 1034 s.4.2 (a zone and its servers). Invariant: `dns_plan::compare` decides, not this module; each server gets each question once, and a
//! silent server no further one.

mod ask;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dns_plan::{Answer, Answers, Data, Finding, PlannedRecord, Question, RecordType, Source, compare, questions};
use futures_util::future::BoxFuture;
use hickory_resolver::proto::rr::RecordType as Type;
use hickory_resolver::system_conf::read_system_conf;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::blocking::blocking;
use ask::Asker;

/// Maximum concurrent questions.
const CONCURRENT_MAX: usize = 16;

/// Maximum rounds of questions: an SPF record includes another, which includes another.
const ROUNDS_MAX: usize = 16;

/// Settings of the check.
#[derive(Debug, Clone)]
pub struct DnsCheck {
    /// The resolvers in use: the first that answers counts. Empty: those of /etc/resolv.conf.
    pub configured: Vec<SocketAddr>,
    /// Public resolvers, each of which is asked.
    pub others: Vec<SocketAddr>,
    /// The port of the zones' servers.
    pub port: u16,
    /// Ask only the resolver in use.
    pub quick: bool,
}

/// No resolver is configured.
#[derive(Debug, thiserror::Error)]
#[error("no resolver: {0}; set dns.servers in the configuration, or see /etc/resolv.conf")]
pub struct DnsCheckError(String);

/// The result of the check.
#[derive(Debug, Clone)]
pub struct DnsChecked {
    /// The zones, and the addresses of their servers.
    pub zones: Vec<(String, Vec<IpAddr>)>,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// The state of a running check.
struct CheckRun {
    check: DnsCheck,
    asker: Asker,
    /// The servers of each zone.
    servers: BTreeMap<String, Vec<IpAddr>>,
    answers: Answers,
}

/// A zone, and the addresses of its servers.
pub type ZoneServers = (String, Vec<IpAddr>);

impl DnsCheck {
    /// Looks up the plan's records, and compares.
    pub fn run<'a>(&'a self, plan: &'a [PlannedRecord]) -> BoxFuture<'a, Result<DnsChecked, DnsCheckError>> {
        Box::pin(self.checked(plan))
    }

    async fn checked(&self, plan: &[PlannedRecord]) -> Result<DnsChecked, DnsCheckError> {
        let mut run = CheckRun::new(self).await?;
        let first = questions(plan);
        run.find_zones(&first).await;
        run.ask_all(first).await;
        for _ in 0..ROUNDS_MAX {
            let checked = compare(plan, &run.answers);
            if checked.needs.is_empty() {
                break;
            }
            run.ask_all(checked.needs).await;
        }
        let mut checked = compare(plan, &run.answers);
        while !checked.needs.is_empty() {
            for question in checked.needs {
                run.answers.add(question, Source::Configured, Answer::Failed("too many lookups before it".into()));
            }
            checked = compare(plan, &run.answers);
        }
        Ok(DnsChecked { zones: run.servers.into_iter().collect(), findings: checked.findings })
    }

    /// The zone of a name, and its servers.
    pub fn zone_of<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<ZoneServers>, DnsCheckError>> {
        Box::pin(async move {
            let run = CheckRun::new(self).await?;
            let Some(zone) = run.zone(name).await else { return Ok(None) };
            let servers = run.servers_of(&zone).await;
            Ok(Some((zone, servers)))
        })
    }
}

impl CheckRun {
    async fn new(check: &DnsCheck) -> Result<Self, DnsCheckError> {
        let mut check = check.clone();
        if check.configured.is_empty() {
            let (config, _) = blocking(read_system_conf).await.map_err(|e| DnsCheckError(e.to_string()))?;
            check.configured = config.name_servers().iter().map(|server| SocketAddr::new(server.ip, 53)).collect();
        }
        if check.configured.is_empty() {
            return Err(DnsCheckError("no server is configured".into()));
        }
        Ok(Self { check, asker: Asker::default(), servers: BTreeMap::new(), answers: Answers::default() })
    }

    /// Asks the resolvers in use: the first answer counts.
    async fn resolve(&self, name: &str, kind: Type) -> Result<ask::Message, String> {
        let mut failure = String::from("no server is configured");
        for server in &self.check.configured {
            match self.asker.ask(*server, name, kind, true).await {
                Ok(message) => return Ok(message),
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }

    async fn zone(&self, name: &str) -> Option<String> {
        let message = self.resolve(name, Type::SOA).await.ok()?;
        parse::zone_of(&message, name)
    }

    async fn servers_of(&self, zone: &str) -> Vec<IpAddr> {
        let Ok(message) = self.resolve(zone, Type::NS).await else { return Vec::new() };
        let mut addresses = BTreeSet::new();
        for host in parse::name_servers(&message) {
            for kind in [Type::A, Type::AAAA] {
                if let Ok(message) = self.resolve(&host, kind).await {
                    addresses.extend(parse::addresses(&message));
                }
            }
        }
        addresses.into_iter().collect()
    }

    async fn find_zones(&mut self, questions: &[Question]) {
        if self.check.quick {
            return;
        }
        let names: BTreeSet<&str> = questions.iter().map(|question| question.name.as_str()).collect();
        for name in names {
            // Below a known zone there is rarely another.
            if self.zone_known(name).is_some() {
                continue;
            }
            if let Some(zone) = self.zone(name).await
                && !self.servers.contains_key(&zone)
            {
                let servers = self.servers_of(&zone).await;
                self.servers.insert(zone, servers);
            }
        }
    }

    /// The known zone that contains the name.
    fn zone_known(&self, name: &str) -> Option<&str> {
        let is_in = |zone: &&str| name == *zone || name.strip_suffix(*zone).is_some_and(|rest| rest.ends_with('.'));
        self.servers.keys().map(String::as_str).filter(is_in).max_by_key(|zone| zone.len())
    }

    /// Asks all servers and resolvers.
    async fn ask_all(&mut self, questions: Vec<Question>) {
        let (room, mut asked) = (Arc::new(Semaphore::new(CONCURRENT_MAX)), JoinSet::new());
        let mut ask = |question: &Question, source: Source, servers: Vec<SocketAddr>| {
            let (asker, room, question) = (self.asker.clone(), room.clone(), question.clone());
            asked.spawn(async move {
                let _permit = room.acquire().await;
                let answer = answer(&asker, &servers, &question, !source.is_authoritative()).await;
                (question, source, answer)
            });
        };
        for question in questions.into_iter().filter(|question| !self.answers.has(question)) {
            ask(&question, Source::Configured, self.check.configured.clone());
            let Some(zone) = self.zone_known(&question.name) else { continue };
            for address in self.servers.get(zone).into_iter().flatten() {
                ask(&question, Source::Authoritative(*address), vec![SocketAddr::new(*address, self.check.port)]);
            }
            for server in self.check.others.iter().filter(|_| !self.check.quick) {
                ask(&question, Source::Resolver(server.ip()), vec![*server]);
            }
        }
        while let Some(joined) = asked.join_next().await {
            let Ok((question, source, answer)) = joined else { continue };
            let answer = self.followed(&question, source, answer).await;
            self.answers.add(question, source, answer);
        }
    }

    /// A zone's server does not know the target of a CNAME in another zone: the texts are read there, as resolvers do.
    async fn followed(&self, question: &Question, source: Source, answer: Answer) -> Answer {
        let Answer::Records(mut found) = answer else { return answer };
        let [one] = found.as_slice() else { return Answer::Records(found) };
        if let (Data::Alias(target), RecordType::Txt, true) = (&one.data, question.record_type, source.is_authoritative())
            && let Ok(message) = self.resolve(target, Type::TXT).await
        {
            found.extend(parse::answer(&message, RecordType::Txt).records().iter().cloned());
        }
        Answer::Records(found)
    }
}

/// The answer of the first server that gives one.
async fn answer(asker: &Asker, servers: &[SocketAddr], question: &Question, recursive: bool) -> Answer {
    let mut failure = Answer::Failed("no server is configured".into());
    for server in servers {
        failure = match asker.ask(*server, &question.name, parse::type_of(question.record_type), recursive).await {
            Ok(message) => match parse::answer(&message, question.record_type) {
                Answer::Failed(why) => Answer::Failed(format!("{}: {why}", server.ip())),
                answer => return answer,
            },
            Err(why) => Answer::Failed(format!("{}: {why}", server.ip())),
        };
    }
    failure
}
