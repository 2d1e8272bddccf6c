//! `/api/v1/keys`: the DKIM keys and their rotation: the next key is published, checked in DNS, activated; the old one is retired.
//!
//! RFC 6376 s.3.6.1 and s.8.1. Invariant: a new key signs only once its record is in DNS, or with `force`; a private key never leaves the server.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use directory::{Directory, KeyState, SigningKey};
use mail::Domain;
use mail::evidence::DkimResult;
use msgauth::{Algorithm, KeyPair, Signer, record};
use mta::LiveDirectory;
use net::{Clock, Resolver};
use store::DirectoryChange;

use crate::actor::Actor;
use crate::api::{Changed, KeyTest, KeyView, KeysChanged, NewKeys, Page, PageQuery, RemoveKeys, RotateKeys};
use crate::changes::DirectoryEditor;
use crate::error::ApiError;
use crate::extract::{Body, Params, parsed};
use crate::paging::page;
use crate::reports::ReportFacts;

/// How long the record of a retired key must stay in DNS: mail that it signed may be in transit, or be verified again.
const RETIRED_MS: i64 = 7 * 86_400_000;

pub(crate) fn view(key: &SigningKey) -> KeyView {
    let algorithm = Algorithm::of_key_type(&key.key_type);
    KeyView {
        domain: key.domain.to_string(),
        selector: key.selector.clone(),
        key_type: key.key_type.clone(),
        state: key.state.as_str().to_owned(),
        since_ms: key.since_ms,
        record_name: key.record_name(),
        record: algorithm.map(|algorithm| record(algorithm, &key.public)).unwrap_or_default(),
    }
}

pub(crate) async fn list(
    State(live): State<Arc<LiveDirectory>>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<KeyView>>, ApiError> {
    let keys = live.current().contents().keys.iter().map(view).collect();
    Ok(Json(page(&query, keys, |key| format!("{} {}", key.domain, key.selector))?))
}

/// Makes the first keys of a domain, which sign at once. Does nothing if the domain has keys.
pub(crate) async fn add(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    State(clock): State<Clock>,
    Body(new): Body<NewKeys>,
) -> Result<Json<KeysChanged>, ApiError> {
    let domain: Domain = parsed("a domain", &new.domain)?;
    let edit = editor.begin(&actor).await;
    let of_domain = keys_of(&edit.directory(), &domain);
    if !of_domain.is_empty() {
        let keys = of_domain.iter().map(view).collect();
        return Ok(Json(KeysChanged { changed: format!("{domain} already has DKIM keys"), is_new: false, keys }));
    }
    let made = generate(&domain, 1, KeyState::Active, clock.now_ms()).await?;
    let keys = made.iter().map(view).collect();
    let changed = format!("created DKIM keys for {domain}");
    edit.commit(changed.clone(), made.into_iter().map(DirectoryChange::AddKey).collect()).await?;
    Ok(Json(KeysChanged { changed, is_new: true, keys }))
}

/// Signs a test message with each active key and verifies it with the record in DNS.
pub(crate) async fn test(
    State(live): State<Arc<LiveDirectory>>,
    State(resolver): State<Option<Resolver>>,
) -> Result<Json<Page<KeyTest>>, ApiError> {
    let Some(resolver) = &resolver else {
        return Err(ApiError::conflict("the keys cannot be looked up, since there is no resolver").hint("check [dns] in the configuration"));
    };
    let directory = live.current();
    let mut tests = Vec::new();
    for key in directory.contents().keys.iter().filter(|key| key.state == KeyState::Active) {
        let signed = sign_trial(key).map_err(|e| ApiError::internal(format!("{}: {e}", key.record_name())))?;
        let checks = resolver.authenticator().verify_dkim(&signed).await;
        let check = checks.into_iter().next();
        tests.push(KeyTest {
            domain: key.domain.to_string(),
            selector: key.selector.clone(),
            key_type: key.key_type.clone(),
            verifies: check.as_ref().is_some_and(|check| check.result == DkimResult::Pass),
            reason: check.and_then(|check| check.reason),
            record: view(key).record,
        });
    }
    Ok(Json(Page { items: tests, next_cursor: None }))
}

fn sign_trial(key: &SigningKey) -> Result<Vec<u8>, msgauth::KeyError> {
    const TRIAL: &[u8] = b"Subject: test of the key\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\nThis message is never sent.\r\n";
    let message = [format!("From: <postmaster@{}>\r\n", key.domain).as_bytes(), TRIAL].concat();
    let algorithm = Algorithm::of_key_type(&key.key_type).unwrap_or(Algorithm::Rsa);
    let field = Signer::new(algorithm, &key.private, key.domain.as_str(), &key.selector)?.sign(&[&message])?;
    Ok([field.as_bytes(), &message].concat())
}

fn keys_of(directory: &Directory, domain: &Domain) -> Vec<SigningKey> {
    directory.contents().keys.iter().filter(|key| key.domain == *domain).cloned().collect()
}

async fn generate(domain: &Domain, number: u32, state: KeyState, now_ms: i64) -> Result<Vec<SigningKey>, ApiError> {
    let mut keys = Vec::new();
    for (algorithm, letter) in [(Algorithm::Rsa, 'r'), (Algorithm::Ed25519, 'e')] {
        let Ok(pair) = net::blocking(move || KeyPair::generate(algorithm)).await else {
            return Err(ApiError::internal("cannot generate a DKIM key"));
        };
        keys.push(SigningKey {
            domain: domain.clone(),
            selector: format!("{letter}{number}"),
            key_type: algorithm.key_type().to_owned(),
            private: pair.private,
            public: pair.public,
            state,
            since_ms: now_ms,
        });
    }
    Ok(keys)
}

/// Takes the next step in the rotation of a domain's keys.
pub(crate) async fn rotate(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    State(clock): State<Clock>,
    State(resolver): State<Option<Resolver>>,
    Path(name): Path<String>,
    Body(how): Body<RotateKeys>,
) -> Result<Json<KeysChanged>, ApiError> {
    let domain: Domain = parsed("a domain", &name)?;
    let edit = editor.begin(&actor).await;
    let keys = keys_of(&edit.directory(), &domain);
    if keys.is_empty() {
        return Err(ApiError::missing(format!("{domain} has no DKIM key")).hint(format!("create the first ones: waypost key add {domain}")));
    }
    let now_ms = clock.now_ms();
    let mut changes: Vec<DirectoryChange> = keys
        .iter()
        .filter(|key| key.state == KeyState::Retired && now_ms - key.since_ms >= RETIRED_MS)
        .map(|key| DirectoryChange::RemoveKey(key.domain.clone(), key.selector.clone()))
        .collect();
    let next: Vec<&SigningKey> = keys.iter().filter(|key| key.state == KeyState::Next).collect();
    if next.is_empty() {
        let number = keys.iter().map(SigningKey::number).max().unwrap_or(0) + 1;
        let made = generate(&domain, number, KeyState::Next, now_ms).await?;
        let views = made.iter().map(view).collect();
        let changed = format!("created the next keys of {domain}: publish their records, then run `waypost key rotate {domain}` again");
        changes.extend(made.into_iter().map(DirectoryChange::AddKey));
        edit.commit(changed.clone(), changes).await?;
        return Ok(Json(KeysChanged { changed, is_new: true, keys: views }));
    }
    if !how.force {
        for key in &next {
            check_published(resolver.as_ref(), key).await?;
        }
    }
    let set = |key: &SigningKey, state| DirectoryChange::SetKeyState {
        domain: key.domain.clone(),
        selector: key.selector.clone(),
        state,
        now_ms,
    };
    changes.extend(keys.iter().filter(|key| key.state == KeyState::Active).map(|key| set(key, KeyState::Retired)));
    changes.extend(next.iter().map(|key| set(key, KeyState::Active)));
    let changed = format!("the new keys of {domain} sign now; keep the records of the old ones for 7 days, then empty their p=");
    edit.commit(changed.clone(), changes).await?;
    Ok(Json(KeysChanged { changed, is_new: true, keys: keys_of(&edit.directory(), &domain).iter().map(view).collect() }))
}

/// Removes keys; active ones only with `force`.
pub(crate) async fn remove(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    State(facts): State<ReportFacts>,
    Path(name): Path<String>,
    Params(how): Params<RemoveKeys>,
) -> Result<Json<Changed>, ApiError> {
    let domain: Domain = parsed("a domain", &name)?;
    let edit = editor.begin(&actor).await;
    let is_it = |key: &SigningKey| how.selector.as_ref().is_none_or(|selector| key.selector == *selector);
    let keys: Vec<SigningKey> = keys_of(&edit.directory(), &domain).into_iter().filter(is_it).collect();
    if keys.is_empty() {
        return Err(ApiError::missing(format!("{domain} has no such DKIM key")).hint("waypost key list shows all keys"));
    }
    let is_in_use = edit.directory().hosted(&domain).is_some() || facts.forwarding == domain;
    if is_in_use && !how.force && keys.iter().any(|key| key.state == KeyState::Active) {
        return Err(ApiError::conflict(format!("these keys sign mail of {domain}")).hint(format!(
            "to replace them: waypost key rotate {domain}; to send its mail unsigned: waypost key remove {domain} --force"
        )));
    }
    let names: Vec<String> = keys.iter().map(SigningKey::record_name).collect();
    let changes = keys.iter().map(|key| DirectoryChange::RemoveKey(key.domain.clone(), key.selector.clone())).collect();
    let mut done = edit.commit(format!("removed the DKIM keys {}", names.join(", ")), changes).await?;
    done.warnings.push("keep their TXT records with an empty p= for 7 days, or remove them once no signed mail is in transit".into());
    Ok(Json(done))
}

/// Checks that the record of a key is in DNS.
async fn check_published(resolver: Option<&Resolver>, key: &SigningKey) -> Result<(), ApiError> {
    let expected = view(key).record;
    let name = key.record_name();
    let hint = |what: &str| format!("{what}; to activate the key anyway: waypost key rotate {} --force", key.domain);
    let Some(resolver) = resolver else {
        return Err(ApiError::conflict("DNS cannot be queried here").hint(hint("start the server and try again")));
    };
    let Ok(domain) = Domain::parse(&name) else { return Ok(()) };
    let found = resolver.txt(&domain).await;
    let compact = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    match found {
        Ok(found) if found.iter().any(|text| compact(text) == compact(&expected)) => Ok(()),
        Ok(found) if found.is_empty() => {
            Err(ApiError::conflict(format!("{name} has no TXT record yet")).hint(hint(&format!("publish \"{expected}\" and wait"))))
        }
        Ok(found) => Err(ApiError::conflict(format!("{name} is {:?} instead of \"{expected}\"", found.join(" / ")))
            .hint(hint("correct the record and wait for its TTL"))),
        Err(failure) => Err(ApiError::conflict(format!("cannot look up {name}: {failure}")).hint(hint("try again"))),
    }
}
