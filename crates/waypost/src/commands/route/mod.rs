//! `waypost route check`: tests whether the configured smarthosts accept the mail that is routed to them.
//!
//! RFC 6409. Invariant: connects as the server does, with the same names, passwords and pins.

mod smarthost;

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
use smarthost::SmarthostTester;
pub use smarthost::TestStep;

/// The test of a smarthost.
#[derive(Debug, Serialize)]
pub struct SmarthostTest {
    /// Host and port.
    pub smarthost: String,
    /// Whether all steps passed.
    pub ok: bool,
    /// The steps.
    pub steps: Vec<TestStep>,
}

/// Runs the command.
pub async fn run(path: &Path, command: cli::RouteCommand, out: Output) -> Result<ExitCode> {
    let cli::RouteCommand::Check { host, send } = command;
    let config = config::load(path)?;
    let is_named = |route: &&Route| host.as_ref().is_none_or(|host| route.host.as_str().eq_ignore_ascii_case(host));
    let routes: Vec<&Route> = smarthosts(&config).filter(is_named).collect();
    if routes.is_empty() {
        let which = host.map_or_else(|| "smarthost".to_owned(), |host| format!("smarthost {host}"));
        bail!("no {which} is configured\n  hint: add a [[route]] with host, user and password_file; see `waypost config reference`");
    }
    let mut api = Transport::open(&config).await?;
    let domains: Vec<DomainView> = api.list("/api/v1/domains", &[]).await?;
    let own = domains.iter().find(|domain| domain.enabled).map(|domain| domain.name.clone());
    let tests = check(&config, own.as_deref(), &routes, send).await?;
    let is_well = tests.iter().all(|test| test.ok);
    if out.json {
        out.show(&serde_json::json!({ "ok": is_well, "smarthosts": tests }), |_| String::new())?;
    } else {
        print(&tests.iter().map(shown).collect::<Vec<_>>().join("\n\n"))?;
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The routes through a smarthost.
pub fn smarthosts(config: &Config) -> impl Iterator<Item = &Route> {
    let is_smarthost = |route: &&Route| route.protocol == Protocol::Smtp && route.socket.is_none() && route.maildir.is_none();
    config.settings.delivery.routes.iter().filter(is_smarthost)
}

/// Tests the smarthosts.
pub async fn check(config: &Config, own: Option<&str>, routes: &[&Route], send: bool) -> Result<Vec<SmarthostTest>> {
    let settings = &config.settings;
    let to = settings.postmaster.clone();
    let to = to.ok_or_else(|| {
        anyhow!("the test needs a postmaster as its recipient\n  hint: postmaster = \"you@example.com\" at the top of the file")
    })?;
    let resolver = crate::serve::resolver(config)?;
    let tls = ClientTls::new(config.file.tls.extra_authorities.as_deref())?;
    let tester = SmarthostTester {
        resolver: &resolver,
        tls: &tls,
        hello: settings.hostname.as_str(),
        own: own.and_then(|domain| Mailbox::parse(&format!("postmaster@{domain}")).ok()),
        forward: Mailbox::postmaster(&settings.forward.srs.domain),
        to,
        send,
    };
    let mut tests = Vec::with_capacity(routes.len());
    for route in routes {
        let steps = tester.test(route).await;
        tests.push(SmarthostTest { smarthost: format!("{}:{}", route.host, route.port), ok: steps.iter().all(|step| step.ok), steps });
    }
    Ok(tests)
}

/// The test as text.
pub fn shown(test: &SmarthostTest) -> String {
    let mut lines = vec![styled(BOLD, &test.smarthost)];
    for step in &test.steps {
        let (style, word) = if step.ok { (GOOD, "ok    ") } else { (BAD, "failed") };
        let found = mail::one_line(&step.found);
        lines.push(format!("  {}  {:<13} {found}", styled(style, word), step.what));
        lines.extend(step.fix.iter().map(|fix| format!("{}fix: {fix}", " ".repeat(24))));
    }
    lines.join("\n")
}
