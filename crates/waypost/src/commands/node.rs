//! `waypost node`: the nodes of this server, and which of them take new mail.

use anyhow::{Context, Result};
use control_api::api::{Changed, NodeState, NodeView};
use events::plain;
use mail::one_line;

use super::changed;
use crate::cli::NodeCommand;
use crate::output::{GOOD, Output, WARN, note, span, styled, table};
use crate::transport::{Transport, segment};

pub(super) async fn run(api: &mut Transport, command: NodeCommand, out: Output) -> Result<()> {
    let done: Changed = match command {
        NodeCommand::List => {
            let nodes: Vec<NodeView> = api.list("/api/v1/nodes", &[]).await?;
            return Ok(out.show(&nodes, |nodes| list(nodes))?);
        }
        NodeCommand::Drain { name } => {
            let name = named(api, name).await?;
            api.post(&format!("/api/v1/nodes/{}/drain", segment(&name)), &()).await?
        }
        NodeCommand::Resume { name } => {
            let name = named(api, name).await?;
            api.post(&format!("/api/v1/nodes/{}/resume", segment(&name)), &()).await?
        }
        NodeCommand::Remove { name } => api.delete(&format!("/api/v1/nodes/{}", segment(&name))).await?,
    };
    changed(out, &done)
}

/// Says on standard error that something is of one node, if there are others. Who may not see the nodes is told nothing.
pub(super) async fn name_other_nodes(api: &mut Transport, what: &str, others_have: &str) {
    let Ok(nodes) = api.list::<NodeView>("/api/v1/nodes", &[]).await else { return };
    let (this, others): (Vec<&NodeView>, Vec<&NodeView>) = nodes.iter().partition(|node| node.this);
    if let ([this], [_, ..]) = (this.as_slice(), others.as_slice()) {
        let others: Vec<String> = others.iter().map(|node| plain(&node.name)).collect();
        note(&format!("{what} of node {}; {others_have}: {}", plain(&this.name), others.join(", ")));
    }
}

/// Whether a node delivers mail. One without a database that several share goes on delivering while it is drained; what cannot be asked is taken to serve.
pub(super) async fn is_served(api: &mut Transport) -> bool {
    let nodes = api.list::<NodeView>("/api/v1/nodes", &[]).await.unwrap_or_default();
    let is_shared = nodes.iter().any(|node| node.claimed.is_some());
    !is_shared || nodes.iter().any(|node| node.state == NodeState::Active)
}

/// The node of this name, or the one that answers.
async fn named(api: &mut Transport, name: Option<String>) -> Result<String> {
    if let Some(name) = name {
        return Ok(name);
    }
    let nodes: Vec<NodeView> = api.list("/api/v1/nodes", &[]).await?;
    nodes.into_iter().find(|node| node.this).map(|node| node.name).context("the server does not say which node it is")
}

fn list(nodes: &[NodeView]) -> String {
    let now_ms = net::Clock::system().now_ms();
    let has_hosts = nodes.iter().any(|node| node.hostname.as_ref().is_some_and(|host| *host != node.name));
    let ago = |at_ms: Option<i64>| at_ms.map_or_else(|| "-".to_owned(), |at_ms| span((now_ms - at_ms).max(0)));
    let row = |node: &NodeView| {
        let state = match node.state {
            NodeState::Active => styled(GOOD, "active"),
            NodeState::Drained => {
                let since = node.drained_since_ms.map(|_| format!(" for {}", ago(node.drained_since_ms))).unwrap_or_default();
                styled(WARN, format!("drained{since}"))
            }
            NodeState::Stopped if node.drained => styled(WARN, "stopped, and drained"),
            NodeState::Stopped => styled(WARN, "stopped"),
        };
        let name = if node.this && nodes.len() > 1 { format!("{} (this)", one_line(&node.name)) } else { one_line(&node.name) };
        let version = node.version.as_deref().map(one_line).unwrap_or_default();
        let host = has_hosts.then(|| node.hostname.as_deref().map(one_line).unwrap_or_default());
        [name].into_iter().chain(host).chain([state, ago(node.started_ms), ago(node.seen_ms), version]).collect()
    };
    let host = has_hosts.then_some("host");
    let titles: Vec<&str> = ["name"].into_iter().chain(host).chain(["state", "up for", "seen ago", "version"]).collect();
    table(&titles, &nodes.iter().map(row).collect::<Vec<_>>())
}
