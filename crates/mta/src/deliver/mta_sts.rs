//! The MTA-STS policies of other domains: fetched, cached, and in force while their host is down.
//!
//! RFC 8461 s.3.1, RFC 8461 s.3.3, RFC 8461 s.5.1. Invariant: a cached policy stays in force until it expires, whatever DNS and the policy host
//! answer, and across restarts.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mail::Domain;
use net::{HttpsError, HttpsOptions, fetch_mta_sts_policy};
use parking_lot::{Mutex, MutexGuard};
use policy::{StsMode, StsReceived, parse_sts_id};
use reports::tls::ResultType;
use serde_json::{Value, json};

use crate::deliver::outbound::{Connector, Outbound};
use crate::support::limits::BoundedMap;
use crate::support::state_file::StateFile;

/// The cache file, in the data directory.
const FILE: &str = "mta-sts.json";

/// Maximum domains whose policies are kept.
const POLICIES_MAX: usize = 10_000;

/// Time after which a policy is refreshed, in seconds, well before it expires.
const REFRESH_S: i64 = 86_400;

/// Time after which a failed fetch is retried, in seconds.
const RETRY_S: i64 = 300;

/// Interval between searches for policies to refresh.
const REFRESH_CHECK_EVERY: Duration = Duration::from_secs(3600);

/// A policy in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StsInForce {
    pub id: String,
    pub policy: StsReceived,
    fetched_s: i64,
}

/// Why a policy could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StsError {
    pub result: ResultType,
    pub text: String,
}

impl StsError {
    fn of(error: &HttpsError) -> Self {
        let result = match error {
            HttpsError::Unreachable(_) => ResultType::StsPolicyFetchError,
            HttpsError::Tls(_) => ResultType::StsWebpkiInvalid,
            HttpsError::Answer(_) => ResultType::StsPolicyInvalid,
        };
        Self { result, text: error.to_string() }
    }

    fn unreadable(text: String) -> Self {
        Self { result: ResultType::StsPolicyInvalid, text }
    }
}

impl StsInForce {
    fn is_in_force(&self, now_s: i64) -> bool {
        // A clock that is set back a little expires no policy, and one that was far ahead makes none permanent.
        (-REFRESH_S..i64::from(self.policy.max_age_s)).contains(&now_s.saturating_sub(self.fetched_s))
    }
}

/// The policies.
#[derive(Debug, Default)]
pub(crate) struct StsPolicies {
    file: StateFile,
    state: Mutex<StsState>,
    /// Messages that a policy in testing mode would have stopped.
    testing_failures: AtomicU64,
}

#[derive(Debug)]
struct StsState {
    policies: BoundedMap<Domain, Arc<StsInForce>>,
    /// When the last fetch failed, in Unix seconds, and why.
    failed: BoundedMap<Domain, (i64, Arc<StsError>)>,
}

impl Default for StsState {
    fn default() -> Self {
        Self { policies: BoundedMap::new(POLICIES_MAX), failed: BoundedMap::new(POLICIES_MAX) }
    }
}

impl StsPolicies {
    /// Reads the cache file.
    pub fn open(data: &Path) -> Self {
        let (file, state) = StateFile::open(data.join(FILE));
        Self {
            file,
            state: Mutex::new(StsState { policies: BoundedMap::of(POLICIES_MAX, read(&state)), ..StsState::default() }),
            ..Self::default()
        }
    }

    /// The policies in force now, in memory only: what is fetched with them is kept nowhere else.
    pub fn copied(&self, now_s: i64) -> Self {
        let in_force: Vec<_> = {
            let state = self.state();
            state.policies.iter().filter(|(_, policy)| policy.is_in_force(now_s)).map(|(d, policy)| (d.clone(), policy.clone())).collect()
        };
        let policies = BoundedMap::of(POLICIES_MAX, in_force);
        Self { state: Mutex::new(StsState { policies, ..StsState::default() }), ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, StsState> {
        self.state.lock()
    }

    fn cached(&self, domain: &Domain, now_s: i64) -> Option<Arc<StsInForce>> {
        self.state().policies.get(domain).filter(|policy| policy.is_in_force(now_s)).cloned()
    }

    /// Counts a failure of a policy in testing mode.
    pub fn count_testing_failure(&self) {
        self.testing_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Number of such failures.
    pub fn testing_failures(&self) -> u64 {
        self.testing_failures.load(Ordering::Relaxed)
    }

    /// The policy of a domain at a delivery, `None` if it has none; and the error of a failed fetch, if one was tried.
    pub async fn policy_of(&self, connector: &Connector, domain: &Domain) -> (Option<Arc<StsInForce>>, Option<Arc<StsError>>) {
        let now_s = connector.shared.clock.now_s();
        let cached = self.cached(domain, now_s);
        let Ok(name) = Domain::parse(&format!("_mta-sts.{domain}")) else { return (None, None) };
        // Neither a missing record nor a DNS failure ends a cached policy.
        let id = connector.resolver.txt(&name).await.ok().and_then(|texts| parse_sts_id(&texts));
        let is_current = |cached: &StsInForce, id: &str| id == cached.id && now_s - cached.fetched_s < REFRESH_S;
        let (found, error) = match (cached, id) {
            (cached, None) => (cached, None),
            (Some(cached), Some(id)) if is_current(&cached, &id) => (Some(cached), None),
            (cached, Some(id)) => match self.fetch(connector, domain, id).await {
                Ok(fetched) => (Some(fetched), None),
                Err(error) => (cached, Some(error)),
            },
        };
        (found.filter(|found| found.policy.mode != StsMode::None), error)
    }

    async fn fetch(&self, connector: &Connector, domain: &Domain, id: String) -> Result<Arc<StsInForce>, Arc<StsError>> {
        let now_s = connector.shared.clock.now_s();
        let failed = self.state().failed.get(domain).filter(|(at_s, _)| (0..RETRY_S).contains(&(now_s - at_s))).cloned();
        if let Some((_, error)) = failed {
            return Err(error);
        }
        let settings = connector.shared.settings.load_full();
        let delivery = &settings.delivery;
        let options = HttpsOptions { port: delivery.policy_port, ipv6: delivery.ipv6, loopback: delivery.loopback };
        let fetched = fetch_mta_sts_policy(&connector.resolver, &connector.tls, domain, options).await;
        match fetched.map_err(|error| StsError::of(&error)).and_then(|text| StsReceived::parse(&text).map_err(StsError::unreadable)) {
            Ok(policy) => {
                tracing::info!(%domain, id, mode = ?policy.mode, mx = policy.mx.join(" "), max_age_s = policy.max_age_s, "MTA-STS policy fetched");
                let policy = Arc::new(StsInForce { id, policy, fetched_s: now_s });
                self.store(domain, policy.clone(), now_s).await;
                Ok(policy)
            }
            Err(error) => {
                tracing::warn!(%domain, error = error.text, "cannot fetch the MTA-STS policy; a cached one stays in force");
                let error = Arc::new(error);
                self.state().failed.insert_if_room(domain.clone(), (now_s, error.clone()), |(at_s, _)| now_s - *at_s < RETRY_S);
                Err(error)
            }
        }
    }

    async fn store(&self, domain: &Domain, policy: Arc<StsInForce>, now_s: i64) {
        {
            let mut state = self.state();
            state.failed.remove(domain);
            state.policies.insert_over_oldest(domain.clone(), policy, |cached| cached.fetched_s);
        }
        self.file.write(|| text(&self.state().policies, now_s)).await;
    }

    /// Policies to refresh, with their IDs.
    fn stale(&self, now_s: i64) -> Vec<(Domain, String)> {
        let is_stale = |cached: &StsInForce| cached.is_in_force(now_s) && now_s - cached.fetched_s >= REFRESH_S;
        self.state()
            .policies
            .iter()
            .filter(|(_, cached)| is_stale(cached))
            .map(|(domain, cached)| (domain.clone(), cached.id.clone()))
            .collect()
    }
}

/// Refreshes policies until shutdown.
pub(crate) async fn run(outbound: Arc<Outbound>) {
    loop {
        tokio::time::sleep(REFRESH_CHECK_EVERY).await;
        let connector = &outbound.connector;
        for (domain, _) in connector.sts.stale(connector.shared.clock.now_s()) {
            // `policy_of` stores the result.
            let _ = connector.sts.policy_of(connector, &domain).await;
        }
    }
}

fn text(policies: &BoundedMap<Domain, Arc<StsInForce>>, now_s: i64) -> String {
    let one = |(domain, cached): (&Domain, &Arc<StsInForce>)| json!({ "domain": domain.as_str(), "id": cached.id, "fetched_s": cached.fetched_s, "policy": cached.policy.text() });
    let mut all: Vec<Value> = policies.iter().filter(|(_, cached)| cached.is_in_force(now_s)).map(one).collect();
    all.sort_by_cached_key(|one| one.get("domain").map(ToString::to_string));
    json!({ "policies": all }).to_string()
}

fn read(state: &Value) -> HashMap<Domain, Arc<StsInForce>> {
    let one = |one: &Value| {
        let string = |name: &str| one.get(name).and_then(Value::as_str);
        let fetched_s = one.get("fetched_s")?.as_i64()?;
        let policy = StsReceived::parse(string("policy")?).ok()?;
        Some((Domain::parse(string("domain")?).ok()?, Arc::new(StsInForce { id: string("id")?.to_owned(), policy, fetched_s })))
    };
    state.get("policies").and_then(Value::as_array).into_iter().flatten().filter_map(one).take(POLICIES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(fetched_s: i64, max_age_s: u32) -> Arc<StsInForce> {
        let policy = StsReceived { mode: StsMode::Enforce, mx: vec!["mx.far.test".into()], max_age_s };
        Arc::new(StsInForce { id: "1".into(), policy, fetched_s })
    }

    #[tokio::test]
    async fn policies_survive_a_restart_and_expire() {
        let directory = tempfile::tempdir().unwrap();
        let domain: Domain = "far.test".parse().unwrap();
        StsPolicies::open(directory.path()).store(&domain, policy(1000, 600), 1000).await;
        let reopened = StsPolicies::open(directory.path());
        assert_eq!(reopened.cached(&domain, 1599), Some(policy(1000, 600)));
        assert_eq!(reopened.cached(&domain, 1600), None);
        assert_eq!(reopened.cached(&domain, 999), Some(policy(1000, 600)));
        assert_eq!(reopened.cached(&domain, 999 - REFRESH_S), None, "fetched in the far future");
        std::fs::write(directory.path().join(FILE), "{").unwrap();
        assert_eq!(StsPolicies::open(directory.path()).cached(&domain, 1001), None);
    }

    #[tokio::test]
    async fn policies_are_bounded_and_refreshed() {
        let policies = StsPolicies::default();
        for n in 0..POLICIES_MAX + 5 {
            let domain: Domain = format!("d{n}.test").parse().unwrap();
            policies.store(&domain, policy(i64::try_from(n).unwrap(), u32::MAX), 0).await;
        }
        policies.store(&"last.test".parse().unwrap(), policy(0, u32::MAX), 100_000).await;
        assert!(policies.state().policies.iter().count() <= POLICIES_MAX);
        assert!(policies.state().policies.get(&"d0.test".parse::<Domain>().unwrap()).is_none());
        assert!(policies.stale(REFRESH_S - 1).is_empty());
        assert!(policies.stale(REFRESH_S + 5000).len() > 1);
    }
}
