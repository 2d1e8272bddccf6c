//! `/v1/domains`: the domains that this server takes mail for.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use mail::Domain;
use store::DirectoryChange;

use crate::api::{Changed, DomainView, NewDomain, RemoveDomain};
use crate::error::ApiError;
use crate::extract::{Body, Params, parsed};
use crate::server::Shared;

pub(crate) async fn list(State(shared): State<Shared>) -> Json<Vec<DomainView>> {
    let directory = shared.handles.live.current();
    let contents = directory.contents();
    let mut aliases: HashMap<&Domain, usize> = HashMap::new();
    for alias in &contents.aliases {
        *aliases.entry(alias.source.domain()).or_default() += 1;
    }
    let view = |name: &Domain, enabled| DomainView { name: name.to_string(), enabled, aliases: aliases.get(name).copied().unwrap_or(0) };
    Json(contents.domains.iter().map(|domain| view(&domain.name, domain.enabled)).collect())
}

pub(crate) async fn add(State(shared): State<Shared>, Body(new): Body<NewDomain>) -> Result<Json<Changed>, ApiError> {
    let domain: Domain = parsed("a domain", &new.name)?;
    if domain.address().is_some() || !domain.is_fully_qualified() {
        return Err(ApiError::bad(format!("`{domain}` is not a full domain name")).hint("a name such as example.com is needed"));
    }
    let _changing = shared.changing.lock().await;
    if shared.handles.live.current().hosted(&domain).is_some() {
        return Err(ApiError::conflict(format!("{domain} is hosted here already")));
    }
    let changed = format!("{domain} is hosted here");
    let unsigned = format!("mail from {domain} is not signed yet; make its DKIM keys: waypost key add {domain}");
    let has_keys = shared.handles.live.current().signing_keys(&domain).next().is_some();
    let mut done = shared.commit(changed, vec![DirectoryChange::AddDomain(domain)]).await?;
    if !has_keys {
        done.warnings.push(unsigned);
    }
    Ok(Json(done))
}

pub(crate) async fn remove(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Params(how): Params<RemoveDomain>,
) -> Result<Json<Changed>, ApiError> {
    let domain: Domain = parsed("a domain", &name)?;
    let _changing = shared.changing.lock().await;
    let stored = shared.handles.store.directory(String::new()).await?;
    if !stored.domains.iter().any(|hosted| hosted.name == domain) {
        return Err(not_stored(&shared, &domain));
    }
    let aliases: Vec<_> = stored.aliases.iter().filter(|alias| *alias.source.domain() == domain).collect();
    if !aliases.is_empty() && !how.with_aliases {
        return Err(ApiError::conflict(format!("{domain} has {} aliases", aliases.len()))
            .hint(format!("to remove them too: waypost domain remove {domain} --with-aliases")));
    }
    let mut changes: Vec<_> = aliases.iter().map(|alias| DirectoryChange::RemoveAlias(alias.source.clone())).collect();
    changes.push(DirectoryChange::RemoveDomain(domain.clone()));
    Ok(Json(shared.commit(format!("{domain} is no longer hosted here"), changes).await?))
}

fn not_stored(shared: &Shared, domain: &Domain) -> ApiError {
    match shared.handles.live.current().hosted(domain) {
        Some(_) => ApiError::conflict(format!("{domain} stands in the virtual file")).hint("remove it there; the file is read at once"),
        None => ApiError::missing(format!("{domain} is not hosted here")).hint("waypost domain list shows what is"),
    }
}
