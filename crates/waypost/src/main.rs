//! `waypost`: a mail server for your own domain. Parses the command line and runs the command.
//!
//! Invariant: the exit code is 0 for success or yes, 1 for failure or no, 2 for an invalid command line.

mod cli;
mod commands;
mod control;
mod conversation;
mod dns_facts;
mod dns_state;
mod nodes;
mod open_store;
mod output;
mod owner;
mod serve;
mod server_facts;
mod shared_files;
mod transport;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::FromArgMatches;
use tokio::runtime::{Builder, Runtime};
use waypost::config;

use cli::{Cli, Command, SelftestCommand};
use commands::{backup, demo, dns, doctor, route, selftest, send_as, sendmail, setup, store};
use output::Output;

/// Faster than the allocator of the C library for many small allocations on several threads, and returns memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(call) = sendmail::call(std::env::args_os()) {
        return sendmail::run(call);
    }
    let cli = Cli::from_arg_matches(&cli::help::command().get_matches()).unwrap_or_else(|error| error.exit());
    let json = cli.json;
    match run(cli) {
        Ok(code) => code,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, json);
            ExitCode::FAILURE
        }
    }
}

fn report(error: &anyhow::Error, json: bool) {
    let text = format!("{error:#}");
    if json {
        let (what, hint) = text.split_once("\n  hint: ").unzip();
        output::note(&serde_json::json!({ "error": what.unwrap_or(&text), "hint": hint }).to_string());
    } else {
        output::note(&format!("{} {text}", output::styled(output::BAD, "error:")));
    }
}

/// One thread is enough for a command; the server has one for each core.
fn small_runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}

fn run(cli: Cli) -> Result<ExitCode> {
    let out = Output { json: cli.json };
    match cli.command {
        Command::Completions(args) => commands::completions(args.shell).map(|()| ExitCode::SUCCESS),
        Command::EventKinds => output::print(&events::reference()).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::Man { dir } => commands::man(&dir).map(|()| ExitCode::SUCCESS),
        Command::Config(command) => commands::config(&cli.config, command, out),
        Command::Cert(command) => commands::cert(&cli.config, command, out),
        Command::Dns(command) => small_runtime()?.block_on(dns::run(&cli.config, command, out)),
        Command::ExplainReply(args) => commands::explain_reply(&args, out).map(|()| ExitCode::SUCCESS),
        Command::ExplainTrust(args) => small_runtime()?.block_on(commands::explain_trust(&cli.config, args, out)),
        Command::Setup(args) => small_runtime()?.block_on(setup::run(&cli.config, args, out)),
        Command::Selftest(SelftestCommand::Sandbox) => selftest::sandbox(&cli.config, out),
        Command::Restore(args) => backup::restore(&cli.config, &args, out),
        Command::Store(command) => small_runtime()?.block_on(store::run(command, out)),
        Command::Serve => serve::run(&cli.config).map(|()| ExitCode::SUCCESS),
        Command::SendAs(args) => small_runtime()?.block_on(send_as::run(&cli.config, args, out)),
        Command::Doctor(args) => small_runtime()?.block_on(doctor::run(&cli.config, args, out)),
        Command::Route(command) => small_runtime()?.block_on(route::run(&cli.config, command, out)),
        Command::Demo(args) => demo::run(&args),
        Command::OpenApi => {
            output::print(&control_api::openapi())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::OpenStore => owner::serve(&cli.config).map(|()| ExitCode::SUCCESS),
        other => small_runtime()?.block_on(commands::run_with_api(&cli.config, other, out)),
    }
}
