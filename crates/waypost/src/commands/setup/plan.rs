//! What `setup` is asked to create, read from the command line.
//!
//! Invariant: read completely before anything is created.

use anyhow::{Result, anyhow, bail};
use control_api::api::AliasView;
use directory::{AliasSource, Target};
use mail::{Domain, Mailbox};
use std::net::IpAddr;
use std::path::PathBuf;

use crate::cli::{CertificateFrom, SetupArgs};

/// An alias to create.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Its address.
    pub source: AliasSource,
    /// Where its mail goes.
    pub targets: Vec<Target>,
}

/// Everything asked for.
#[derive(Debug)]
pub struct SetupPlan {
    pub domain: Domain,
    pub hostname: Option<Domain>,
    pub data: Option<PathBuf>,
    pub postmaster: Option<Mailbox>,
    /// The postmaster given on the command line.
    pub named_postmaster: Option<Mailbox>,
    pub forwards: Vec<Forward>,
    /// Whether certificates are ordered from a public authority.
    pub acme: bool,
    /// Whether from its staging service.
    pub staging: bool,
    /// Public addresses that no interface has.
    pub addresses: Vec<IpAddr>,
    /// The next hop of outgoing mail.
    pub smarthost: Option<Smarthost>,
}

/// A smarthost.
#[derive(Debug)]
pub struct Smarthost {
    pub host: Domain,
    pub port: u16,
    pub login: Option<(String, PathBuf)>,
    pub spf: Option<Domain>,
    /// Kinds of mail, as in the configuration; empty means all.
    pub flows: Vec<String>,
}

impl SetupPlan {
    /// Reads the command line.
    pub fn read(args: &SetupArgs) -> Result<Self> {
        let domain = read_domain(args.domain.as_deref().unwrap_or_default())?;
        let mut forwards: Vec<Forward> = Vec::new();
        for text in &args.forward {
            let (source, target) = read_forward(text, &domain)?;
            match forwards.iter_mut().find(|forward| forward.source == source) {
                Some(forward) => forward.targets.push(target),
                None => forwards.push(Forward { source, targets: vec![target] }),
            }
        }
        let given = args.postmaster.as_deref().map(read_address).transpose()?;
        let first = forwards.iter().flat_map(|forward| &forward.targets).find_map(|target| match target {
            Target::Address(mailbox) => Some(mailbox.clone()),
            Target::Domain(_) => None,
        });
        let hostname = args.hostname.as_deref().map(read_domain).transpose()?;
        Ok(Self {
            domain,
            hostname,
            data: args.data.clone(),
            postmaster: given.clone().or(first),
            named_postmaster: given,
            forwards,
            acme: args.certificate == CertificateFrom::Acme,
            staging: args.acme_staging,
            addresses: args.addresses.clone(),
            smarthost: smarthost(args)?,
        })
    }

    /// postmaster@ and abuse@, which every domain must have (RFC 5321 s.4.5.1, RFC 2142 s.4), unless they exist.
    pub fn roles(&self, aliases: &[AliasView]) -> Vec<Forward> {
        let Some(to) = &self.postmaster else { return Vec::new() };
        let mut roles = Vec::new();
        for role in ["postmaster", "abuse"] {
            let address = format!("{role}@{}", self.domain);
            let asked = self.forwards.iter().any(|forward| forward.source.key() == address);
            let there = aliases.iter().any(|alias| alias.source.eq_ignore_ascii_case(&address));
            if let Ok(source) = address.parse()
                && !asked
                && !there
            {
                roles.push(Forward { source, targets: vec![Target::Address(to.clone())] });
            }
        }
        roles
    }

    /// The accounts to create: one for each forwarded address, none for a catch-all.
    pub fn logins(&self) -> Vec<String> {
        let login = |forward: &Forward| match &forward.source {
            AliasSource::Address(mailbox) => Some(mailbox.to_string()),
            AliasSource::CatchAll(_) => None,
        };
        self.forwards.iter().filter_map(login).collect()
    }
}

fn smarthost(args: &SetupArgs) -> Result<Option<Smarthost>> {
    const HINT: &str = "write --smarthost smtp.example.net or smtp.example.net:465";
    let Some(text) = &args.smarthost else { return Ok(None) };
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "587"));
    let host: Domain = host.parse().map_err(|e| anyhow!("`{host}` is not a host: {e}\n  hint: {HINT}"))?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0).ok_or_else(|| anyhow!("`{port}` is not a port\n  hint: {HINT}"))?;
    let login = match (&args.smarthost_user, &args.smarthost_password_file) {
        (Some(user), Some(file)) => Some((user.clone(), std::path::absolute(file)?)),
        _ => None,
    };
    if let Some(unknown) = args.smarthost_for.iter().find(|kind| !["own", "forward", "report"].contains(&kind.as_str())) {
        bail!(
            "`{unknown}` is not a kind of mail\n  hint: use own (mail that you send), forward (mail that aliases forward) or report, separated by commas"
        );
    }
    let spf = args.smarthost_spf.as_deref().map(read_domain).transpose()?;
    Ok(Some(Smarthost { host, port, login, spf, flows: args.smarthost_for.clone() }))
}

pub fn read_domain(text: &str) -> Result<Domain> {
    let domain: Domain = text.parse().map_err(|e| anyhow!("`{text}` is not a domain: {e}"))?;
    if domain.address().is_some() || !domain.is_fully_qualified() {
        bail!("`{text}` is not a full domain name\n  hint: use a name such as example.com");
    }
    Ok(domain)
}

fn read_address(text: &str) -> Result<Mailbox> {
    text.parse().map_err(|e| anyhow!("`{text}` is not an address: {e}\n  hint: use an address such as foo@gmail.com"))
}

fn read_forward(text: &str, domain: &Domain) -> Result<(AliasSource, Target)> {
    const HINT: &str = "write --forward me@example.com=foo@gmail.com";
    let (from, to) = text.split_once('=').ok_or_else(|| anyhow!("`{text}` does not say where the mail goes\n  hint: {HINT}"))?;
    if from.is_empty() {
        bail!("`{text}` has no address before the =\n  hint: {HINT}");
    }
    let full = if from.contains('@') { from.to_owned() } else { format!("{from}@{domain}") };
    if let Some(name) = full.strip_prefix("*@") {
        bail!("`{from}` is the address of a user named `*`\n  hint: for every address of the domain, write @{name}");
    }
    let source: AliasSource = full.parse().map_err(|e| anyhow!("`{from}` in `{text}` is not an address: {e}\n  hint: {HINT}"))?;
    if source.domain() != domain {
        bail!("`{from}` is not an address of {domain}\n  hint: run setup for {} separately", source.domain());
    }
    let target: Target = to.parse().map_err(|e| anyhow!("`{to}` in `{text}` is not an address: {e}\n  hint: {HINT}"))?;
    if target.to_string().eq_ignore_ascii_case(&source.to_string()) {
        bail!("{source} would forward to itself\n  hint: name the mailbox where you read mail, such as foo@gmail.com");
    }
    Ok((source, target))
}
