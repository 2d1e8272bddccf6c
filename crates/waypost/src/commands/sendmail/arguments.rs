//! Parses the command line of sendmail: `-oi`, `-fADDR`, `-t -i`, `-bs`.
//!
//! RFC 3461 s.4 (-N, -R, -V). Invariant: accepts what Postfix's sendmail(1) accepts and ignores what it ignores; an option with an effect that
//! Waypost does not offer is refused.

use std::path::PathBuf;

/// What to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SendmailMode {
    /// Send a message from standard input.
    #[default]
    Deliver,
    /// SMTP on standard input and output.
    Dialogue,
    /// List the queue.
    List,
    /// Retry the queue now.
    Flush,
    /// Rebuild the alias database, which does nothing here.
    Aliases,
}

/// The parsed command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SendmailArguments {
    /// What to do.
    pub mode: SendmailMode,
    /// The configuration file, if given.
    pub config: Option<PathBuf>,
    /// Whether to send to the recipients in the header section.
    pub recipients_in_header: bool,
    /// Whether a line with only a dot is part of the message.
    pub ignore_dots: bool,
    /// The envelope sender; empty for the null reverse-path.
    pub sender: Option<String>,
    /// The sender's display name.
    pub full_name: Option<String>,
    /// When to send a DSN.
    pub notify: Option<String>,
    /// How much of the message a DSN returns.
    pub ret: Option<String>,
    /// The sender's own id of the message.
    pub envid: Option<String>,
    /// Whether to print the queue ID.
    pub verbose: bool,
    /// The recipients.
    pub recipients: Vec<String>,
}

/// Options with a value, in the same word or the next.
const VALUED: &str = "ABCFLNORVXfhopr";

/// Options with an optional value in the same word.
const ATTACHED: &str = "bdeq";

/// Parses the arguments of a program started under the name `called`.
///
/// # Errors
/// An unknown option, or an invalid value.
pub fn parse(called: &str, words: &[String]) -> Result<SendmailArguments, String> {
    let mut read = SendmailArguments::default();
    match called {
        "mailq" => read.mode = SendmailMode::List,
        "newaliases" => read.mode = SendmailMode::Aliases,
        _ => {}
    }
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix('-') {
            Some("-") => {
                read.recipients.extend(words.by_ref().cloned());
                break;
            }
            Some(options) if !options.is_empty() => options_of(&mut read, options, &mut words)?,
            _ => read.recipients.push(word.clone()),
        }
    }
    Ok(read)
}

/// Parses the options of one word.
fn options_of<'a>(read: &mut SendmailArguments, mut options: &str, words: &mut impl Iterator<Item = &'a String>) -> Result<(), String> {
    while let Some(option) = options.chars().next() {
        let rest = options.get(option.len_utf8()..).unwrap_or_default();
        if VALUED.contains(option) {
            let value = match rest {
                "" => words.next().cloned().ok_or_else(|| format!("-{option} needs a value"))?,
                rest => rest.to_owned(),
            };
            return valued(read, option, value);
        }
        if ATTACHED.contains(option) {
            return attached(read, option, rest);
        }
        match option {
            't' => read.recipients_in_header = true,
            'i' => read.ignore_dots = true,
            'v' => read.verbose = true,
            'I' => read.mode = SendmailMode::Aliases,
            // Options of other sendmails, without an effect here.
            'G' | 'U' | 'c' | 'm' | 'n' | 's' | 'x' => {}
            other => return Err(format!("-{other} is not an option")),
        }
        options = rest;
    }
    Ok(())
}

fn valued(read: &mut SendmailArguments, option: char, value: String) -> Result<(), String> {
    match option {
        'f' | 'r' => read.sender = Some(value),
        'F' => read.full_name = Some(value),
        'C' => read.config = Some(value.into()),
        'N' => read.notify = Some(one_of_notify(value)?),
        'R' => match value.to_ascii_lowercase().as_str() {
            "full" | "hdrs" => read.ret = Some(value),
            _ => return Err(format!("-R {value} is invalid: use full or hdrs")),
        },
        'V' => read.envid = Some(value),
        // -O has the options of -o under long names.
        'o' if value == "i" => read.ignore_dots = true,
        'O' if value.eq_ignore_ascii_case("IgnoreDots=true") || value.eq_ignore_ascii_case("IgnoreDots") => read.ignore_dots = true,
        'o' if value == "v" => read.verbose = true,
        'B' if !["7bit", "8bitmime"].contains(&value.to_ascii_lowercase().as_str()) => {
            return Err(format!("-B {value} is invalid: use 7BIT or 8BITMIME"));
        }
        _ => {}
    }
    Ok(())
}

fn one_of_notify(value: String) -> Result<String, String> {
    match mail::Notify::parse(&value) {
        Some(_) => Ok(value),
        None => Err(format!("-N {value} is invalid: use never, or a list of success, failure and delay")),
    }
}

fn attached(read: &mut SendmailArguments, option: char, rest: &str) -> Result<(), String> {
    match (option, rest) {
        ('b', "m") => read.mode = SendmailMode::Deliver,
        ('b', "s") => read.mode = SendmailMode::Dialogue,
        ('b', "p") => read.mode = SendmailMode::List,
        ('b', "i") => read.mode = SendmailMode::Aliases,
        ('b', "d" | "D" | "l") => return Err(format!("-b{rest} starts a server, which is `waypost serve` here")),
        ('b', other) => return Err(format!("-b{other} is not supported; -bm, -bs, -bp and -bi are")),
        ('q', _) => read.mode = SendmailMode::Flush,
        // -d: debugging; -e: how errors are reported.
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<SendmailArguments, String> {
        parse("sendmail", &line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn command_lines_of_common_programs_parse() {
        let plain = SendmailArguments { ignore_dots: true, ..SendmailArguments::default() };
        let to = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<String>>();
        for line in ["-i", "-oi", "-o i", "-oem -oi", "-odb -i", "-em -i", "-O IgnoreDots=true", "-B8BITMIME -i", "-B 7BIT -oi -L tag -p x"]
        {
            assert_eq!(read(line), Ok(plain.clone()), "{line}");
        }
        let php = SendmailArguments { recipients_in_header: true, ..plain.clone() };
        for line in ["-t -i", "-ti", "-it", "-oi -t", "-tin"] {
            assert_eq!(read(line), Ok(php.clone()), "{line}");
        }
        let cron = read("-FCronDaemon -i -B8BITMIME -oem root").unwrap();
        assert_eq!((cron.full_name.as_deref(), cron.recipients), (Some("CronDaemon"), to(&["root"])));
        let git = read("-f me@example.com -i a@x.test b@x.test").unwrap();
        assert_eq!((git.sender.as_deref(), git.recipients), (Some("me@example.com"), to(&["a@x.test", "b@x.test"])));
        assert_eq!(read("-fme@example.com -- -odd@x.test").unwrap().recipients, to(&["-odd@x.test"]));
        let dsn = read("-Nfailure,delay -Rhdrs -V id7 x@y.test").unwrap();
        assert_eq!((dsn.notify.as_deref(), dsn.ret.as_deref(), dsn.envid.as_deref()), (Some("failure,delay"), Some("hdrs"), Some("id7")));
        assert_eq!(read("-f <> x@y.test").unwrap().sender.as_deref(), Some("<>"));
    }

    #[test]
    fn option_or_program_name_chooses_the_mode() {
        for (line, mode) in [
            ("-bs", SendmailMode::Dialogue),
            ("-bm x", SendmailMode::Deliver),
            ("-bp", SendmailMode::List),
            ("-q", SendmailMode::Flush),
            ("-bi", SendmailMode::Aliases),
        ] {
            assert_eq!(read(line).unwrap().mode, mode, "{line}");
        }
        assert_eq!(parse("mailq", &[]).unwrap().mode, SendmailMode::List);
        assert_eq!(parse("newaliases", &[]).unwrap().mode, SendmailMode::Aliases);
    }

    #[test]
    fn invalid_options_are_refused() {
        for line in ["-z", "-f", "-bd", "-bv", "-b", "-N sometimes", "-R some", "-B 9bit", "-t9"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
