//! `waypost sendmail`: a replacement of /usr/sbin/sendmail for cron, git send-email, mutt and PHP's mail().
//!
//! Invariant: exit code 0 means that the message is on the server's disk; after any other, the server has not accepted it.

mod arguments;
mod dialogue;
mod exit;
mod submit;

use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use control_api::api::Envelope;

use crate::cli::{Command, QueueCommand, RetryArgs};
use crate::config::DEFAULT_PATH;
use crate::output::{BAD, Output, note, print, styled};
use arguments::{SendmailArguments, SendmailMode};
use exit::{DATA, SendmailError, TEMPORARY, USAGE};
use submit::SubmitTarget;

/// Maximum message size if the configuration cannot be read, in octets.
const READ_MAX_BYTES: u64 = 1 << 30;

/// A command line for sendmail.
#[derive(Debug, PartialEq, Eq)]
pub struct SendmailCall {
    /// The name under which the program was started.
    called: String,
    config: Option<PathBuf>,
    json: bool,
    words: Vec<String>,
}

/// Returns the call if the process was started as sendmail, mailq or newaliases, or as `waypost sendmail`. clap prints the help.
pub fn call(mut words: impl Iterator<Item = OsString>) -> Option<SendmailCall> {
    let program = words.next()?;
    let called = Path::new(&program).file_name()?.to_string_lossy().into_owned();
    let text = |words: &mut dyn Iterator<Item = OsString>| words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<String>>();
    if ["sendmail", "mailq", "newaliases"].contains(&called.as_str()) {
        return Some(SendmailCall { called, config: None, json: false, words: text(&mut words) });
    }
    let (mut config, mut json) = (None, false);
    while let Some(word) = words.next() {
        let word = word.to_string_lossy().into_owned();
        match word.as_str() {
            "--json" => json = true,
            "--config" => config = Some(PathBuf::from(words.next()?)),
            "sendmail" => {
                let words = text(&mut words);
                let is_question = words.first().is_some_and(|word| word == "--help");
                return (!is_question).then_some(SendmailCall { called: "sendmail".into(), config, json, words });
            }
            other => config = Some(other.strip_prefix("--config=")?.into()),
        }
    }
    None
}

/// Runs the command.
pub fn run(call: SendmailCall) -> ExitCode {
    match arguments::parse(&call.called, &call.words) {
        Ok(arguments) => carry_out(&call, arguments).unwrap_or_else(|refused| report(&call, &refused)),
        Err(what) => report(
            &call,
            &SendmailError { hint: Some("waypost sendmail --help lists the options".into()), ..SendmailError::new(USAGE, what) },
        ),
    }
}

fn report(call: &SendmailCall, refused: &SendmailError) -> ExitCode {
    let SendmailError { code, what, hint } = refused;
    if call.json {
        note(&serde_json::json!({ "error": what, "hint": hint, "exit_code": code }).to_string());
    } else {
        let hint = hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
        note(&format!("{} {what}{hint}", styled(BAD, "sendmail:")));
    }
    ExitCode::from(*code)
}

fn carry_out(call: &SendmailCall, arguments: SendmailArguments) -> Result<ExitCode, SendmailError> {
    let named = arguments.config.clone().or_else(|| call.config.clone());
    let path = named.or_else(|| std::env::var_os("WAYPOST_CONFIG").map(PathBuf::from)).unwrap_or_else(|| DEFAULT_PATH.into());
    let out = Output { json: call.json };
    let runtime = crate::small_runtime().map_err(|error| SendmailError::later(&error))?;
    let command = match arguments.mode {
        SendmailMode::Deliver => return runtime.block_on(deliver(&path, arguments, out)),
        SendmailMode::Dialogue => return runtime.block_on(converse(&path)),
        SendmailMode::Aliases => {
            note("nothing to do: alias changes take effect at once (waypost alias list)");
            return Ok(ExitCode::SUCCESS);
        }
        SendmailMode::List => Command::Queue(QueueCommand::List { limit: 1000, after: None, address: None }),
        SendmailMode::Flush => Command::Queue(QueueCommand::Retry(RetryArgs { id: None, domain: None, all: true })),
    };
    runtime.block_on(crate::commands::run_with_api(&path, command, out)).map_err(|error| SendmailError::later(&error))
}

async fn converse(path: &Path) -> Result<ExitCode, SendmailError> {
    let target = SubmitTarget::of(path);
    let max_bytes = target.max_bytes().unwrap_or(READ_MAX_BYTES);
    dialogue::run(&target, max_bytes, &mut io::stdin().lock(), &mut io::stdout().lock())
        .await
        .map_err(|error| SendmailError::later(&error))?;
    Ok(ExitCode::SUCCESS)
}

async fn deliver(path: &Path, arguments: SendmailArguments, out: Output) -> Result<ExitCode, SendmailError> {
    if arguments.recipients.is_empty() && !arguments.recipients_in_header {
        let hint = Some("name them on the command line, or use -t for those of the header section".into());
        return Err(SendmailError { hint, ..SendmailError::new(USAGE, "no recipients given") });
    }
    let target = SubmitTarget::of(path);
    let max_bytes = target.max_bytes().unwrap_or(READ_MAX_BYTES);
    let content = read(&mut io::stdin().lock(), arguments.ignore_dots, max_bytes)?;
    let envelope = Envelope {
        sender: arguments.sender,
        recipients: arguments.recipients,
        recipients_in_header: arguments.recipients_in_header,
        full_name: arguments.full_name,
        notify: arguments.notify,
        ret: arguments.ret,
        envid: arguments.envid,
    };
    let taken = target.send(&envelope, &content).await?;
    if arguments.verbose || out.json {
        let shown = out.show(&taken, |taken| format!("queued as {} for {} recipients", taken.id, taken.recipients));
        // The message is queued, even if this cannot be printed.
        drop(shown.or_else(|_| print("")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the message, to the end of the input or a line with only a dot.
fn read(input: &mut impl BufRead, ignore_dots: bool, max_bytes: u64) -> Result<Vec<u8>, SendmailError> {
    let failed = |error: io::Error| SendmailError::new(TEMPORARY, format!("standard input cannot be read: {error}"));
    let mut content = Vec::new();
    let mut input = input.take(max_bytes.saturating_add(1));
    if ignore_dots {
        input.read_to_end(&mut content).map_err(failed)?;
    } else {
        loop {
            let start = content.len();
            let n = input.read_until(b'\n', &mut content).map_err(failed)?;
            let line = content.get(start..).unwrap_or_default();
            if n == 0 || matches!(line, b"." | b".\n" | b".\r\n") {
                content.truncate(start);
                break;
            }
        }
    }
    if content.len() as u64 > max_bytes {
        let hint = Some("send a link instead, or raise limits.message_bytes in the configuration".into());
        return Err(SendmailError { hint, ..SendmailError::new(DATA, format!("the message is larger than {max_bytes} octets")) });
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sendmail_is_recognised_by_program_name_or_command() {
        let call = |line: &str| call(line.split_whitespace().map(OsString::from));
        assert_eq!(call("/usr/sbin/sendmail -t").unwrap().words, ["-t"]);
        assert_eq!(call("mailq").unwrap().called, "mailq");
        let with = call("waypost --config w.toml --json sendmail -oi x@y.test").unwrap();
        assert_eq!((with.config, with.json, with.words.len()), (Some("w.toml".into()), true, 2));
        assert!(call("waypost --config=w.toml sendmail -i").is_some());
        for other in ["waypost", "waypost queue list", "waypost sendmail --help", "waypost alias add sendmail x", "waypost --help sendmail"]
        {
            assert_eq!(call(other), None, "{other}");
        }
    }

    #[test]
    fn a_dot_ends_the_message_unless_it_is_ignored() {
        let text = b"Subject: x\n\na\n..\n.\nb\n";
        assert_eq!(read(&mut &text[..], false, 100).unwrap(), b"Subject: x\n\na\n..\n");
        assert_eq!(read(&mut &text[..], true, 100).unwrap(), text);
        assert_eq!(read(&mut &b"a\r\n.\r\nb"[..], false, 100).unwrap(), b"a\r\n");
        assert_eq!(read(&mut &text[..], true, 10).unwrap_err().code, DATA);
    }
}
