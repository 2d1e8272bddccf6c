//! Who keeps the zone, asked and told one value at a time.
//!
//! Invariant: what was to be removed and is still there is an error; nothing else at the name is touched.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use dns_update::DnsUpdater;
use policy::dns_plan::{PlannedRecord, Question, RecordType};
use tokio::time::error::Elapsed;

use super::{provider, records};
use crate::config::{Config, ProviderWord};

/// One step takes at most this long.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// How long what is written anew may be kept by others, in seconds.
const TTL_S: u32 = 3600;

/// The way to it.
pub(super) struct ZoneKeeper {
    updater: DnsUpdater,
    provider: ProviderWord,
}

impl ZoneKeeper {
    /// As the configuration and the environment say.
    pub fn new(config: &Config, provider: ProviderWord) -> Result<Self> {
        Ok(Self { updater: provider::updater(config, provider)?, provider })
    }

    /// Whether it keeps records of this type at all.
    pub fn keeps(&self, record_type: RecordType) -> bool {
        !(self.provider == ProviderWord::DigitalOcean && record_type == RecordType::Tlsa)
    }

    /// What it has at a name.
    pub async fn list(&self, place: &Question, zone: &str) -> Result<Vec<String>> {
        let Some(kind) = records::type_of(place.record_type).filter(|_| self.keeps(place.record_type)) else { return Ok(Vec::new()) };
        let name = place.name.trim_end_matches('.');
        let listed = step(self.updater.list_rrset(name, kind, zone)).await;
        let listed = listed.with_context(|| format!("the provider does not say what stands at {name} {}", place.record_type))?;
        Ok(listed.iter().map(records::value_of).map(|value| self.in_full(value, zone)).collect())
    }

    /// DigitalOcean writes @ for the zone itself, in values too.
    fn in_full(&self, value: String, zone: &str) -> String {
        if self.provider != ProviderWord::DigitalOcean {
            return value;
        }
        let full = format!("{}.", zone.trim_end_matches('.'));
        value.split(' ').map(|word| if word == "@." { full.as_str() } else { word }).collect::<Vec<_>>().join(" ")
    }

    /// Takes a value away.
    pub async fn remove(&self, name: &str, (record_type, value): (RecordType, &str), zone: &str) -> Result<()> {
        let (Some(kind), Some(record)) = (records::type_of(record_type), records::record_of(record_type, value)) else {
            bail!("{name} {record_type} holds something that this command cannot write\n  hint: remove it by hand: {value}");
        };
        step(self.updater.remove_from_rrset(name, kind, vec![record], zone)).await?;
        let place = Question::new(name, record_type);
        let left = self.list(&place, zone).await?;
        if !left.iter().any(|other| other == value) {
            return Ok(());
        }
        // The library compares by letter, and some providers write a name without its last dot: then the whole set is written anew, without the value.
        let kept = left.iter().filter(|other| *other != value).map(|other| records::record_of(record_type, other));
        let Some(kept) = kept.collect::<Option<Vec<_>>>() else {
            bail!("{name} {record_type} holds something beside it that this command cannot write\n  hint: remove it by hand: {value}");
        };
        // Only as it has just been read, so that nothing of others is lost.
        step(self.updater.set_rrset(name, kind, TTL_S, kept, zone)).await?;
        match self.list(&place, zone).await?.iter().any(|other| other == value) {
            true => bail!("the provider says that it is done, and it is still there\n  hint: remove it by hand: {value}"),
            false => Ok(()),
        }
    }

    /// Adds a value; false where it keeps nothing of the kind.
    pub async fn add(&self, name: &str, planned: &PlannedRecord, zone: &str) -> Result<bool> {
        let (Some(kind), Some(record)) = (records::type_of(planned.record_type), records::record_of(planned.record_type, &planned.value))
        else {
            return Ok(false);
        };
        match tokio::time::timeout(STEP_TIMEOUT, self.updater.add_to_rrset(name, kind, planned.ttl_s, vec![record], zone)).await {
            Ok(Err(dns_update::Error::Unsupported(_))) => Ok(false),
            done => answered(done).map(|()| true),
        }
    }
}

async fn step<T>(asked: impl Future<Output = dns_update::Result<T>>) -> Result<T> {
    answered(tokio::time::timeout(STEP_TIMEOUT, asked).await)
}

fn answered<T>(answer: Result<dns_update::Result<T>, Elapsed>) -> Result<T> {
    match answer {
        Ok(done) => done.map_err(failure),
        Err(_) => Err(anyhow!("no answer within {} s", STEP_TIMEOUT.as_secs())),
    }
}

fn failure(error: dns_update::Error) -> anyhow::Error {
    match error {
        dns_update::Error::Unauthorized => {
            anyhow!("it refuses the token or key\n  hint: see whether it may change this zone, and was copied whole")
        }
        dns_update::Error::NotFound => anyhow!("it does not know the zone\n  hint: is the zone kept in this account?"),
        // A stranger's words.
        other => anyhow!("{}", other.to_string().chars().flat_map(char::escape_default).take(400).collect::<String>()),
    }
}
