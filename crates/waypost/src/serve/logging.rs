//! The log: one line a decision, to standard error.
//!
//! Invariant: an event is one line, whatever a peer put into its values (threats.md 18).

use std::io::{self, IsTerminal, Write};

use anyhow::{Result, anyhow};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Log, LogFormat};

/// Begins to log.
pub fn start(log: &Log) -> Result<()> {
    let filter: Targets = log.level.get_ref().parse().map_err(|e| anyhow!("log.level: {e}"))?;
    let ansi = io::stderr().is_terminal();
    let layer = match log.format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(io::stderr).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(ansi).with_writer(move || OneLine { to: io::stderr(), ansi }).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().map_err(|e| anyhow!("the log cannot be started: {e}"))
}

/// Escapes what would break a line or move a terminal's cursor. The formatter writes an event at a time.
struct OneLine<W> {
    to: W,
    ansi: bool,
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
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
        // The formatter escapes ESC in values itself; what is left are its own colours.
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
    fn an_event_is_one_line() {
        assert_eq!(one_line("INFO from=a\r\nINFO forged\u{9b}2J\n", false), "INFO from=a\\r\\nINFO forged\\u{9b}2J\n");
        assert_eq!(one_line("\u{1b}[2mINFO\u{1b}[0m\n", true), "\u{1b}[2mINFO\u{1b}[0m\n");
        assert_eq!(one_line("\u{1b}c\n", false), "\\u{1b}c\n");
    }
}
