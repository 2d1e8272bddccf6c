//! `/welcome`: the first run: a domain, its first address, a password to send with; then the records to publish.
//!
//! Invariant: the step shown is the first that the server lacks, so that it can be left and taken up again at any time.

use axum::Form;
use axum::Router;
use axum::extract::Query;
use axum::http::Method;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use control_api::api::{AccountView, AliasPage, Changed, DomainView, KeysChanged, Login, NewAccount, NewAlias, NewDomain, NewKeys};
use maud::{Markup, html};
use serde::Deserialize;

use super::people::shown_once;
use crate::api::{Problem, with_query};
use crate::components::{Field, Mark, address, field, hidden, icon, notice};
use crate::layout::Item;
use crate::listed;
use crate::outcome::problem_notice;
use crate::screen::{Owner, PageState, Screen};
use crate::screens::aliases::{addresses, doubts};

pub(crate) fn routes() -> Router<PageState> {
    Router::new()
        .route("/welcome", get(show))
        .route("/welcome/domain", post(add_domain))
        .route("/welcome/alias", post(add_alias))
        .route("/welcome/account", post(add_account))
}

/// How far the server is.
enum Step {
    Domain,
    Alias(String),
    Account { domain: String, alias: String },
    Records(String),
}

impl Step {
    /// Returns the first step that is not done.
    async fn of(screen: &Screen) -> Result<Self, Problem> {
        let domains: Vec<DomainView> = listed::all(&screen.api, "/domains").await?;
        let Some(domain) = domains.into_iter().next().map(|domain| domain.name) else { return Ok(Self::Domain) };
        let aliases: AliasPage = screen.api.get(&with_query("/aliases", &[("domain", Some(&domain)), ("limit", Some("1"))])).await?;
        let Some(alias) = aliases.items.into_iter().next().map(|alias| alias.source) else { return Ok(Self::Alias(domain)) };
        let accounts: Vec<AccountView> = listed::all(&screen.api, "/accounts").await?;
        let has_account = accounts.iter().any(|account| account.login.ends_with(&format!("@{domain}")) && !account.clients.is_empty());
        Ok(if has_account || alias.starts_with('@') { Self::Records(domain) } else { Self::Account { domain, alias } })
    }

    fn number(&self) -> usize {
        match self {
            Self::Domain => 0,
            Self::Alias(_) => 1,
            Self::Account { .. } => 2,
            Self::Records(_) => 3,
        }
    }
}

/// What was typed, and what is wrong with it.
#[derive(Default)]
struct Typed<'a> {
    first: &'a str,
    second: &'a str,
    doubts: Vec<String>,
    problem: Option<Problem>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WelcomeQuery {
    /// `account` goes on without a password.
    skip: String,
}

async fn show(Owner(screen): Owner, Query(query): Query<WelcomeQuery>) -> Result<Response, Problem> {
    let step = match Step::of(&screen).await? {
        Step::Account { domain, .. } if query.skip == "account" => Step::Records(domain),
        step => step,
    };
    Ok(render(&screen, &step, &Typed::default()))
}

fn render(screen: &Screen, step: &Step, typed: &Typed<'_>) -> Response {
    let text = screen.text;
    let content = html! {
        p.lead-sentence { (text.say("welcome-sentence")) }
        (progress(screen, step))
        @if let Some(problem) = &typed.problem { (problem_notice(problem)) }
        @match step {
            Step::Domain => (domain_form(screen, typed)),
            Step::Alias(domain) => (alias_form(screen, domain, typed)),
            Step::Account { alias, .. } => (account_form(screen, alias)),
            Step::Records(domain) => (records(screen, domain)),
        }
    };
    screen.page(Item::Setup, &text.say("welcome-title"), content)
}

fn progress(screen: &Screen, step: &Step) -> Markup {
    let names = ["welcome-step-domain", "welcome-step-alias", "welcome-step-account", "welcome-step-records"];
    html! {
        ol.steps {
            @for (n, name) in names.into_iter().enumerate() {
                li aria-current=[(n == step.number()).then_some("step")] {
                    @if n < step.number() { span.badge.good { (icon("tick")) span { (screen.text.say(name)) } } }
                    @else { (screen.text.say(name)) }
                }
            }
        }
    }
}

fn domain_form(screen: &Screen, typed: &Typed<'_>) -> Markup {
    let text = screen.text;
    let (label, hint) = (text.say("welcome-domain"), text.say("welcome-domain-hint"));
    html! {
        form.card method="post" action="/welcome/domain" {
            (screen.token())
            (field(&Field { value: typed.first, hint: Some(&hint), required: true, ..Field::text("domain", &label) }))
            button.primary type="submit" { (text.say("welcome-next")) }
        }
    }
}

fn alias_form(screen: &Screen, domain: &str, typed: &Typed<'_>) -> Markup {
    let text = screen.text;
    let (target, hint) = (text.say("aliases-target"), text.say("welcome-target-hint"));
    let first = if typed.first.is_empty() { "me" } else { typed.first };
    html! {
        form.card method="post" action="/welcome/alias" {
            (screen.token())
            (hidden("domain", domain))
            @if !typed.doubts.is_empty() {
                (notice(Mark::Wait, html! { @for doubt in &typed.doubts { p { (doubt) } } p.hint { (text.say("aliases-doubt")) } }))
                (hidden("sure", "yes"))
            }
            div.field {
                label for="local" { (text.say("welcome-alias")) }
                div.joined {
                    input id="local" name="local" type="text" value=(first) required autocapitalize="none" spellcheck="false" autocomplete="off";
                    span.mono.quiet { "@" (domain) }
                }
            }
            (field(&Field { value: typed.second, kind: "email", hint: Some(&hint), required: true, ..Field::text("target", &target) }))
            button.primary type="submit" {
                @if typed.doubts.is_empty() { (text.say("welcome-next")) } @else { (text.say("aliases-add-anyway")) }
            }
        }
    }
}

fn account_form(screen: &Screen, alias: &str) -> Markup {
    let text = screen.text;
    html! {
        form.card method="post" action="/welcome/account" {
            (screen.token())
            (hidden("login", alias))
            p { (text.rich("welcome-account-words", [("address", address(alias))], [])) }
            div.actions {
                button.primary type="submit" { (text.say("welcome-account-make")) }
                a.button href="/welcome?skip=account" { (text.say("welcome-account-skip")) }
            }
        }
    }
}

fn records(screen: &Screen, domain: &str) -> Markup {
    let text = screen.text;
    html! {
        section.card {
            p { (text.rich("welcome-records-words", [("domain", address(domain))], [])) }
            a.button.primary href=(with_query("/setup", &[("domain", Some(domain))])) { (text.say("welcome-records")) }
        }
    }
}

#[derive(Debug, Deserialize)]
struct DomainForm {
    domain: String,
}

/// Hosts the domain and makes its keys, so that their records are in the plan.
async fn add_domain(Owner(screen): Owner, Form(form): Form<DomainForm>) -> Result<Response, Problem> {
    let name = form.domain.trim().trim_end_matches('.').to_ascii_lowercase();
    let added: Result<Changed, Problem> = screen.api.send(Method::POST, "/domains", &NewDomain { name: name.clone() }).await;
    match added {
        Err(problem) if problem.is_of_request() => {
            let typed = Typed { first: &form.domain, problem: Some(problem), ..Typed::default() };
            Ok(render(&screen, &Step::Domain, &typed))
        }
        Err(problem) => Err(problem),
        Ok(_) => {
            let _: KeysChanged = screen.api.send(Method::POST, "/keys", &NewKeys { domain: name }).await?;
            Ok(Redirect::to("/welcome").into_response())
        }
    }
}

#[derive(Debug, Deserialize)]
struct FirstAliasForm {
    domain: String,
    local: String,
    target: String,
    #[serde(default)]
    sure: String,
}

async fn add_alias(Owner(screen): Owner, Form(form): Form<FirstAliasForm>) -> Result<Response, Problem> {
    let targets = addresses(&form.target);
    let typed = Typed { first: &form.local, second: &form.target, ..Typed::default() };
    let step = Step::Alias(form.domain.clone());
    if form.sure.is_empty() {
        let doubts = doubts(&screen, &targets).await;
        if !doubts.is_empty() {
            return Ok(render(&screen, &step, &Typed { doubts, ..typed }));
        }
    }
    let new = NewAlias { source: format!("{}@{}", form.local.trim(), form.domain), targets, replace: false };
    let added: Result<Changed, Problem> = screen.api.send(Method::POST, "/aliases", &new).await;
    match added {
        Err(problem) if problem.is_of_request() => Ok(render(&screen, &step, &Typed { problem: Some(problem), ..typed })),
        Err(problem) => Err(problem),
        Ok(_) => Ok(Redirect::to("/welcome").into_response()),
    }
}

#[derive(Debug, Deserialize)]
struct AccountForm {
    login: String,
}

/// Adds the account and shows its password once.
async fn add_account(Owner(screen): Owner, Form(form): Form<AccountForm>) -> Result<Response, Problem> {
    // The first visit was by a one-time link; later visits need an account that logs in here.
    let accounts: Vec<AccountView> = listed::all(&screen.api, "/accounts").await?;
    let owner = accounts.iter().all(|account| !account.owner);
    let new = NewAccount { login: form.login, password: None, name: None, may_send_as: Vec::new(), owner };
    let made: Login = screen.api.send(Method::POST, "/accounts", &new).await?;
    let text = screen.text;
    let content = html! {
        (shown_once(&screen, &made))
        @if owner { p { (text.say("welcome-owner")) } }
        a.button.primary href="/welcome" { (text.say("welcome-next")) }
    };
    Ok(screen.page(Item::Setup, &text.say("welcome-title"), content))
}
