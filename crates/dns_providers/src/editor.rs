//! Reads and changes the records of a zone, one value at a time.
//!
//! Invariant: a value that is still there after its removal is an error; other values at the name stay as they are.

use std::pin::Pin;
use std::time::Duration;

use dns_plan::{Question, RecordType};
use dns_update::DnsUpdater;
use tokio::time::timeout;

use crate::{Credentials, DnsProvider, ProviderError, provider, records};

/// Timeout of one step: what the library makes of it can be several requests.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// TTL of a record set that is written again after a removal, in seconds.
const TTL_S: u32 = 3600;

/// The result of a request under way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, ProviderError>> + Send + 'a>>;

/// A client of one provider, with its credentials. Names come without the dot at the end or with it.
pub struct ZoneEditor {
    updater: DnsUpdater,
    provider: DnsProvider,
}

impl ZoneEditor {
    /// A client; sends nothing yet.
    ///
    /// # Errors
    ///
    /// The credentials cannot be used with this provider.
    pub fn new(provider: DnsProvider, credentials: &Credentials) -> Result<Self, ProviderError> {
        Ok(Self { updater: provider::updater(provider, credentials)?, provider })
    }

    /// Whether the provider keeps records of this type.
    pub fn supports(&self, record_type: RecordType) -> bool {
        !(self.provider == DnsProvider::DigitalOcean && record_type == RecordType::Tlsa)
    }

    /// Returns the values of a record set, as the plan writes them; none if the provider does not support the type.
    pub fn list<'a>(&'a self, set: &'a Question, zone: &'a str) -> Pending<'a, Vec<String>> {
        Box::pin(self.values(set, zone))
    }

    /// Adds a value. Returns false if the provider does not support the type.
    pub fn add<'a>(&'a self, set: &'a Question, value: &'a str, ttl_s: u32, zone: &'a str) -> Pending<'a, bool> {
        Box::pin(self.add_value(set, value, ttl_s, zone))
    }

    /// Removes a value.
    pub fn remove<'a>(&'a self, set: &'a Question, value: &'a str, zone: &'a str) -> Pending<'a, ()> {
        Box::pin(self.remove_value(set, value, zone))
    }

    async fn values(&self, set: &Question, zone: &str) -> Result<Vec<String>, ProviderError> {
        let Some(kind) = records::type_of(set.record_type).filter(|_| self.supports(set.record_type)) else { return Ok(Vec::new()) };
        let listed = step(self.updater.list_rrset(bare(set), kind, zone)).await??;
        Ok(listed.iter().map(records::value_of).map(|value| self.with_zone_name(value, zone)).collect())
    }

    /// DigitalOcean writes @ for the zone itself, in values too.
    fn with_zone_name(&self, value: String, zone: &str) -> String {
        if self.provider != DnsProvider::DigitalOcean {
            return value;
        }
        let zone = format!("{}.", zone.trim_end_matches('.'));
        value.split(' ').map(|word| if word == "@." { zone.as_str() } else { word }).collect::<Vec<_>>().join(" ")
    }

    async fn add_value(&self, set: &Question, value: &str, ttl_s: u32, zone: &str) -> Result<bool, ProviderError> {
        let (Some(kind), Some(record)) = (records::type_of(set.record_type), records::record_of(set.record_type, value)) else {
            return Ok(false);
        };
        match step(self.updater.add_to_rrset(bare(set), kind, ttl_s, vec![record], zone)).await? {
            Err(dns_update::Error::Unsupported(_)) => Ok(false),
            done => Ok(done.map(|()| true)?),
        }
    }

    async fn remove_value(&self, set: &Question, value: &str, zone: &str) -> Result<(), ProviderError> {
        let record_type = set.record_type;
        let unwritable = || ProviderError::Unwritable { name: bare(set).to_owned(), record_type, value: value.to_owned() };
        let (Some(kind), Some(record)) = (records::type_of(record_type), records::record_of(record_type, value)) else {
            return Err(unwritable());
        };
        step(self.updater.remove_from_rrset(bare(set), kind, vec![record], zone)).await??;
        let left = self.list(set, zone).await?;
        if !left.iter().any(|other| other == value) {
            return Ok(());
        }
        // The library compares octets, and some providers write a name without its last dot: then the whole set is written again, without the value.
        let kept = left.iter().filter(|other| *other != value).map(|other| records::record_of(record_type, other));
        let kept = kept.collect::<Option<Vec<_>>>().ok_or_else(unwritable)?;
        // Only right after the set was read, so that no value of others is lost.
        step(self.updater.set_rrset(bare(set), kind, TTL_S, kept, zone)).await??;
        match self.list(set, zone).await?.iter().any(|other| other == value) {
            true => Err(ProviderError::StillThere { value: value.to_owned() }),
            false => Ok(()),
        }
    }
}

/// The owner name, without the dot at the end.
fn bare(set: &Question) -> &str {
    set.name.trim_end_matches('.')
}

async fn step<T>(request: impl Future<Output = dns_update::Result<T>>) -> Result<dns_update::Result<T>, ProviderError> {
    timeout(STEP_TIMEOUT, request).await.map_err(|_| ProviderError::Timeout { timeout_s: STEP_TIMEOUT.as_secs() })
}
