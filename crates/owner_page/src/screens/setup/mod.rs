//! `/setup`: what remains to be done: records, ports, a test message each way, Gmail's form with its code.
//!
//! Invariant: a step is ticked only by what was seen in DNS, by a check of the server, or in the history; never because a button was pressed.

mod gmail;
mod ports;
mod records;
mod trial;

use axum::Router;
use axum::extract::Query;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use control_api::api::{AliasPage, DnsView, DomainView, HealthView};
use maud::{Markup, html};
use serde::Deserialize;

use crate::api::{Problem, with_query};
use crate::components::{chips, icon};
use crate::layout::Item;
use crate::listed;
use crate::screen::{Owner, PageState, Screen};

pub(crate) fn routes() -> Router<PageState> {
    Router::new()
        .route("/setup", get(show))
        .route("/setup/records", get(records::part))
        .route("/setup/zone", get(records::zone))
        .route("/setup/check", post(check))
        .route("/setup/gmail", get(gmail::part))
        .route("/setup/test", post(trial::send))
}

/// The parameters of the screen.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SetupQuery {
    domain: String,
    /// The address for the test message and Gmail's form.
    address: String,
    /// The states of the records that an open page shows.
    seen: String,
}

async fn show(Owner(screen): Owner, Query(query): Query<SetupQuery>) -> Result<Response, Problem> {
    let domains: Vec<DomainView> = listed::all(&screen.api, "/domains").await?;
    let Some(first) = domains.first() else { return Ok(Redirect::to("/welcome").into_response()) };
    let domain = if query.domain.is_empty() { first.name.clone() } else { query.domain.clone() };
    let dns: DnsView = screen.api.get(&with_query("/dns", &[("domain", Some(&domain))])).await?;
    let health: Option<HealthView> = screen.api.get("/health").await.ok();
    let address = address(&screen, &query, &domain).await?;
    let content = html! {
        (sentence(&screen, &dns))
        @if domains.len() > 1 { (domain_chips(&screen, &domains, &domain)) }
        (step(&screen, "records", &screen.text.say("setup-records"), records::show(&screen, &dns, &domain)))
        (step(&screen, "ports", &screen.text.say("setup-ports"), ports::show(&screen, health.as_ref())))
        (step(&screen, "test", &screen.text.say("setup-test"), trial::show(&screen, &domain, address.as_deref()).await))
        (step(&screen, "gmail", &screen.text.say("setup-gmail"), gmail::show(&screen, &domain, address.as_deref()).await))
    };
    Ok(screen.page(Item::Setup, &screen.text.say("nav-setup"), content))
}

/// Returns the address to try things with: the one asked for, otherwise the visitor's own, or the first of the domain.
async fn address(screen: &Screen, query: &SetupQuery, domain: &str) -> Result<Option<String>, Problem> {
    if !query.address.trim().is_empty() {
        return Ok(Some(query.address.trim().to_owned()));
    }
    let page: AliasPage = screen.api.get(&with_query("/aliases", &[("domain", Some(domain)), ("limit", Some("100"))])).await?;
    let mut sources: Vec<String> = page.items.into_iter().map(|alias| alias.source).filter(|source| !source.starts_with('@')).collect();
    sources.sort_by_key(|source| *source != screen.visitor.login);
    Ok(sources.into_iter().next())
}

/// Says how far it is.
fn sentence(screen: &Screen, dns: &DnsView) -> Markup {
    let text = screen.text;
    let needed: Vec<_> = dns.records.iter().filter(|record| records::is_needed(record)).collect();
    let right = needed.iter().filter(|record| records::is_right(record)).count();
    html! {
        p.lead-sentence {
            @if dns.checked_ms.is_none() { (text.with("setup-sentence-unknown", [("n", needed.len().into())])) }
            @else if right == needed.len() { (text.with("setup-sentence-done", [("n", needed.len().into())])) }
            @else { (text.with("setup-sentence-open", [("right", right.into()), ("n", needed.len().into())])) }
        }
    }
}

fn domain_chips(screen: &Screen, domains: &[DomainView], current: &str) -> Markup {
    let chip = |domain: &DomainView| (domain.name.clone(), with_query("/setup", &[("domain", Some(&domain.name))]), domain.name == current);
    chips(&screen.text.say("aliases-domains"), &domains.iter().map(chip).collect::<Vec<_>>())
}

/// Returns a step under its own heading, which a link can name.
fn step(_: &Screen, id: &str, title: &str, body: Markup) -> Markup {
    html! { section.card id=(id) { h2 { (title) } (body) } }
}

/// Returns a line with a tick or a cross in front.
fn tick(is_right: Option<bool>, words: Markup) -> Markup {
    let (class, name) = match is_right {
        Some(true) => ("good", "tick"),
        Some(false) => ("bad", "cross"),
        None => ("plain", "clock"),
    };
    html! { span.badge.(class) { (icon(name)) span { (words) } } }
}

/// The form that asks for another look.
#[derive(Debug, Deserialize)]
struct CheckForm {
    #[serde(default)]
    domain: String,
}

/// Asks DNS now, and checks the ports in the background.
async fn check(Owner(screen): Owner, axum::Form(form): axum::Form<CheckForm>) -> Result<Response, Problem> {
    let domain = Some(form.domain.as_str()).filter(|domain| !domain.is_empty());
    let query = serde_json::json!({ "domain": domain });
    let _: DnsView = screen.api.send(axum::http::Method::POST, "/dns/check", &query).await?;
    let _: Result<HealthView, Problem> = screen.api.send(axum::http::Method::POST, "/health/check", &()).await;
    Ok(Redirect::to(&with_query("/setup", &[("domain", domain)])).into_response())
}
