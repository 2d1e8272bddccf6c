//! `waypost dns`: shows the planned DNS records, compares DNS with them, and publishes them.
//!
//! Invariant: the plan is made in the crate `dns_plan` only; `setup`, `show`, `check` and `apply` see the same plan.

mod apply;
pub mod causes;
mod changes;
pub mod check;
mod provider;
pub mod show;
mod written;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use dns_plan::{DnsFacts, PlannedRecord, plan};

use crate::cli::DnsCommand;
use crate::config;
use crate::dns_facts;
use crate::output::Output;
use crate::transport::Transport;

/// Runs the command.
pub async fn run(path: &Path, command: DnsCommand, out: Output) -> Result<ExitCode> {
    let config = config::load(path)?;
    let mut api = Transport::open(&config).await?;
    let facts = dns_facts::read(&config, &mut api).await?;
    match command {
        DnsCommand::Show { domain, format } => show::run(&select_records(&facts, domain.as_deref())?, &facts, &format, out)?,
        DnsCommand::Check { domain, quick } => {
            let records = select_records(&facts, domain.as_deref())?;
            let checked = dns_facts::checker(&config, quick).run(&records).await?;
            if !check::show(&checked, &facts, out)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        DnsCommand::Apply(args) => return apply::run(&config, &facts, &args, out).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// The whole plan, or the records of one domain and those of the server.
fn select_records(facts: &DnsFacts, domain: Option<&str>) -> Result<Vec<PlannedRecord>> {
    let mut records = plan(facts);
    if let Some(domain) = domain {
        let Some(wanted) = domain.parse().ok().filter(|domain| facts.domains.contains(domain)) else {
            bail!(
                "{domain} is not hosted here\n  hint: waypost domain list shows the hosted domains; to add it: waypost domain add {domain}"
            );
        };
        records.retain(|record| record.domain.as_ref().is_none_or(|domain| *domain == wanted));
    }
    Ok(records)
}
