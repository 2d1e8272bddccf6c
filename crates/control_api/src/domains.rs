//! `/api/v1/domains`: the hosted domains.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use directory::{Directory, SigningKey};
use mail::{Domain, Mailbox};
use mta::LiveDirectory;
use store::{AccountChange, DirectoryChange};

use crate::actor::Actor;
use crate::api::{Changed, DomainView, NewDomain, Page, PageQuery, RemoveDomain};
use crate::changes::DirectoryEditor;
use crate::context::CertificateDir;
use crate::error::ApiError;
use crate::extract::{Body, Params, parsed};
use crate::paging::page;
use crate::reports::ReportFacts;

pub(crate) async fn list(
    actor: Actor,
    State(live): State<Arc<LiveDirectory>>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<DomainView>>, ApiError> {
    let directory = live.current();
    let contents = directory.contents();
    let mut aliases: HashMap<&Domain, usize> = HashMap::new();
    for alias in &contents.aliases {
        *aliases.entry(alias.source.domain()).or_default() += 1;
    }
    let view = |name: &Domain, enabled| DomainView { name: name.to_string(), enabled, aliases: aliases.get(name).copied().unwrap_or(0) };
    let domains = contents.domains.iter().filter(|domain| actor.covers(&domain.name));
    let domains = domains.map(|domain| view(&domain.name, domain.enabled)).collect();
    Ok(Json(page(&query, domains, |domain| domain.name.clone())?))
}

pub(crate) async fn add(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    Body(new): Body<NewDomain>,
) -> Result<Json<Changed>, ApiError> {
    let domain: Domain = parsed("a domain", &new.name)?;
    if domain.address().is_some() || !domain.is_fully_qualified() {
        return Err(ApiError::bad(format!("`{domain}` is not a full domain name")).hint("use a name such as example.com"));
    }
    let edit = editor.begin(&actor).await;
    if edit.directory().hosted(&domain).is_some() {
        return Err(ApiError::conflict(format!("{domain} is already hosted here")));
    }
    let changed = format!("added domain {domain}");
    let unsigned = format!("mail from {domain} is not signed yet; create its DKIM keys: waypost key add {domain}");
    let has_keys = edit.directory().signing_keys(&domain).next().is_some();
    let mut done = edit.commit(changed, vec![DirectoryChange::AddDomain(domain)]).await?;
    if !has_keys {
        done.warnings.push(unsigned);
    }
    Ok(Json(done))
}

pub(crate) async fn remove(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    State(facts): State<ReportFacts>,
    State(certificates): State<CertificateDir>,
    Path(name): Path<String>,
    Params(how): Params<RemoveDomain>,
) -> Result<Json<Changed>, ApiError> {
    let domain: Domain = parsed("a domain", &name)?;
    let edit = editor.begin(&actor).await;
    let stored = edit.stored(String::new()).await?;
    if !stored.domains.iter().any(|hosted| hosted.name == domain) {
        return Err(not_stored(&edit.directory(), &domain));
    }
    let aliases: Vec<_> = stored.aliases.iter().filter(|alias| *alias.source.domain() == domain).collect();
    if !aliases.is_empty() && !how.with_aliases && !how.everything {
        return Err(ApiError::conflict(format!("{domain} has {} aliases", aliases.len())).hint(format!(
            "to remove them too: waypost domain remove {domain} --with-aliases; also accounts, keys and certificate: --everything"
        )));
    }
    let mut changes: Vec<_> = aliases.iter().map(|alias| DirectoryChange::RemoveAlias(alias.source.clone())).collect();
    changes.push(DirectoryChange::RemoveDomain(domain.clone()));
    let has_certificate = certificates.has_order(&domain).await;
    let left = LeftOver::of(&edit.directory(), &domain, &facts, has_certificate);
    if how.everything {
        changes.extend(left.changes());
    }
    let mut done = edit.commit(format!("removed domain {domain}"), changes).await?;
    if how.everything {
        done.changed.push_str(&left.removed());
        if left.certificate {
            certificates.forget(domain.clone()).await;
        }
    } else {
        done.warnings.extend(left.warnings());
    }
    done.warnings.push(format!("remove its DNS records that name this server, above all MX: this server now refuses mail to {domain}"));
    Ok(Json(done))
}

/// What belongs to a domain in addition to its aliases.
struct LeftOver {
    domain: Domain,
    accounts: Vec<Mailbox>,
    keys: Vec<SigningKey>,
    /// Whether it has a certificate order.
    certificate: bool,
}

impl LeftOver {
    fn of(directory: &Directory, domain: &Domain, facts: &ReportFacts, has_certificate: bool) -> Self {
        let contents = directory.contents();
        // The keys of the forwarding domain are needed for all domains.
        let is_forwarding = facts.forwarding == *domain;
        Self {
            domain: domain.clone(),
            accounts: contents.accounts.iter().map(|a| a.login.clone()).filter(|login| login.domain == *domain).collect(),
            keys: contents.keys.iter().filter(|key| key.domain == *domain && !is_forwarding).cloned().collect(),
            certificate: has_certificate,
        }
    }

    fn changes(&self) -> Vec<DirectoryChange> {
        let accounts = self.accounts.iter().map(|login| DirectoryChange::Account(AccountChange::Remove(login.clone())));
        accounts.chain(self.keys.iter().map(|key| DirectoryChange::RemoveKey(key.domain.clone(), key.selector.clone()))).collect()
    }

    fn removed(&self) -> String {
        let accounts = self.accounts.iter().map(|login| format!("account {login}"));
        let keys = self.keys.iter().map(|key| format!("DKIM key {}", key.selector));
        let certificate = self.certificate.then(|| "its certificate order".to_owned());
        let removed: Vec<String> = accounts.chain(keys).chain(certificate).collect();
        if removed.is_empty() { String::new() } else { format!(", with {}", removed.join(", ")) }
    }

    fn warnings(&self) -> Vec<String> {
        let domain = &self.domain;
        let mut warnings: Vec<String> = self
            .accounts
            .iter()
            .map(|login| format!("account {login} remains, and can still log in and send; to remove it: waypost account remove {login}"))
            .collect();
        if !self.keys.is_empty() {
            let selectors: Vec<&str> = self.keys.iter().map(|key| key.selector.as_str()).collect();
            warnings.push(format!("its DKIM keys {} remain; to remove them: waypost key remove {domain}", selectors.join(", ")));
        }
        if self.certificate {
            warnings.push(format!(
                "the certificate for its names remains but is not renewed; waypost domain remove {domain} --everything removes it too"
            ));
        }
        warnings
    }
}

fn not_stored(directory: &Directory, domain: &Domain) -> ApiError {
    match directory.hosted(domain) {
        Some(_) => {
            ApiError::conflict(format!("{domain} is defined in the virtual file")).hint("remove it there, which takes effect at once")
        }
        None => ApiError::missing(format!("{domain} is not hosted here")).hint("waypost domain list shows the hosted domains"),
    }
}
