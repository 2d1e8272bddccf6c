//! Runs the program that publishes and removes the TXT record of a dns-01 validation.
//!
//! RFC 8555 s.8.4. It is called as `PROGRAM add NAME VALUE` and `PROGRAM remove NAME VALUE`; when it ends with success, every
//! server of the zone must have the record. Invariant: no shell reads the arguments.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Time limit for the program; then it is killed.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Maximum program output quoted in errors, in characters.
const OUTPUT_MAX_CHARS: usize = 300;

/// What to do with the record.
#[derive(Debug, Clone, Copy)]
pub(super) enum HookAction {
    Add,
    Remove,
}

/// Runs the program.
pub(super) async fn run(program: &Path, action: HookAction, name: &str, value: &str) -> Result<(), String> {
    let action_name = match action {
        HookAction::Add => "add",
        HookAction::Remove => "remove",
    };
    let shown = format!("{} {action_name} {name}", program.display());
    let mut command = Command::new(program);
    command.args([action_name, name, value]).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(TIMEOUT, command.output()).await {
        Err(_) => return Err(format!("{shown} did not finish within {} s", TIMEOUT.as_secs())),
        Ok(Err(e)) => return Err(format!("{shown} cannot be run: {e}")),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(());
    }
    let output_text: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(OUTPUT_MAX_CHARS).collect();
    Err(format!("{shown} ended with {}: {output_text}", output.status))
}
