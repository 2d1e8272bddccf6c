//! `/aliases`: where mail goes, found by any part of an address, target or note; the first of two screens.
//!
//! Invariant: the list is asked for page by page, so that ten thousand aliases cost as much as fifty.

mod add;
mod change;
mod one;
mod throwaway;
mod usage;

use axum::Router;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::{get, post};
use control_api::api::{AliasPage, AliasView, DomainView};
use maud::{Markup, html};
use serde::Deserialize;

use crate::api::{Problem, segment, with_query};
use crate::components::{Column, Mark, action, address, badge, chips, copyable, cut, empty, notice, pager, search_box, table};
use crate::layout::Item;
use crate::listed;
use crate::moment::relative;
use crate::screen::{PageState, Screen};
use add::AddForm;
pub(super) use add::{addresses, doubts};
use usage::Usage;
pub(super) use usage::use_of;

/// Aliases on one page of the list.
const PAGE: &str = "50";

/// Targets shown of an alias in the list.
const TARGETS_SHOWN: usize = 2;

pub(crate) fn routes() -> Router<PageState> {
    Router::new()
        .route("/aliases", get(list).post(add::add))
        .route("/aliases/throwaway", post(throwaway::make))
        .route("/aliases/restore", post(change::restore))
        .route("/aliases/{source}", get(one::show))
        .route("/aliases/{source}/enabled", post(change::enable))
        .route("/aliases/{source}/options", post(change::options))
        .route("/aliases/{source}/targets", post(change::targets))
        .route("/aliases/{source}/remove", post(change::remove))
}

/// The parameters of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListQuery {
    q: String,
    domain: String,
    cursor: String,
    /// A throw-away address that has just been made.
    new: String,
}

/// What the list and the form above it are made from.
struct Listing {
    query: ListQuery,
    domains: Vec<DomainView>,
    page: AliasPage,
    usage: Usage,
}

async fn list(screen: Screen, Query(query): Query<ListQuery>) -> Result<Response, Problem> {
    let form = AddForm::default();
    render(&screen, query, &form).await
}

/// Shows the list with this form above it.
async fn render(screen: &Screen, query: ListQuery, form: &AddForm) -> Result<Response, Problem> {
    // Others may not add aliases, and need no list of domains.
    let domains: Vec<DomainView> = if screen.visitor.is_owner { listed::all(&screen.api, "/domains").await? } else { Vec::new() };
    let path = with_query(
        "/aliases",
        &[("limit", Some(PAGE)), ("q", Some(&query.q)), ("domain", Some(&query.domain)), ("cursor", Some(&query.cursor))],
    );
    let page: AliasPage = screen.api.get(&path).await?;
    let usage = Usage::of(&screen.api, page.items.iter().map(|alias| alias.source.as_str())).await;
    let listing = Listing { query, domains, page, usage };
    Ok(screen.page(Item::Aliases, &screen.text.say("nav-aliases"), content(screen, &listing, form)))
}

fn content(screen: &Screen, listing: &Listing, form: &AddForm) -> Markup {
    let Listing { query, domains, page, .. } = listing;
    let text = screen.text;
    let is_filtered = !(query.q.is_empty() && query.domain.is_empty() && query.cursor.is_empty());
    let total = page.total.unwrap_or(page.items.len());
    html! {
        @if !query.new.is_empty() { (made(screen, &query.new)) }
        p.lead-sentence {
            @if is_filtered { (text.with("aliases-found", [("n", total.into())])) }
            @else { (text.with("aliases-sentence", [("n", total.into())])) }
        }
        @if screen.visitor.is_owner && !domains.is_empty() { (add::forms(screen, domains, form, total == 0 && !is_filtered)) }
        @if total > 0 || is_filtered {
            (search_box(screen, "/aliases", &text.say("aliases-search"), &query.q, &[("domain", query.domain.as_str())]))
            @if domains.len() > 1 { (domain_chips(screen, query, domains)) }
        }
        @if page.items.is_empty() { (nothing(screen, listing, is_filtered)) }
        @else { (rows(screen, listing)) }
        (pager(screen, (!query.cursor.is_empty()).then(|| url(query, &query.domain, None)), next(listing)))
    }
}

/// Returns the URL of the list with this filter.
fn url(query: &ListQuery, domain: &str, cursor: Option<&str>) -> String {
    with_query("/aliases", &[("q", Some(&query.q)), ("domain", Some(domain)), ("cursor", cursor)])
}

fn next(listing: &Listing) -> Option<String> {
    let cursor = listing.page.next_cursor.as_deref()?;
    Some(url(&listing.query, &listing.query.domain, Some(cursor)))
}

fn domain_chips(screen: &Screen, query: &ListQuery, domains: &[DomainView]) -> Markup {
    let text = screen.text;
    let all = (text.say("aliases-all-domains").into_owned(), url(query, "", None), query.domain.is_empty());
    let each = domains.iter().map(|domain| (domain.name.clone(), url(query, &domain.name, None), query.domain == domain.name));
    chips(&text.say("aliases-domains"), &std::iter::once(all).chain(each).collect::<Vec<_>>())
}

fn nothing(screen: &Screen, listing: &Listing, is_filtered: bool) -> Markup {
    let text = screen.text;
    match (is_filtered, listing.domains.first(), screen.visitor.is_owner) {
        (true, ..) => empty(text.say("aliases-none-found"), html! { a href="/aliases" { (text.say("aliases-show-all")) } }),
        (false, None, true) => {
            empty(text.say("aliases-no-domain"), html! { a.button.primary href="/welcome" { (text.say("aliases-first-domain")) } })
        }
        (false, Some(domain), true) => {
            let example = format!("me@{}", domain.name);
            empty(text.rich("aliases-none", [("address", address(&example))], []), html! {})
        }
        (false, _, false) => empty(text.say("aliases-none-own"), html! {}),
    }
}

/// Says which address was made, with a button that copies it.
fn made(screen: &Screen, new: &str) -> Markup {
    let text = screen.text;
    notice(
        Mark::Good,
        html! {
            p { (text.say("aliases-made")) }
            p { (copyable(screen, new)) }
            p.hint { a href={ "/aliases/" (segment(new)) } { (text.say("aliases-made-note")) } }
        },
    )
}

fn rows(screen: &Screen, listing: &Listing) -> Markup {
    let text = screen.text;
    let columns = [
        Column::new(text.say("aliases-address"), "lead"),
        Column::new(text.say("aliases-target"), "wide"),
        Column::new(text.say("aliases-note"), ""),
        Column::new(text.say("aliases-last"), "tight"),
        Column::new(text.say("aliases-month"), "number"),
        Column::new(text.say("aliases-state"), "tight"),
    ];
    table(&text.say("nav-aliases"), &columns, listing.page.items.iter().map(|alias| row(screen, listing, alias)))
}

fn row(screen: &Screen, listing: &Listing, alias: &AliasView) -> Vec<Markup> {
    let text = screen.text;
    let used = listing.usage.of_alias(&alias.source);
    let place = format!("/aliases/{}", segment(&alias.source));
    let more = alias.targets.len().saturating_sub(TARGETS_SHOWN);
    vec![
        html! { a href=(place) { (address(&alias.source)) } },
        html! {
            @for target in alias.targets.iter().take(TARGETS_SHOWN) { div { (address(target)) } }
            @if more > 0 { div.quiet { (text.with("aliases-more-targets", [("n", more.into())])) } }
        },
        html! { @if let Some(note) = &alias.options.note { (cut(note, 60)) } },
        html! { @if let Some(last) = used.and_then(|used| used.last.as_ref()) { (relative(text, last.at_ms, screen.now_ms)) } },
        html! { @if let Some(used) = used { (crate::catalogue::grouped(used.month.accepted as i64)) } },
        html! { div.row { (state(screen, alias)) @if can_change(alias) { (switch(screen, alias, "small")) } } },
    ]
}

/// Whether it can be changed here.
fn can_change(alias: &AliasView) -> bool {
    alias.origin != "file"
}

/// Returns whether the alias takes mail, as a word.
fn state(screen: &Screen, alias: &AliasView) -> Markup {
    let text = screen.text;
    match (alias.enabled, alias.targets.is_empty()) {
        (_, true) => badge(Mark::Bad, text.say("aliases-invalid")),
        (true, false) => badge(Mark::Good, text.say("aliases-on")),
        (false, false) => badge(Mark::Plain, text.say("aliases-off")),
    }
}

/// Returns the button that switches it on or off.
fn switch(screen: &Screen, alias: &AliasView, class: &str) -> Markup {
    let to = format!("/aliases/{}/enabled", segment(&alias.source));
    let (key, value) = if alias.enabled { ("aliases-switch-off", "false") } else { ("aliases-switch-on", "true") };
    action(screen, &to, &screen.text.say(key), class, &[("enabled", value), ("back", &screen.frame.url)])
}
