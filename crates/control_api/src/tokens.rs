//! `/api/v1/tokens`: the tokens with which programs use the API over HTTPS.
//!
//! RFC 6750. Invariant: only the SHA-256 of a token is kept; a removed token is refused from then on.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use data_encoding::HEXLOWER;
use mail::{Domain, Mailbox};
use mta::LiveDirectory;
use net::Clock;
use parking_lot::RwLock;
use store::{ApiToken, Store, StoreError, TokenChange, TokenHash};
use tokio::sync::OnceCell;

use crate::accounts::checked_name;
use crate::actor::{Actor, Scopes};
use crate::api::{Changed, MadeToken, NewToken, Page, PageQuery, TokenView};
use crate::error::ApiError;
use crate::extract::{Body, Params, parsed};
use crate::paging::page;
use crate::recorder::Recorder;

/// The start of every token, by which scanners for leaked secrets find it.
const PREFIX: &str = "wpt_";

/// Random octets of a token.
const RANDOM_BYTES: usize = 20;

/// Maximum number of tokens.
const TOKENS_MAX: usize = 1000;

/// Maximum days until a token ends, if it ends.
const DAYS_MAX: u32 = 3650;

const DAY_MS: i64 = 86_400_000;

/// How often the last use of a token is stored.
const TOUCH_MS: i64 = 60_000;

/// The tokens in effect, read from the store at the first use. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Tokens(Arc<OnceCell<RwLock<HashMap<TokenHash, ApiToken>>>>);

impl Tokens {
    async fn all(&self, store: &Store) -> Result<&RwLock<HashMap<TokenHash, ApiToken>>, StoreError> {
        let read = async || Ok(RwLock::new(store.api_tokens().await?.into_iter().map(|token| (token.hash, token)).collect()));
        self.0.get_or_try_init(read).await
    }

    /// Returns the token that a client sent, unless it is unknown or has ended.
    pub async fn find(&self, store: &Store, sent: &str, now_ms: i64) -> Result<Option<ApiToken>, StoreError> {
        if !sent.starts_with(PREFIX) {
            return Ok(None);
        }
        let found = self.all(store).await?.read().get(&net::sha256(&[sent.as_bytes()])).cloned();
        Ok(found.filter(|token| token.until_ms.is_none_or(|until_ms| now_ms < until_ms)))
    }

    /// Records a use, at most once a minute.
    pub async fn touch(&self, store: &Store, token: &ApiToken, now_ms: i64) -> Result<(), StoreError> {
        if token.used_ms.is_some_and(|used_ms| now_ms - used_ms < TOUCH_MS) {
            return Ok(());
        }
        if let Some(kept) = self.all(store).await?.write().get_mut(&token.hash) {
            kept.used_ms = Some(now_ms);
        }
        store.change_tokens(TokenChange::Touch(token.name.clone(), now_ms)).await
    }
}

/// Returns the actor that a token stands for.
pub(crate) fn actor_of(token: &ApiToken) -> Actor {
    let scopes = token.scopes.iter().filter_map(|name| Scopes::of_name(name)).fold(Scopes::NONE, Scopes::and);
    let domains: Vec<Domain> = token.domains.iter().filter_map(|name| Domain::parse(name).ok()).collect();
    let login = token.login.as_ref().and_then(|login| Mailbox::parse(login).ok());
    Actor::token(&token.name, scopes, (!token.domains.is_empty()).then_some(domains), login)
}

/// What a new token needs.
pub(crate) struct TokenMaker {
    pub store: Store,
    pub tokens: Tokens,
    pub live: Arc<LiveDirectory>,
    pub clock: Clock,
}

fn view(token: ApiToken) -> TokenView {
    TokenView {
        name: token.name,
        scopes: token.scopes,
        domains: token.domains,
        login: token.login,
        made_ms: token.made_ms,
        until_ms: token.until_ms,
        used_ms: token.used_ms,
    }
}

pub(crate) async fn list(
    State(store): State<Store>,
    State(tokens): State<Tokens>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<TokenView>>, ApiError> {
    let all = tokens.all(&store).await?.read().values().cloned().map(view).collect();
    Ok(Json(page(&query, all, |token| token.name.clone())?))
}

pub(crate) async fn add(
    actor: Actor,
    State(TokenMaker { store, tokens, live, clock }): State<TokenMaker>,
    State(recorder): State<Recorder>,
    Body(new): Body<NewToken>,
) -> Result<Json<MadeToken>, ApiError> {
    let name = checked_name(&new.name)?;
    let (scopes, domains, login) = (scopes(&new)?, hosted(&live, &new.domains)?, account(&live, &new)?);
    let now_ms = clock.now_ms();
    let until_ms = new.days.map(|days| until(days, now_ms)).transpose()?;
    let all = tokens.all(&store).await?;
    if all.read().len() >= TOKENS_MAX {
        return Err(ApiError::conflict(format!("there are {TOKENS_MAX} tokens, the maximum")).hint("waypost token remove NAME"));
    }
    let text = format!("{PREFIX}{}", HEXLOWER.encode(&net::random_bytes::<RANDOM_BYTES>()));
    let hash = net::sha256(&[text.as_bytes()]);
    let token = ApiToken { name, hash, scopes, domains, login, made_ms: now_ms, until_ms, used_ms: None };
    store.change_tokens(TokenChange::Add(Box::new(token.clone()))).await?;
    recorder.server(&actor, "token", &format!("added token {} with scope {}", token.name, token.scopes.join(" and ")));
    let made = MadeToken { token: text, name: token.name.clone(), until_ms };
    all.write().insert(hash, token);
    Ok(Json(made))
}

fn scopes(new: &NewToken) -> Result<Vec<String>, ApiError> {
    let known = || Scopes::NAMED.map(|(name, _)| name).join(", ");
    if new.scopes.is_empty() {
        return Err(ApiError::bad("a token needs a scope").hint(format!("use one or more of {}", known())));
    }
    let mut scopes = new.scopes.clone();
    scopes.sort();
    scopes.dedup();
    match scopes.iter().find(|name| Scopes::of_name(name).is_none()) {
        Some(unknown) => Err(ApiError::bad(format!("`{unknown}` is not a scope")).hint(format!("use one or more of {}", known()))),
        None => Ok(scopes),
    }
}

fn hosted(live: &LiveDirectory, names: &[String]) -> Result<Vec<String>, ApiError> {
    let directory = live.current();
    let check = |name: &String| {
        let domain: Domain = parsed("a domain", name)?;
        match directory.hosted(&domain) {
            Some(_) => Ok(domain.to_string()),
            None => Err(ApiError::conflict(format!("{domain} is not hosted here")).hint("waypost domain list shows the hosted domains")),
        }
    };
    names.iter().map(check).collect()
}

fn account(live: &LiveDirectory, new: &NewToken) -> Result<Option<String>, ApiError> {
    let Some(text) = &new.login else {
        return match new.scopes.iter().any(|name| name == "own") {
            true => Err(ApiError::bad("the scope own needs an account").hint("name the account that it is for: --account me@example.com")),
            false => Ok(None),
        };
    };
    let login: Mailbox = parsed("an address", text)?;
    match live.current().account(&login.to_string()) {
        Some(account) => Ok(Some(account.login.to_string())),
        None => Err(ApiError::conflict(format!("no such account: {login}")).hint("waypost account list shows all accounts")),
    }
}

fn until(days: u32, now_ms: i64) -> Result<i64, ApiError> {
    match (1..=DAYS_MAX).contains(&days) {
        true => Ok(now_ms + i64::from(days) * DAY_MS),
        false => Err(ApiError::bad(format!("the number of days must be 1 to {DAYS_MAX}"))),
    }
}

pub(crate) async fn remove(
    actor: Actor,
    State(store): State<Store>,
    State(tokens): State<Tokens>,
    State(recorder): State<Recorder>,
    Path(name): Path<String>,
) -> Result<Json<Changed>, ApiError> {
    let all = tokens.all(&store).await?;
    if let Err(error) = store.change_tokens(TokenChange::Remove(name.clone())).await {
        return Err(ApiError::from(error).hint("waypost token list shows all tokens"));
    }
    all.write().retain(|_, token| token.name != name);
    let changed = format!("removed token {name}");
    recorder.server(&actor, "token", &changed);
    Ok(Json(Changed { changed, warnings: Vec::new() }))
}
