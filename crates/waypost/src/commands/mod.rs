//! What each command does: `commands/NAME.rs` or `commands/NAME/` runs `waypost NAME`, with the arguments that `cli/NAME.rs` defines.
//!
//! `serve` is a tree of its own.

mod account;
mod alias;
pub mod backup;
mod cert;
mod completions;
mod config;
pub mod demo;
pub mod dns;
pub mod doctor;
mod domain;
mod explain;
mod explain_reply;
mod explain_trust;
mod failed;
mod held;
mod history;
mod key;
mod man;
mod node;
mod notify;
mod queue;
mod reports;
pub mod route;
pub mod selftest;
pub mod send_as;
pub mod sendmail;
pub mod setup;
mod status;
pub mod store;
mod token;
mod top;
mod verify;
mod web;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use control_api::api::{Changed, Reloaded};

pub use cert::cert;
pub use completions::completions;
pub use config::config;
pub use explain_reply::explain_reply;
pub use explain_trust::explain_trust;
pub use man::man;

use crate::cli::{Command, QueueCommand};
use crate::output::{self, GOOD, Output, WARN, styled};
use crate::transport::Transport;

/// Runs a command that talks to the API.
pub async fn run_with_api(config: &Path, command: Command, out: Output) -> Result<ExitCode> {
    let config = crate::config::load(config)?;
    if matches!(command, Command::Status) {
        return status::run(&config, out).await;
    }
    if let Command::Top(args) = &command {
        return top::run(&config, args, out).await;
    }
    if let Command::Backup(args) = command {
        return backup::run(&config, args, out).await;
    }
    let mut api = Transport::open(&config).await?;
    match command {
        Command::Domain(command) => domain::run(&config, &mut api, command, out).await?,
        Command::Alias(command) => return alias::run(&mut api, command, out).await,
        Command::Account(command) => return account::run(&config, &mut api, command, out).await,
        Command::Queue(QueueCommand::Verify) => return verify::run(&config, &mut api, out).await,
        Command::Queue(command) => queue::run(&mut api, command, out).await?,
        Command::Held(command) => held::run(&mut api, command, out).await?,
        Command::Failed(args) => failed::run(&mut api, args.limit, out).await?,
        Command::Node(command) => node::run(&mut api, command, out).await?,
        Command::Notify(command) => return notify::run(&mut api, command, out).await,
        Command::Explain(args) => return explain::run(&mut api, args, out).await,
        Command::Reports(command) => reports::run(&mut api, command, out).await?,
        Command::Token(command) => token::run(&mut api, command, out).await?,
        Command::Trace(args) => return history::trace(&mut api, args, out).await,
        Command::Log(args) => history::log(&mut api, args, out).await?,
        Command::Web(args) => web::run(&mut api, args, out).await?,
        Command::Key(command) => key::run(&mut api, command, out).await?,
        Command::Reload => {
            let reloaded: Reloaded = api.post("/api/v1/reload", &()).await?;
            out.show(&reloaded, |r| r.message.clone())?;
        }
        // Handled by `main`, without the API.
        Command::Setup(_) | Command::Serve | Command::Demo(_) | Command::Config(_) => {}
        Command::ExplainReply(_) | Command::ExplainTrust(_) => {}
        Command::Backup(_)
        | Command::Cert(_)
        | Command::Dns(_)
        | Command::Doctor(_)
        | Command::Completions(_)
        | Command::EventKinds
        | Command::Man { .. }
        | Command::OpenApi
        | Command::OpenStore
        | Command::Restore(_)
        | Command::Route(_)
        | Command::Selftest(_)
        | Command::SendAs(_)
        | Command::Sendmail(_)
        | Command::Status
        | Command::Store(_)
        | Command::Top(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the result of a change.
fn changed(out: Output, changed: &Changed) -> Result<()> {
    out.show(changed, |c| format!("{} {}", styled(GOOD, "ok:"), c.changed))?;
    if !out.json {
        warn(&changed.warnings);
    }
    Ok(())
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        output::note(&format!("{} {warning}", styled(WARN, "warning:")));
    }
}
