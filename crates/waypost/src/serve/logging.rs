//! The log: one line for each event, to standard error.
//!
//! Invariant: an event is one line, whatever a client puts into its values (threats.md 18).

use std::io::{self, IsTerminal, Write};

use anyhow::{Result, anyhow};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::log_writer::LogThread;
use crate::config::{LogFormat, LogOptions};

/// Starts the log. [`LogThread::begin`] makes it cheap; keep it until the process ends, since it writes the last lines.
pub fn start(log: &LogOptions) -> Result<LogThread> {
    let filter: Targets = log.level.get_ref().parse().map_err(|e| anyhow!("log.level: {e}"))?;
    let filter = without_noise(filter, log.level.get_ref());
    let ansi = io::stderr().is_terminal();
    let thread = LogThread::default();
    let (lines, before_panic, writer) = (thread.writer(), thread.writer(), thread.writer());
    let layer = match log.format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(move || lines.clone()).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(ansi).with_writer(move || OneLine { to: writer.clone(), ansi }).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().map_err(|e| anyhow!("cannot start the log: {e}"))?;
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before_panic.finish_lines();
        say(panic);
    }));
    Ok(thread)
}

/// Silences the warnings of the resolver's library about invalid DNS answers, which contain all their octets; the server logs what matters itself.
fn without_noise(filter: Targets, level: &str) -> Targets {
    if level.contains("hickory") {
        return filter;
    }
    let quiet = |filter: Targets, name: &str| match (filter.would_enable(name, &Level::WARN), filter.would_enable(name, &Level::DEBUG)) {
        (true, false) => filter.with_target(name.to_owned(), Level::ERROR),
        _ => filter,
    };
    ["hickory_net", "hickory_resolver", "hickory_proto"].into_iter().fold(filter, quiet)
}

/// Escapes line ends and terminal control sequences. The formatter writes one event at a time.
struct OneLine<W> {
    to: W,
    ansi: bool,
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if let Some((b'\n', body)) = event.split_last()
            && body.iter().all(|octet| (b' '..=b'~').contains(octet))
        {
            self.to.write_all(event)?;
            return Ok(event.len());
        }
        let text = String::from_utf8_lossy(event);
        self.to.write_all(one_line(&text, self.ansi).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn one_line(event: &str, ansi: bool) -> String {
    let body = event.strip_suffix('\n').unwrap_or(event);
    let mut line = String::with_capacity(event.len());
    for c in body.chars() {
        // The formatter escapes ESC in values; the remaining ones are its colours.
        if c.is_control() && !(ansi && c == '\u{1b}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolver_warnings_are_logged_only_on_request() {
        let is_shown = |level: &str| without_noise(level.parse().unwrap(), level).would_enable("hickory_net::dnssec", &Level::WARN);
        assert!(!is_shown("info") && !is_shown("warn") && is_shown("debug") && is_shown("info,hickory_net=warn"));
        assert!(!without_noise("off".parse().unwrap(), "off").would_enable("hickory_net", &Level::WARN));
    }

    #[test]
    fn an_event_is_one_line() {
        assert_eq!(one_line("INFO from=a\r\nINFO forged\u{9b}2J\n", false), "INFO from=a\\r\\nINFO forged\\u{9b}2J\n");
        assert_eq!(one_line("\u{1b}[2mINFO\u{1b}[0m\n", true), "\u{1b}[2mINFO\u{1b}[0m\n");
        assert_eq!(one_line("\u{1b}c\n", false), "\\u{1b}c\n");
    }
}
