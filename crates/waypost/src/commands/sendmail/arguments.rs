//! The command line of sendmail, as it has grown since 1983: `-oi`, `-fADDR`, `-t -i`, `-bs`.
//!
//! RFC 3461 s.4 (-N, -R, -V). Invariant: what Postfix's sendmail(1) takes is taken; what it ignores is ignored; what would mean something that is not
//! done here is refused.

use std::path::PathBuf;

/// What is to be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Take a message from standard input.
    #[default]
    Deliver,
    /// SMTP on standard input and output.
    Dialogue,
    /// List the queue.
    List,
    /// Try now what waits.
    Flush,
    /// Rebuild the database of aliases, which is no such thing here.
    Aliases,
}

/// The command line, understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// What is to be done.
    pub mode: Mode,
    /// The configuration file, where one was named.
    pub config: Option<PathBuf>,
    /// Whether the recipients of the header section are meant.
    pub recipients_in_header: bool,
    /// Whether a line with nothing but a dot is part of the message.
    pub ignore_dots: bool,
    /// The envelope's sender; empty for the null reverse-path.
    pub sender: Option<String>,
    /// The user's name, for people.
    pub full_name: Option<String>,
    /// When a report is wanted.
    pub notify: Option<String>,
    /// How much of the message it returns.
    pub ret: Option<String>,
    /// The sender's own name for the message.
    pub envid: Option<String>,
    /// Whether to say what became of it.
    pub verbose: bool,
    /// The recipients.
    pub recipients: Vec<String>,
}

/// Options that take a value, in the same word or in the next one.
const VALUED: &str = "ABCFLNORVXfhopr";

/// Options whose value, if any, stands in the same word.
const ATTACHED: &str = "bdeq";

/// Reads the words after the name of the program, by which name it was called.
///
/// # Errors
/// What makes no sense.
pub fn parse(called: &str, words: &[String]) -> Result<Arguments, String> {
    let mut read = Arguments::default();
    match called {
        "mailq" => read.mode = Mode::List,
        "newaliases" => read.mode = Mode::Aliases,
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

/// The options of one word.
fn options_of<'a>(read: &mut Arguments, mut options: &str, words: &mut impl Iterator<Item = &'a String>) -> Result<(), String> {
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
            'I' => read.mode = Mode::Aliases,
            // What other sendmails know and nobody needs.
            'G' | 'U' | 'c' | 'm' | 'n' | 's' | 'x' => {}
            other => return Err(format!("-{other} is no option")),
        }
        options = rest;
    }
    Ok(())
}

fn valued(read: &mut Arguments, option: char, value: String) -> Result<(), String> {
    match option {
        'f' | 'r' => read.sender = Some(value),
        'F' => read.full_name = Some(value),
        'C' => read.config = Some(value.into()),
        'N' => read.notify = Some(one_of_notify(value)?),
        'R' => match value.to_ascii_lowercase().as_str() {
            "full" | "hdrs" => read.ret = Some(value),
            _ => return Err(format!("-R {value}: it is full or hdrs")),
        },
        'V' => read.envid = Some(value),
        // -oi and -oA as other sendmails have them; -O the same with a long name.
        'o' if value == "i" => read.ignore_dots = true,
        'O' if value.eq_ignore_ascii_case("IgnoreDots=true") || value.eq_ignore_ascii_case("IgnoreDots") => read.ignore_dots = true,
        'o' if value == "v" => read.verbose = true,
        'B' if !["7bit", "8bitmime"].contains(&value.to_ascii_lowercase().as_str()) => {
            return Err(format!("-B {value}: it is 7BIT or 8BITMIME"));
        }
        _ => {}
    }
    Ok(())
}

fn one_of_notify(value: String) -> Result<String, String> {
    match mail::Notify::parse(&value) {
        Some(_) => Ok(value),
        None => Err(format!("-N {value}: it is never, or a list of success, failure and delay")),
    }
}

fn attached(read: &mut Arguments, option: char, rest: &str) -> Result<(), String> {
    match (option, rest) {
        ('b', "m") => read.mode = Mode::Deliver,
        ('b', "s") => read.mode = Mode::Dialogue,
        ('b', "p") => read.mode = Mode::List,
        ('b', "i") => read.mode = Mode::Aliases,
        ('b', "d" | "D" | "l") => return Err(format!("-b{rest} would start a server: that is waypost serve")),
        ('b', other) => return Err(format!("-b{other} is not done here; -bm, -bs, -bp and -bi are")),
        ('q', _) => read.mode = Mode::Flush,
        // -d for debugging, -e for how errors are told.
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, String> {
        parse("sendmail", &line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_programs_say_is_understood() {
        let plain = Arguments { ignore_dots: true, ..Arguments::default() };
        let to = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<String>>();
        for line in ["-i", "-oi", "-o i", "-oem -oi", "-odb -i", "-em -i", "-O IgnoreDots=true", "-B8BITMIME -i", "-B 7BIT -oi -L tag -p x"]
        {
            assert_eq!(read(line), Ok(plain.clone()), "{line}");
        }
        let php = Arguments { recipients_in_header: true, ..plain.clone() };
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
    fn modes_are_chosen_by_option_or_name() {
        for (line, mode) in
            [("-bs", Mode::Dialogue), ("-bm x", Mode::Deliver), ("-bp", Mode::List), ("-q", Mode::Flush), ("-bi", Mode::Aliases)]
        {
            assert_eq!(read(line).unwrap().mode, mode, "{line}");
        }
        assert_eq!(parse("mailq", &[]).unwrap().mode, Mode::List);
        assert_eq!(parse("newaliases", &[]).unwrap().mode, Mode::Aliases);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["-z", "-f", "-bd", "-bv", "-b", "-N sometimes", "-R some", "-B 9bit", "-t9"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
