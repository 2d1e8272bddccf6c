//! The commands that look at something or change something and end.

mod account;
mod account_import;
mod account_profile;
mod account_show;
mod alias;
mod cert;
mod domain;
mod explain_reply;
mod held;
mod key;
mod queue;
mod reports;
mod status;
mod virtual_check;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use control_api::api::{Changed, Reloaded};

pub use cert::cert;
pub use explain_reply::explain_reply;

use crate::cli::{Account, Cli, Command, Config};
use crate::config;
use crate::output::{self, GOOD, Output, WARN, print, styled};
use crate::serve::rehearsal;
use crate::transport::Transport;

/// Runs a command that talks to the API.
pub async fn talk(config: &Path, command: Command, out: Output) -> Result<ExitCode> {
    let config = config::load(config)?;
    if matches!(command, Command::Status) {
        return status::run(&config, out).await;
    }
    let mut api = Transport::open(&config).await?;
    match command {
        Command::Domain(command) => domain::run(&config, &mut api, command, out).await?,
        Command::Alias(command) => return alias::run(&mut api, command, out).await,
        Command::Account(Account::Profile(args)) => return account_profile::run(&config, &mut api, args, out).await,
        Command::Account(Account::Import(command)) => account_import::run(&config, &mut api, command, out).await?,
        Command::Account(command) => return account::run(&mut api, command, out).await,
        Command::Queue(command) => queue::run(&mut api, command, out).await?,
        Command::Held(command) => held::run(&mut api, command, out).await?,
        Command::Failed { limit } => held::failed(&mut api, limit, out).await?,
        Command::Reports(command) => reports::run(&mut api, command, out).await?,
        Command::Key(command) => key::run(&mut api, command, out).await?,
        Command::Reload => {
            let reloaded: Reloaded = api.post("/v1/reload", &()).await?;
            out.show(&reloaded, |r| r.message.clone())?;
        }
        // `main` runs these without the API.
        Command::Setup(_) | Command::Serve | Command::Demo(_) | Command::Config(_) | Command::ExplainReply(_) => {}
        Command::Cert(_)
        | Command::Dns(_)
        | Command::Doctor(_)
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::OpenStore
        | Command::Route(_)
        | Command::Sendas(_)
        | Command::Sendmail(_)
        | Command::Status => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what a change did.
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

/// `config check` and `config reference`.
pub fn config(path: &Path, command: Config, out: Output) -> Result<ExitCode> {
    match command {
        Config::Reference => print(&config::reference())?,
        Config::Check => {
            match config::load(path).and_then(virtual_check::checked).and_then(|config| rehearsal::run(&config).map(|()| config)) {
                Ok(config) => {
                    let summary = summary(&config);
                    out.show(&serde_json::json!({ "ok": true, "path": path, "summary": summary }), |_| {
                        let lines: Vec<String> = summary.iter().map(|(name, value)| format!("  {name:<10} {value}")).collect();
                        format!("{} {}\n{}", styled(GOOD, "OK"), path.display(), lines.join("\n"))
                    })?;
                }
                Err(errors) => {
                    let list: Vec<_> = errors.0.iter().map(error_as_json).collect();
                    out.show(&serde_json::json!({ "ok": false, "path": path, "errors": list }), |_| errors.to_string())?;
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn error_as_json(error: &config::ConfigError) -> serde_json::Value {
    let (line, column) = error.at.unzip();
    serde_json::json!({ "path": error.path, "line": line, "column": column, "error": error.what, "hint": error.hint })
}

fn summary(config: &config::Config) -> std::collections::BTreeMap<&'static str, String> {
    let listeners: Vec<String> = config.listeners().iter().map(|l| format!("{} {}", l.kind.as_str(), l.address)).collect();
    let routes: Vec<String> = config.settings.delivery.routes.iter().map(|r| format!("{}:{}", r.host, r.port)).collect();
    let or_none = |list: Vec<String>, none: &str| if list.is_empty() { none.to_owned() } else { list.join(", ") };
    [
        ("hostname", config.settings.hostname.to_string()),
        ("data", config.file.data_dir.display().to_string()),
        ("listens", or_none(listeners, "nowhere")),
        ("next hops", or_none(routes, "by MX records")),
        ("socket", config.admin_socket().display().to_string()),
    ]
    .into()
}

/// Prints a shell's completions.
pub fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "waypost", &mut script);
    Ok(print(&String::from_utf8_lossy(&script))?)
}

/// Writes a man page for each command.
pub fn man(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    clap_mangen::generate_to(without_help(Cli::command()), dir)
        .with_context(|| format!("the man pages cannot be written into {}", dir.display()))
}

/// `help` of each command says nothing that its page does not.
fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}
