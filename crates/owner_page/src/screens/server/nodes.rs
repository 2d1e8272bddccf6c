//! The nodes that share a database, and the buttons that drain and resume them.
//!
//! Invariant: a server that shares its database with no other one shows nothing here.

use axum::Form;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use control_api::api::{Changed, NodeState, NodeView, Page};
use maud::{Markup, html};
use serde::Deserialize;

use crate::api::{Problem, segment};
use crate::components::{Column, Mark, action, address, badge, cut, table};
use crate::moment::relative;
use crate::outcome::{Done, problem_notice};
use crate::said::said;
use crate::screen::{Owner, Screen};

/// Maximum nodes: as many as a database can have.
const SHOWN: &str = "256";

/// Returns the card of the nodes; nothing for a server of its own.
pub(super) async fn show(screen: &Screen) -> Markup {
    let text = screen.text;
    let nodes: Result<Page<NodeView>, Problem> = screen.api.get(&format!("/nodes?limit={SHOWN}")).await;
    let content = match &nodes {
        // Only the nodes of a shared database have claims.
        Ok(page) if page.items.len() < 2 && page.items.iter().all(|node| node.claimed.is_none()) => return html! {},
        Ok(page) => html! { p.quiet { (text.say("server-nodes-words")) } (rows(screen, &page.items)) },
        Err(problem) => problem_notice(problem),
    };
    html! { section.card id="nodes" { h2 { (text.say("server-nodes")) } (content) } }
}

fn rows(screen: &Screen, nodes: &[NodeView]) -> Markup {
    let text = screen.text;
    let columns = [
        Column::new(text.say("server-node-name"), "lead"),
        Column::new(text.say("aliases-state"), "tight"),
        Column::new(text.say("server-version"), "tight"),
        Column::new(text.say("server-node-started"), "tight"),
        Column::new(text.say("server-node-seen"), "tight"),
        Column::new(text.say("server-node-claimed"), "tight"),
        Column::new(text.say("server-node-change"), "act"),
    ];
    let when = |at_ms: Option<i64>| match at_ms {
        Some(at_ms) => relative(text, at_ms, screen.now_ms),
        None => html! { "-" },
    };
    let row = |node: &NodeView| {
        vec![
            html! { (address(&node.name)) @if node.this { div.quiet { (text.say("server-node-this")) } } },
            state(screen, node),
            html! { @match &node.version { Some(version) => (cut(version, 30)), None => "-" } },
            when(node.started_ms),
            when(node.seen_ms),
            html! { @match node.claimed { Some(claimed) => (claimed), None => "-" } },
            button(screen, node),
        ]
    };
    table(&text.say("server-nodes"), &columns, nodes.iter().map(row))
}

fn state(screen: &Screen, node: &NodeView) -> Markup {
    let text = screen.text;
    match (node.state, node.drained) {
        (NodeState::Active, _) => badge(Mark::Good, text.say("server-node-active")),
        (NodeState::Drained, _) => badge(Mark::Wait, text.say("server-node-drained")),
        (NodeState::Stopped, true) => badge(Mark::Bad, text.say("server-node-stopped-drained")),
        (NodeState::Stopped, false) => badge(Mark::Bad, text.say("server-node-stopped")),
    }
}

fn button(screen: &Screen, node: &NodeView) -> Markup {
    let (key, change) = if node.drained { ("server-node-resume", "resume") } else { ("server-node-drain", "drain") };
    action(screen, "/server/nodes", &screen.text.say(key), "small", &[("name", &node.name), ("change", change)])
}

#[derive(Debug, Deserialize)]
pub(super) struct NodeForm {
    name: String,
    change: NodeChange,
}

/// What a button does.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NodeChange {
    Drain,
    Resume,
}

pub(super) async fn change(Owner(screen): Owner, Form(form): Form<NodeForm>) -> Result<Response, Problem> {
    let (route, words) = match form.change {
        NodeChange::Drain => ("drain", "server-node-now-drained"),
        NodeChange::Resume => ("resume", "server-node-now-resumed"),
    };
    let changed: Changed = screen.api.send(Method::POST, &format!("/nodes/{}/{route}", segment(&form.name)), &()).await?;
    let words = screen.text.with(words, [("name", form.name.into())]);
    let warnings = changed.warnings.iter().map(|warning| said(screen.text, warning).into_owned());
    Ok(Done::new("/server#nodes", std::iter::once(words).chain(warnings).collect::<Vec<_>>().join(" ")).into_response())
}
