//! `waypost top`: watches the running server.
//!
//! Invariant: exit code 1 if no server runs at the start; the terminal is as before at the end, also after a panic and a signal.

mod frame;
mod look;
mod screen;
mod terminal;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::cli::TopArgs;
use crate::config::Config;
use crate::output::{BAD, Output, print, styled};
use frame::View;
use look::{Look, look};

/// The size of a frame that is printed.
const PRINTED: [u16; 2] = [100, 40];

pub(super) async fn run(config: &Config, args: &TopArgs, out: Output) -> Result<ExitCode> {
    let first = match look(config).await? {
        Some(look) => look,
        None => {
            let socket = config.admin_socket();
            out.show(&serde_json::json!({ "running": false }), |_| {
                let start = "to start it: systemctl start waypost, or: waypost serve";
                format!("{} no server answers on {}\n  {start}", styled(BAD, "not running:"), socket.display())
            })?;
            return Ok(ExitCode::FAILURE);
        }
    };
    if args.once || out.json {
        show(&first, args, out)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        bail!("standard output is not a terminal\n  hint: waypost top --once prints one frame");
    }
    screen::watch(config, first, &args.filter, Duration::from_secs(args.every)).await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints one frame.
fn show(look: &Look, args: &TopArgs, out: Output) -> Result<()> {
    if out.json {
        return Ok(out.show(look, |_| String::new())?);
    }
    let view = View { filter: args.filter.clone(), is_printed: true, ..View::default() };
    let [width, height] = PRINTED;
    let lines = frame::lines(look, &view, width, height);
    let text: Vec<String> = lines.iter().map(|line| line.to_string().trim_end().to_owned()).collect();
    Ok(print(text.join("\n").trim_end())?)
}
