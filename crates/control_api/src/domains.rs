//! `/v1/domains`: the domains that this server takes mail for.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use directory::{Directory, SigningKey};
use mail::{Domain, Mailbox};
use mta::LiveDirectory;
use store::{AccountChange, DirectoryChange};

use crate::api::{Changed, DomainView, NewDomain, RemoveDomain};
use crate::changes::DirectoryEditor;
use crate::context::CertificateDir;
use crate::error::ApiError;
use crate::extract::{Body, Params, parsed};
use crate::reports::ReportFacts;

pub(crate) async fn list(State(live): State<Arc<LiveDirectory>>) -> Json<Vec<DomainView>> {
    let directory = live.current();
    let contents = directory.contents();
    let mut aliases: HashMap<&Domain, usize> = HashMap::new();
    for alias in &contents.aliases {
        *aliases.entry(alias.source.domain()).or_default() += 1;
    }
    let view = |name: &Domain, enabled| DomainView { name: name.to_string(), enabled, aliases: aliases.get(name).copied().unwrap_or(0) };
    Json(contents.domains.iter().map(|domain| view(&domain.name, domain.enabled)).collect())
}

pub(crate) async fn add(State(editor): State<DirectoryEditor>, Body(new): Body<NewDomain>) -> Result<Json<Changed>, ApiError> {
    let domain: Domain = parsed("a domain", &new.name)?;
    if domain.address().is_some() || !domain.is_fully_qualified() {
        return Err(ApiError::bad(format!("`{domain}` is not a full domain name")).hint("a name such as example.com is needed"));
    }
    let edit = editor.begin().await;
    if edit.directory().hosted(&domain).is_some() {
        return Err(ApiError::conflict(format!("{domain} is hosted here already")));
    }
    let changed = format!("{domain} is hosted here");
    let unsigned = format!("mail from {domain} is not signed yet; make its DKIM keys: waypost key add {domain}");
    let has_keys = edit.directory().signing_keys(&domain).next().is_some();
    let mut done = edit.commit(changed, vec![DirectoryChange::AddDomain(domain)]).await?;
    if !has_keys {
        done.warnings.push(unsigned);
    }
    Ok(Json(done))
}

pub(crate) async fn remove(
    State(editor): State<DirectoryEditor>,
    State(facts): State<ReportFacts>,
    State(certificates): State<CertificateDir>,
    Path(name): Path<String>,
    Params(how): Params<RemoveDomain>,
) -> Result<Json<Changed>, ApiError> {
    let domain: Domain = parsed("a domain", &name)?;
    let edit = editor.begin().await;
    let stored = edit.stored(String::new()).await?;
    if !stored.domains.iter().any(|hosted| hosted.name == domain) {
        return Err(not_stored(&edit.directory(), &domain));
    }
    let aliases: Vec<_> = stored.aliases.iter().filter(|alias| *alias.source.domain() == domain).collect();
    if !aliases.is_empty() && !how.with_aliases && !how.everything {
        return Err(ApiError::conflict(format!("{domain} has {} aliases", aliases.len())).hint(format!(
            "to remove them too: waypost domain remove {domain} --with-aliases; with accounts, keys and certificate: --everything"
        )));
    }
    let mut changes: Vec<_> = aliases.iter().map(|alias| DirectoryChange::RemoveAlias(alias.source.clone())).collect();
    changes.push(DirectoryChange::RemoveDomain(domain.clone()));
    let has_certificate = certificates.has_order(&domain).await;
    let left = LeftOver::of(&edit.directory(), &domain, &facts, has_certificate);
    if how.everything {
        changes.extend(left.changes());
    }
    let mut done = edit.commit(format!("{domain} is no longer hosted here"), changes).await?;
    if how.everything {
        done.changed.push_str(&left.gone());
        if left.certificate {
            certificates.forget(domain.clone()).await;
        }
    } else {
        done.warnings.extend(left.warnings());
    }
    done.warnings.push(format!("take its DNS records away that name this server, MX above all: mail to {domain} is refused here now"));
    Ok(Json(done))
}

/// What belongs to a domain beside its aliases.
struct LeftOver {
    domain: Domain,
    accounts: Vec<Mailbox>,
    keys: Vec<SigningKey>,
    /// Whether a certificate is kept for it.
    certificate: bool,
}

impl LeftOver {
    fn of(directory: &Directory, domain: &Domain, facts: &ReportFacts, has_certificate: bool) -> Self {
        let contents = directory.contents();
        // What forwards leave under is needed for all domains.
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

    fn gone(&self) -> String {
        let accounts = self.accounts.iter().map(|login| format!("account {login}"));
        let keys = self.keys.iter().map(|key| format!("DKIM key {}", key.selector));
        let certificate = self.certificate.then(|| "the order of its certificate".to_owned());
        let gone: Vec<String> = accounts.chain(keys).chain(certificate).collect();
        if gone.is_empty() { String::new() } else { format!("; removed with it: {}", gone.join(", ")) }
    }

    fn warnings(&self) -> Vec<String> {
        let domain = &self.domain;
        let mut warnings: Vec<String> = self
            .accounts
            .iter()
            .map(|login| format!("the account {login} is left, and can log in and send: waypost account remove {login}"))
            .collect();
        if !self.keys.is_empty() {
            let selectors: Vec<&str> = self.keys.iter().map(|key| key.selector.as_str()).collect();
            warnings.push(format!("its DKIM keys {} are left: waypost key remove {domain}", selectors.join(", ")));
        }
        if self.certificate {
            warnings.push(format!(
                "the certificate for its names is left, and is not renewed; waypost domain remove {domain} --everything takes all away"
            ));
        }
        warnings
    }
}

fn not_stored(directory: &Directory, domain: &Domain) -> ApiError {
    match directory.hosted(domain) {
        Some(_) => ApiError::conflict(format!("{domain} stands in the virtual file")).hint("remove it there; the file is read at once"),
        None => ApiError::missing(format!("{domain} is not hosted here")).hint("waypost domain list shows what is"),
    }
}
