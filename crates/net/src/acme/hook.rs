//! The program that puts a TXT record into DNS for a validation, and takes it out again.
//!
//! RFC 8555 s.8.4. It is called as `PROGRAM add NAME VALUE` and `PROGRAM remove NAME VALUE`; when it ends with success the record must be
//! there for everyone to see. Invariant: no shell reads the arguments.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// A program that takes longer is ended.
const WITHIN: Duration = Duration::from_secs(180);

/// Of what it says, so much is told.
const TOLD_CHARS: usize = 300;

/// What to do with the record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verb {
    Add,
    Remove,
}

/// Runs the program.
pub(super) async fn run(program: &Path, verb: Verb, name: &str, value: &str) -> Result<(), String> {
    let word = match verb {
        Verb::Add => "add",
        Verb::Remove => "remove",
    };
    let shown = format!("{} {word} {name}", program.display());
    let mut command = Command::new(program);
    command.args([word, name, value]).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(WITHIN, command.output()).await {
        Err(_) => return Err(format!("{shown} did not end within {} s", WITHIN.as_secs())),
        Ok(Err(e)) => return Err(format!("{shown} cannot be run: {e}")),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(TOLD_CHARS).collect();
    Err(format!("{shown} ended with {}: {said}", output.status))
}
