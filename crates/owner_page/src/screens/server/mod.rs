//! `/server`: what is in force: listeners, nodes, certificates, settings with their origin, backup, log of changes, tokens.
//!
//! Invariant: shows where a secret is, never the secret.

mod certificates;
mod changes;
mod nodes;
mod settings;
mod tokens;

use axum::Router;
use axum::extract::Query;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use control_api::api::{CertificatesView, ListenerView, Reloaded, ServerView};
use maud::{Markup, html};
use serde::Deserialize;

use crate::api::Problem;
use crate::components::{Mark, action, address, card, facts, mono, notice};
use crate::layout::Item;
use crate::moment::size;
use crate::outcome::{Done, problem_notice};
use crate::screen::{Owner, PageState, Screen};

/// Less free space than this needs a person, in octets.
const LITTLE_SPACE: u64 = 2 << 30;

pub(crate) fn routes() -> Router<PageState> {
    Router::new()
        .route("/server", get(show))
        .route("/server/reload", post(reload))
        .route("/server/nodes", post(nodes::change))
        .route("/server/renew", post(certificates::renew))
        .route("/server/tokens", post(tokens::make))
        .route("/server/tokens/remove", post(tokens::remove))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServerQuery {
    /// `all` shows the defaults too.
    settings: String,
}

async fn show(Owner(screen): Owner, Query(query): Query<ServerQuery>) -> Result<Response, Problem> {
    let text = screen.text;
    let server: ServerView = screen.api.get("/server").await?;
    let certificates: Result<CertificatesView, Problem> = screen.api.get("/certificates").await;
    let content = html! {
        p.lead-sentence { (text.with("server-sentence", [("host", server.hostname.clone().into()), ("version", server.version.clone().into())])) }
        @if server.disk_free_bytes.is_some_and(|free| free < LITTLE_SPACE) { (notice(Mark::Bad, html! { p { (text.say("server-little-space")) } })) }
        div.grid {
            (card(text.say("server-machine"), machine(&screen, &server)))
            (card(text.say("server-listeners"), listeners(&screen, &server.listeners)))
        }
        (nodes::show(&screen).await)
        section.card id="certificates" {
            h2 { (text.say("server-certificates")) }
            @match &certificates {
                Ok(certificates) => (certificates::show(&screen, certificates)),
                Err(problem) => (problem_notice(problem)),
            }
        }
        (card(text.say("server-backup"), backup(&screen, &server)))
        section.card id="settings" {
            div.row.spread { h2 { (text.say("server-settings")) } (action(&screen, "/server/reload", &text.say("server-reload"), "", &[])) }
            (settings::show(&screen, &server, query.settings == "all"))
        }
        section.card id="tokens" { h2 { (text.say("server-tokens")) } (tokens::show(&screen).await) }
        section.card id="changes" { h2 { (text.say("server-changes")) } (changes::show(&screen).await) }
    };
    Ok(screen.page(Item::Server, &text.say("nav-server"), content))
}

fn machine(screen: &Screen, server: &ServerView) -> Markup {
    let text = screen.text;
    let disk = match (server.disk_free_bytes, server.disk_bytes) {
        (Some(free), Some(all)) => {
            html! { (text.with("server-disk-free", [("free", size(text, free).into()), ("all", size(text, all).into())])) }
        }
        _ => html! { "-" },
    };
    facts(&[
        (html! { (text.say("server-name")) }, address(&server.hostname)),
        (html! { (text.say("server-forwarding")) }, address(&server.forwarding)),
        (html! { (text.say("server-version")) }, html! { "Waypost " (server.version) }),
        (html! { (text.say("server-disk")) }, disk),
        (html! { (text.say("server-databases")) }, html! { (size(text, server.databases_bytes)) }),
    ])
}

fn listeners(screen: &Screen, listeners: &[ListenerView]) -> Markup {
    let text = screen.text;
    let mut kinds: Vec<(&str, Vec<&str>)> = Vec::new();
    for listener in listeners {
        match kinds.iter_mut().find(|(kind, _)| *kind == listener.kind) {
            Some((_, addresses)) => addresses.push(&listener.address),
            None => kinds.push((&listener.kind, vec![&listener.address])),
        }
    }
    let name = |kind: &str| match kind {
        "mx" => text.say("server-listener-mx"),
        "submission" => text.say("server-listener-submission"),
        "submissions" => text.say("server-listener-submissions"),
        "submissions-by-certificate" => text.say("server-listener-certificate"),
        "http" => text.say("server-listener-http"),
        "https" => text.say("server-listener-https"),
        other => other.to_owned().into(),
    };
    let pairs: Vec<(Markup, Markup)> =
        kinds.iter().map(|(kind, at)| (html! { (name(kind)) }, html! { @for at in at { div { (address(at)) } } })).collect();
    facts(&pairs)
}

/// Says what a backup consists of, and how to make one.
fn backup(screen: &Screen, server: &ServerView) -> Markup {
    let text = screen.text;
    let is_shared = server.settings.iter().any(|setting| setting.section == "[store]" && setting.name == "url" && setting.value.is_some());
    let (words, how) = match is_shared {
        true => ("server-backup-shared-words", "server-backup-shared-how"),
        false => ("server-backup-words", "server-backup-how"),
    };
    html! {
        p { (text.rich(words, [("dir", mono(&server.data_dir)), ("file", mono(&server.config_file))], [])) }
        p.quiet { (text.say(how)) }
    }
}

/// Reads the configuration again.
async fn reload(Owner(screen): Owner) -> Result<Response, Problem> {
    let done: Reloaded = screen.api.send(Method::POST, "/reload", &()).await?;
    Ok(Done::new("/server#settings", done.message).into_response())
}
