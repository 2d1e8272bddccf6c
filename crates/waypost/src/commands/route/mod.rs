//! `waypost route check`: whether the smarthosts of the configuration take the mail that is meant for them.
//!
//! RFC 6409. Invariant: it asks as the server would, with the same names, passwords and pins.

mod trial;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use control_api::api::DomainView;
use mail::Mailbox;
use mta::settings::Route;
use net::ClientTls;
use serde::Serialize;
use smtp::client::Protocol;

use crate::cli;
use crate::config::{self, Config};
use crate::output::{BAD, BOLD, GOOD, Output, print, styled};
use crate::transport::Transport;
pub use trial::Step;
use trial::Trier;

/// One smarthost, tried.
#[derive(Debug, Serialize)]
pub struct Tried {
    /// Host and port.
    pub smarthost: String,
    /// Whether all is as it should be.
    pub ok: bool,
    /// What was tried.
    pub steps: Vec<Step>,
}

/// Runs the command.
pub async fn run(path: &Path, command: cli::Route, out: Output) -> Result<ExitCode> {
    let cli::Route::Check { host, send } = command;
    let config = config::load(path)?;
    let is_named = |route: &&Route| host.as_ref().is_none_or(|host| route.host.as_str().eq_ignore_ascii_case(host));
    let routes: Vec<&Route> = smarthosts(&config).filter(is_named).collect();
    if routes.is_empty() {
        let which = host.map_or_else(|| "smarthost".to_owned(), |host| format!("smarthost {host}"));
        bail!("no {which} is configured\n  hint: [[route]] with host, user and password_file; see `waypost config reference`");
    }
    let mut api = Transport::open(&config).await?;
    let domains: Vec<DomainView> = api.get("/v1/domains").await?;
    let own = domains.iter().find(|domain| domain.enabled).map(|domain| domain.name.clone());
    let tried = check(&config, own.as_deref(), &routes, send).await?;
    let is_well = tried.iter().all(|tried| tried.ok);
    if out.json {
        out.show(&serde_json::json!({ "ok": is_well, "smarthosts": tried }), |_| String::new())?;
    } else {
        print(&tried.iter().map(shown).collect::<Vec<_>>().join("\n\n"))?;
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The routes that lead to a smarthost.
pub fn smarthosts(config: &Config) -> impl Iterator<Item = &Route> {
    let is_smarthost = |route: &&Route| route.protocol == Protocol::Smtp && route.socket.is_none() && route.maildir.is_none();
    config.settings.delivery.routes.iter().filter(is_smarthost)
}

/// Tries them.
pub async fn check(config: &Config, own: Option<&str>, routes: &[&Route], send: bool) -> Result<Vec<Tried>> {
    let settings = &config.settings;
    let to = settings.postmaster.clone();
    let to = to.ok_or_else(|| {
        anyhow!("there is no postmaster to name as the recipient\n  hint: postmaster = \"you@example.com\" at the top of the file")
    })?;
    let resolver = crate::serve::resolver(config)?;
    let tls = ClientTls::new(config.file.tls.extra_authorities.as_deref())?;
    let trier = Trier {
        resolver: &resolver,
        tls: &tls,
        hello: settings.hostname.as_str(),
        own: own.and_then(|domain| Mailbox::parse(&format!("postmaster@{domain}")).ok()),
        forward: Mailbox::parse(&format!("postmaster@{}", settings.forward.srs.domain))?,
        to,
        send,
    };
    let mut tried = Vec::with_capacity(routes.len());
    for route in routes {
        let steps = trier.smarthost(route).await;
        tried.push(Tried { smarthost: format!("{}:{}", route.host, route.port), ok: steps.iter().all(|step| step.ok), steps });
    }
    Ok(tried)
}

/// For people.
pub fn shown(tried: &Tried) -> String {
    let mut lines = vec![styled(BOLD, &tried.smarthost)];
    for step in &tried.steps {
        let (style, word) = if step.ok { (GOOD, "ok    ") } else { (BAD, "failed") };
        let found: String = step.found.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        lines.push(format!("  {}  {:<13} {found}", styled(style, word), step.what));
        lines.extend(step.fix.iter().map(|fix| format!("{}fix: {fix}", " ".repeat(24))));
    }
    lines.join("\n")
}
