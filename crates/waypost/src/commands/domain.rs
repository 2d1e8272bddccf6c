//! `waypost domain`: the hosted domains.

use anyhow::{Result, bail};
use control_api::api::{AliasView, Changed, DomainView, KeysChanged, NewAlias, NewDomain, NewKeys};
use dns_plan::{PlannedRecord, plan};
use mail::Domain as Name;
use serde_json::json;

use super::dns::show;
use super::{changed, warn};
use crate::cli::DomainCommand;
use crate::config::Config;
use crate::dns_facts::read;
use crate::output::{BOLD, DIM, GOOD, Output, ask, styled, table};
use crate::transport::{Transport, segment};

pub(super) async fn run(config: &Config, api: &mut Transport, command: DomainCommand, out: Output) -> Result<()> {
    match command {
        DomainCommand::Add { domain, bare: true } => {
            let done: Changed = api.post("/api/v1/domains", &NewDomain { name: domain }).await?;
            changed(out, &done)
        }
        DomainCommand::Add { domain, bare: false } => add(config, api, domain, out).await,
        DomainCommand::Remove { domain, with_aliases, everything, yes } => {
            let question = format!("Remove {domain} with its aliases, accounts, DKIM keys and certificate? This cannot be undone.");
            if everything && !yes {
                match ask(&question)? {
                    Some(true) => {}
                    Some(false) => return Ok(()),
                    None => {
                        bail!("this needs a confirmation, but standard input is not a terminal\n  hint: run the command again with --yes")
                    }
                }
            }
            let path = format!("/api/v1/domains/{}?with_aliases={}&everything={everything}", segment(&domain), with_aliases || everything);
            let done: Changed = api.delete(&path).await?;
            changed(out, &done)
        }
        DomainCommand::List => {
            let domains: Vec<DomainView> = api.list("/api/v1/domains", &[]).await?;
            Ok(out.show(&domains, |domains| shown(domains))?)
        }
    }
}

/// Adds the domain with its keys, postmaster@ and abuse@, then prints the records to publish.
async fn add(config: &Config, api: &mut Transport, domain: String, out: Output) -> Result<()> {
    let done: Changed = api.post("/api/v1/domains", &NewDomain { name: domain.clone() }).await?;
    let mut made = vec![done.changed];
    let keys: KeysChanged = api.post("/api/v1/keys", &NewKeys { domain: domain.clone() }).await?;
    made.push(keys.changed);
    let mut warnings = roles(config, api, &domain, &mut made).await?;
    warnings.push(format!("mail to other addresses is refused until they have an alias: waypost alias add me@{domain} YOU@ELSEWHERE"));
    let name: Option<Name> = domain.parse().ok();
    let facts = read(config, api).await?;
    let records: Vec<PlannedRecord> = plan(&facts).into_iter().filter(|record| record.domain.is_some() && record.domain == name).collect();
    let lines: Vec<String> = records.iter().map(PlannedRecord::zone_line).collect();
    out.show(&json!({ "changed": made.join("; "), "warnings": warnings, "records": lines }), |_| {
        let made: Vec<String> = made.iter().map(|what| format!("{} {what}", styled(GOOD, "ok:"))).collect();
        format!(
            "{}\n\n{}\n\n{}\n\nTo publish them, if [dns] names a provider:  waypost dns apply {domain}\nTo verify them:  waypost dns check {domain}",
            made.join("\n"),
            styled(BOLD, "Publish these DNS records"),
            show::in_rows(&records)
        )
    })?;
    if !out.json {
        warn(&warnings);
    }
    Ok(())
}

/// Adds postmaster@ and abuse@ (RFC 5321 s.4.5.1, RFC 2142 s.4), as `setup` does. Returns the failures.
async fn roles(config: &Config, api: &mut Transport, domain: &str, made: &mut Vec<String>) -> Result<Vec<String>> {
    let Some(postmaster) = &config.settings.postmaster else {
        return Ok(vec![format!(
            "every domain needs a postmaster, but the configuration has none: set postmaster = \"you@example.com\" in {}, then: waypost alias add \
             postmaster@{domain} YOU@ELSEWHERE",
            config.path.display()
        )]);
    };
    let aliases: Vec<AliasView> = api.list("/api/v1/aliases", &[("domain", Some(domain.to_owned()))]).await?;
    let mut warnings = Vec::new();
    for role in ["postmaster", "abuse"] {
        let source = format!("{role}@{domain}");
        if aliases.iter().any(|alias| alias.source.eq_ignore_ascii_case(&source)) || postmaster.to_string().eq_ignore_ascii_case(&source) {
            continue;
        }
        let new = NewAlias { source: source.clone(), targets: vec![postmaster.to_string()], replace: false };
        match api.post::<Changed>("/api/v1/aliases", &new).await {
            Ok(done) => made.push(format!("alias {}", done.changed)),
            Err(error) => warnings.push(format!("{source} could not be added: {}", format!("{error:#}").replace("\n  hint:", ";"))),
        }
    }
    Ok(warnings)
}

fn shown(domains: &[DomainView]) -> String {
    if domains.is_empty() {
        return styled(DIM, "no domains yet; add one: waypost domain add example.com");
    }
    let row = |d: &DomainView| vec![d.name.clone(), d.aliases.to_string(), if d.enabled { String::new() } else { "disabled".into() }];
    table(&["domain", "aliases", ""], &domains.iter().map(row).collect::<Vec<_>>())
}
