//! `/api/v1/nodes`: the nodes of this server, and which of them take new mail.
//!
//! Invariant: a node that runs is never removed; draining loses no mail: over SQLite a drained node goes on delivering, over PostgreSQL what waits is delivered by
//! other nodes, or later.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use crate::actor::Actor;
use crate::api::{Changed, NodeState, NodeView, Page, PageQuery};
use crate::control::{Control, NodeChange, NodeFault};
use crate::error::ApiError;
use crate::extract::Params;
use crate::paging::page;
use crate::recorder::Recorder;

pub(crate) async fn list(
    State(control): State<Arc<dyn Control>>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<NodeView>>, ApiError> {
    let nodes = control.nodes().await?;
    Ok(Json(page(&query, nodes, |node| node.name.clone())?))
}

pub(crate) async fn drain(
    actor: Actor,
    State(control): State<Arc<dyn Control>>,
    State(recorder): State<Recorder>,
    Path(name): Path<String>,
) -> Result<Json<Changed>, ApiError> {
    let is_new = change(control.as_ref(), &name, NodeChange::Drain).await?;
    let nodes = control.nodes().await?;
    // Over SQLite there is no claimed mail of nodes, and one node.
    let (how, is_alone) = match nodes.as_slice() {
        [NodeView { claimed: None, .. }] => ("it goes on delivering, and answers new mail with 421 4.3.2, also after a restart", false),
        all => (
            "within 5 seconds it answers new mail with 421 4.3.2 and leaves deliveries to the other nodes, also after a restart",
            !all.iter().any(|node| node.state == NodeState::Active),
        ),
    };
    let mut changed = match is_new {
        true => recorded(&recorder, &actor, format!("{name} is drained: {how}")),
        false => unchanged(format!("{name} was drained already")),
    };
    if is_alone {
        changed.warnings.push("no other node serves: mail is neither taken nor delivered until one is resumed or started".into());
    }
    Ok(Json(changed))
}

pub(crate) async fn resume(
    actor: Actor,
    State(control): State<Arc<dyn Control>>,
    State(recorder): State<Recorder>,
    Path(name): Path<String>,
) -> Result<Json<Changed>, ApiError> {
    let is_new = change(control.as_ref(), &name, NodeChange::Resume).await?;
    Ok(Json(match is_new {
        true => recorded(&recorder, &actor, format!("{name} takes new mail again")),
        false => unchanged(format!("{name} was not drained")),
    }))
}

pub(crate) async fn remove(
    actor: Actor,
    State(control): State<Arc<dyn Control>>,
    State(recorder): State<Recorder>,
    Path(name): Path<String>,
) -> Result<Json<Changed>, ApiError> {
    change(control.as_ref(), &name, NodeChange::Remove).await?;
    Ok(Json(recorded(&recorder, &actor, format!("removed node {name}"))))
}

fn recorded(recorder: &Recorder, actor: &Actor, changed: String) -> Changed {
    recorder.server(actor, "node", &changed);
    unchanged(changed)
}

fn unchanged(changed: String) -> Changed {
    Changed { changed, warnings: Vec::new() }
}

async fn change(control: &dyn Control, name: &str, change: NodeChange) -> Result<bool, ApiError> {
    let named = mail::one_line_at_most(name, 255);
    control.change_node(name, change).await.map_err(|fault| match fault {
        NodeFault::Unknown => ApiError::missing(format!("there is no node {named}")).hint("waypost node list shows all nodes"),
        NodeFault::Running => ApiError::conflict(format!("{named} is running"))
            .hint("stop it first; a node that is gone for good can be removed 30 seconds after it was seen last"),
        NodeFault::Only => ApiError::conflict(format!("{named} is the only node, and its data directory is the queue itself"))
            .hint("only a node of a database that several nodes share can be removed"),
        NodeFault::Itself => ApiError::conflict(format!("{named} is the node of this machine"))
            .hint(format!("remove it from another node: waypost node remove {named}")),
        NodeFault::Failed(why) => ApiError::internal(format!("the state of {named} could not be written, so nothing has changed: {why}"))
            .hint("check the disk of the data directory, or the database"),
    })
}
