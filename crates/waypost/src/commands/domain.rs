//! `waypost domain`: the domains that mail is taken for.

use admin::api::{Changed, DomainView, NewDomain};
use anyhow::Result;

use super::changed;
use crate::cli::Domain;
use crate::output::{DIM, Output, styled, table};
use crate::transport::{Transport, segment};

pub(super) async fn run(api: &mut Transport, command: Domain, out: Output) -> Result<()> {
    match command {
        Domain::Add { domain } => {
            let done: Changed = api.post("/v1/domains", &NewDomain { name: domain }).await?;
            changed(out, &done)
        }
        Domain::Remove { domain, with_aliases } => {
            let done: Changed = api.delete(&format!("/v1/domains/{}?with_aliases={with_aliases}", segment(&domain))).await?;
            changed(out, &done)
        }
        Domain::List => {
            let domains: Vec<DomainView> = api.get("/v1/domains").await?;
            Ok(out.show(&domains, |domains| shown(domains))?)
        }
    }
}

fn shown(domains: &[DomainView]) -> String {
    if domains.is_empty() {
        return styled(DIM, "no domains yet; add one: waypost domain add example.com");
    }
    let row = |d: &DomainView| vec![d.name.clone(), d.aliases.to_string(), if d.enabled { String::new() } else { "disabled".into() }];
    table(&["domain", "aliases", ""], &domains.iter().map(row).collect::<Vec<_>>())
}
