//! `waypost sendmail`: the program that others call `/usr/sbin/sendmail`: for cron, git send-email, mutt, PHP's mail().
//!
//! Invariant: exit code 0 means that the message is on the server's disk; with any other the caller still has all of it to itself.

mod arguments;
mod dialogue;
mod exit;
mod way;

use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use control_api::api::Envelope;

use crate::cli::{Command, Queue, Retry};
use crate::config::DEFAULT_PATH;
use crate::output::{BAD, Output, note, print, styled};
use arguments::{Arguments, Mode};
use exit::{DATA, Refused, TEMPORARY, USAGE};
use way::Way;

/// The largest message that is read where the configuration cannot be, in octets.
const READ_MAX_BYTES: u64 = 1 << 30;

/// A command line that is sendmail's.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// By which name it was called.
    called: String,
    config: Option<PathBuf>,
    json: bool,
    words: Vec<String>,
}

/// Whether the process was started as sendmail: by its name, or as `waypost sendmail`. Its help is clap's.
pub fn call(mut words: impl Iterator<Item = OsString>) -> Option<Call> {
    let program = words.next()?;
    let called = Path::new(&program).file_name()?.to_string_lossy().into_owned();
    let text = |words: &mut dyn Iterator<Item = OsString>| words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<String>>();
    if ["sendmail", "mailq", "newaliases"].contains(&called.as_str()) {
        return Some(Call { called, config: None, json: false, words: text(&mut words) });
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
                return (!is_question).then_some(Call { called: "sendmail".into(), config, json, words });
            }
            other => config = Some(other.strip_prefix("--config=")?.into()),
        }
    }
    None
}

/// Does what the command line says.
pub fn run(call: Call) -> ExitCode {
    match arguments::parse(&call.called, &call.words) {
        Ok(arguments) => carry_out(&call, arguments).unwrap_or_else(|refused| told(&call, &refused)),
        Err(what) => told(&call, &Refused { hint: Some("waypost sendmail --help lists the options".into()), ..Refused::new(USAGE, what) }),
    }
}

fn told(call: &Call, refused: &Refused) -> ExitCode {
    let Refused { code, what, hint } = refused;
    if call.json {
        note(&serde_json::json!({ "error": what, "hint": hint, "exit_code": code }).to_string());
    } else {
        let hint = hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
        note(&format!("{} {what}{hint}", styled(BAD, "sendmail:")));
    }
    ExitCode::from(*code)
}

fn carry_out(call: &Call, arguments: Arguments) -> Result<ExitCode, Refused> {
    let named = arguments.config.clone().or_else(|| call.config.clone());
    let path = named.or_else(|| std::env::var_os("WAYPOST_CONFIG").map(PathBuf::from)).unwrap_or_else(|| DEFAULT_PATH.into());
    let out = Output { json: call.json };
    let runtime = crate::small_runtime().map_err(|error| Refused::later(&error))?;
    let command = match arguments.mode {
        Mode::Deliver => return runtime.block_on(deliver(&path, arguments, out)),
        Mode::Dialogue => return runtime.block_on(converse(&path)),
        Mode::Aliases => {
            note("nothing to do: aliases are in force as soon as they are changed (waypost alias list)");
            return Ok(ExitCode::SUCCESS);
        }
        Mode::List => Command::Queue(Queue::List { limit: 1000, after: None, address: None }),
        Mode::Flush => Command::Queue(Queue::Retry(Retry { id: None, domain: None, all: true })),
    };
    runtime.block_on(crate::commands::talk(&path, command, out)).map_err(|error| Refused::later(&error))
}

async fn converse(path: &Path) -> Result<ExitCode, Refused> {
    let way = Way::of(path);
    let max_bytes = way.max_bytes().unwrap_or(READ_MAX_BYTES);
    dialogue::run(&way, max_bytes, &mut io::stdin().lock(), &mut io::stdout().lock()).await.map_err(|error| Refused::later(&error))?;
    Ok(ExitCode::SUCCESS)
}

async fn deliver(path: &Path, arguments: Arguments, out: Output) -> Result<ExitCode, Refused> {
    if arguments.recipients.is_empty() && !arguments.recipients_in_header {
        let hint = Some("name them on the command line, or give -t for those of the message".into());
        return Err(Refused { hint, ..Refused::new(USAGE, "no recipients are named") });
    }
    let way = Way::of(path);
    let max_bytes = way.max_bytes().unwrap_or(READ_MAX_BYTES);
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
    let taken = way.send(&envelope, &content).await?;
    if arguments.verbose || out.json {
        let shown = out.show(&taken, |taken| format!("queued as {} for {} recipients", taken.id, taken.recipients));
        // It is queued, whether anybody reads that or not.
        drop(shown.or_else(|_| print("")));
    }
    Ok(ExitCode::SUCCESS)
}

/// The message, to the end of the input or to a line with nothing but a dot.
fn read(input: &mut impl BufRead, ignore_dots: bool, max_bytes: u64) -> Result<Vec<u8>, Refused> {
    let failed = |error: io::Error| Refused::new(TEMPORARY, format!("standard input cannot be read: {error}"));
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
        return Err(Refused { hint, ..Refused::new(DATA, format!("the message is larger than {max_bytes} octets")) });
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_by_its_name_and_by_the_word() {
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
