//! Results: a line of JSON for each run, medians of rounds, tables, and the part of docs/benchmarks.md that is written from them.
//!
//! Invariant: a run that failed, and mail that did not arrive, are in every table, and make the benchmark fail.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::bench::Facts;

/// One run of one server.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Row {
    /// When the benchmark began (UTC).
    pub date: String,
    /// Processor, memory and kernel.
    pub machine: String,
    /// The group of cells.
    pub group: String,
    /// The cell.
    pub cell: String,
    /// The server.
    pub peer: String,
    /// Its version.
    pub version: String,
    /// The round, from 1.
    pub round: u32,
    /// Messages acknowledged.
    pub accepted: u64,
    /// Messages at the sink, each counted once.
    pub delivered: u64,
    /// Messages that arrived again.
    pub duplicates: u64,
    /// Refusals and broken connections at the client.
    pub failures: u64,
    /// The last of them.
    pub last_failure: String,
    /// How processor time was counted.
    pub cpu_by: String,
    /// Everything that was measured.
    pub figures: BTreeMap<String, f64>,
    /// Why there is no result.
    pub error: Option<String>,
}

impl Row {
    /// A run without a result.
    pub fn failed(error: &str) -> Self {
        Self { error: Some(error.to_owned()), ..Self::default() }
    }

    /// Sets its circumstances.
    pub fn at(&mut self, facts: &Facts, group: &str, peer: &str, version: &str, round: u32) -> &Self {
        self.date.clone_from(&facts.date);
        self.machine.clone_from(&facts.machine);
        group.clone_into(&mut self.group);
        peer.clone_into(&mut self.peer);
        version.clone_into(&mut self.version);
        self.round = round;
        self
    }

    /// What is shown while it runs.
    pub fn line(&self) -> String {
        if let Some(error) = &self.error {
            return format!("{} round {}: {} FAILED: {error}", self.group, self.round, self.peer);
        }
        let shown = COLUMNS.iter().filter_map(|column| Some(format!("{} {}", column.shown(*self.figures.get(column.name)?), column.unit)));
        let shown: Vec<String> = shown.collect();
        let late = self.accepted.saturating_sub(self.delivered);
        let late = if late > 0 { format!(", {late} LATE OR LOST") } else { String::new() };
        let failures = if self.failures > 0 { format!(", {} failures ({})", self.failures, self.last_failure) } else { String::new() };
        format!("{} round {}: {:<20} {:<16} {}{late}{failures}", self.group, self.round, self.cell, self.peer, shown.join(", "))
    }
}

struct Column {
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    digits: usize,
}

const fn column(name: &'static str, title: &'static str, unit: &'static str, digits: usize) -> Column {
    Column { name, title, unit, digits }
}

impl Column {
    fn shown(&self, value: f64) -> String {
        format!("{value:.*}", self.digits)
    }
}

/// The figures that tables show.
const COLUMNS: [Column; 20] = [
    column("messages_s", "messages/s", "messages/s", 0),
    column("cpu_ms", "CPU ms", "ms CPU", 3),
    column("accept_p50_ms", "accept p50 ms", "ms p50", 1),
    column("accept_p99_ms", "p99 ms", "ms p99", 1),
    column("syncs", "syncs", "syncs", 2),
    column("flushes", "flushes", "flushes", 2),
    column("disk_kib", "disk KiB", "KiB", 1),
    column("memory_mib", "memory MiB", "MiB", 1),
    column("held", "sessions held", "held", 0),
    column("session_kib", "KiB a session", "KiB a session", 1),
    column("restart_s", "restart s", "s to restart", 2),
    column("memory_restarted_mib", "MiB after", "MiB after the restart", 1),
    column("list_ms", "list ms", "ms for the first page", 0),
    column("idle_accept_p99_ms", "p99 idle ms", "ms p99 idle", 1),
    column("draining_accept_p99_ms", "p99 draining ms", "ms p99 draining", 1),
    column("drain_s", "drained/s", "drained/s", 0),
    column("drain_cpu_ms", "drain CPU ms", "ms CPU draining", 3),
    column("alone_p99_ms", "p99 alone ms", "ms p99 alone", 1),
    column("beside_p99_ms", "p99 beside a tarpit ms", "ms p99 beside a tarpit", 1),
    column("slow_connections", "connections to it", "connections to the tarpit", 0),
];

/// Reads results.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    let text = fs::read_to_string(path).with_context(|| format!("no results in {}", path.display()))?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("not a result: {line}"))).collect()
}

/// The middle of values.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().saturating_sub(1) / 2)?, sorted.get(sorted.len() / 2)?);
    Some((low + high) / 2.0)
}

/// The names of something in the order of their first rows.
pub fn in_order<'a>(rows: &'a [Row], name: impl Fn(&'a Row) -> &'a str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for row in rows {
        if !names.contains(&name(row)) {
            names.push(name(row));
        }
    }
    names
}

/// The median of a figure over the rounds.
pub fn figure(rows: &[Row], group: &str, cell: &str, peer: &str, name: &str) -> Option<f64> {
    let of_cell = rows.iter().filter(|row| row.error.is_none() && row.group == group && row.cell == cell && row.peer == peer);
    median(&of_cell.filter_map(|row| row.figures.get(name).copied()).collect::<Vec<_>>())
}

/// What is wrong with the results.
pub fn faults(rows: &[Row]) -> Vec<String> {
    let failed = rows.iter().filter(|row| row.error.is_some()).map(|row| format!("{}: {} failed", row.group, row.peer));
    let is_ours = |row: &&Row| row.peer.starts_with("waypost");
    let late = rows.iter().filter(is_ours).filter(|row| row.delivered < row.accepted);
    failed
        .chain(late.map(|row| format!("{}: {} of {} did not arrive in time", row.peer, row.accepted - row.delivered, row.accepted)))
        .collect()
}

/// The tables of all groups, aligned for a terminal; both forms are Markdown.
pub fn tables(rows: &[Row], ratios_only: bool) -> String {
    let mut text = String::new();
    for group in in_order(rows, |row| &row.group) {
        let of_group: Vec<Row> = rows.iter().filter(|row| row.group == group).cloned().collect();
        let _ = writeln!(text, "\n### {group}\n");
        for version in in_order(&of_group, |row| &row.version) {
            let peers: Vec<&str> = in_order(&of_group, |row| &row.peer)
                .into_iter()
                .filter(|peer| of_group.iter().any(|row| row.peer == *peer && row.version == version))
                .collect();
            let _ = writeln!(text, "- {}: {version}", peers.join(", "));
        }
        text.push('\n');
        if !ratios_only {
            text.push_str(&aligned(&figures_of(&of_group, group)));
        }
        let ratios = ratios_of(&of_group, group);
        if ratios.len() > 1 {
            text.push('\n');
            text.push_str(&aligned(&ratios));
        }
        for row in of_group.iter().filter(|row| row.error.is_some()) {
            let _ = writeln!(text, "\n{} failed in round {}: {}", row.peer, row.round, row.error.as_deref().unwrap_or_default());
        }
    }
    text
}

/// A row for each cell and server.
fn figures_of(rows: &[Row], group: &str) -> Vec<Vec<String>> {
    let columns: Vec<&Column> = COLUMNS.iter().filter(|column| rows.iter().any(|row| row.figures.contains_key(column.name))).collect();
    let head = ["cell", "server", "runs", "late"].into_iter().chain(columns.iter().map(|column| column.title));
    let mut table = vec![head.map(ToOwned::to_owned).collect::<Vec<_>>()];
    for cell in in_order(rows, |row| &row.cell) {
        for peer in in_order(rows, |row| &row.peer) {
            let runs: Vec<&Row> = rows.iter().filter(|row| row.cell == cell && row.peer == peer && row.error.is_none()).collect();
            if runs.is_empty() {
                continue;
            }
            let late: u64 = runs.iter().map(|row| row.accepted.saturating_sub(row.delivered)).sum();
            let shown =
                |column: &&Column| figure(rows, group, cell, peer, column.name).map_or_else(|| "-".into(), |value| column.shown(value));
            let first = [cell.to_owned(), peer.to_owned(), runs.len().to_string(), late.to_string()];
            table.push(first.into_iter().chain(columns.iter().map(shown)).collect());
        }
    }
    table
}

/// Ours beside every other server that was measured in the same way: messages/s and processor time.
fn ratios_of(rows: &[Row], group: &str) -> Vec<Vec<String>> {
    let mut table = vec![["cell", "ours", "beside", "messages/s", "CPU", "disk"].map(ToOwned::to_owned).to_vec()];
    let peers = in_order(rows, |row| &row.peer);
    for cell in in_order(rows, |row| &row.cell) {
        for ours in peers.iter().filter(|peer| peer.starts_with("waypost")) {
            let variant = ours.split_once(':').map_or("", |(_, variant)| variant);
            let same = |peer: &&str| !peer.starts_with("against") || peer.split_once(':').map_or("", |(_, variant)| variant) == variant;
            for other in peers.iter().filter(|peer| !peer.starts_with("waypost") && **peer != "null").filter(|peer| same(peer)) {
                let pair = |name: &str| Some((figure(rows, group, cell, ours, name)?, figure(rows, group, cell, other, name)?));
                let ratio =
                    |name: &str| pair(name).filter(|(_, b)| *b > 0.0).map_or_else(|| "-".into(), |(a, b)| format!("{:.2} x", a / b));
                let (rate, cpu, disk) = (ratio("messages_s"), ratio("cpu_ms"), ratio("disk_kib"));
                if rate != "-" || cpu != "-" {
                    table.push(vec![cell.to_owned(), (*ours).to_owned(), (*other).to_owned(), rate, cpu, disk]);
                }
            }
        }
    }
    table
}

fn aligned(table: &[Vec<String>]) -> String {
    let columns = table.first().map_or(0, Vec::len);
    let width = |n: usize| table.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(n, (cell, width))| if n < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule: String =
        widths.iter().enumerate().map(|(n, width)| format!("|{}{}", "-".repeat(width + 1), if n < 2 { "-" } else { ":" })).collect();
    let mut lines = table.iter().map(line);
    let head = lines.next().unwrap_or_default();
    format!("{head}{rule}|\n{}", lines.collect::<String>())
}

const BEGIN: &str = "<!-- results -->";
const END: &str = "<!-- end of results -->";

/// Writes tables and plots between the marks of a page.
pub fn write_page(rows: &[Row], plots: &[(String, String)], page: &Path) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("{} cannot be read", page.display()))?;
    let (head, rest) = text.split_once(BEGIN).with_context(|| format!("{} has no {BEGIN}", page.display()))?;
    let (_, tail) = rest.split_once(END).with_context(|| format!("{} has no {END}", page.display()))?;
    let mut results = String::new();
    for date in in_order(rows, |row| &row.date) {
        let machine = rows.iter().find(|row| row.date == date).map_or("", |row| &row.machine);
        let _ = writeln!(results, "{date} UTC on {machine}.");
    }
    for (title, file) in plots {
        let _ = writeln!(results, "\n![{title}](images/{file})");
    }
    fs::write(page, format!("{head}{BEGIN}\n\n{results}{}\n{END}{tail}", tables(rows, false)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(peer: &str, rate: f64) -> Row {
        let figures = BTreeMap::from([("messages_s".to_owned(), rate), ("cpu_ms".to_owned(), 1.0)]);
        Row {
            group: "forward".into(),
            cell: "1 KiB x 10".into(),
            peer: peer.into(),
            accepted: 10,
            delivered: 10,
            figures,
            ..Row::default()
        }
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn late_mail_of_ours_and_failed_runs_are_faults() {
        assert!(faults(&[row("waypost", 5.0), Row { delivered: 9, ..row("postfix", 5.0) }]).is_empty());
        assert_eq!(faults(&[Row { delivered: 9, ..row("waypost:cut", 5.0) }]).len(), 1);
        assert_eq!(faults(&[Row { error: Some("no".into()), ..row("postfix", 5.0) }]).len(), 1);
    }

    #[test]
    fn an_older_build_is_compared_with_the_same_mode() {
        let rows = [row("postfix", 5.0), row("waypost", 50.0), row("waypost:cut", 100.0), row("against", 25.0), row("against:cut", 50.0)];
        let ratios: Vec<String> = ratios_of(&rows, "forward").iter().skip(1).map(|row| row[1..4].join(" ")).collect();
        assert_eq!(
            ratios,
            ["waypost postfix 10.00 x", "waypost against 2.00 x", "waypost:cut postfix 20.00 x", "waypost:cut against:cut 2.00 x"]
        );
    }

    #[test]
    fn tables_show_failed_runs() {
        let text = tables(&[row("waypost", 5.0), Row { error: Some("no greeting".into()), ..row("postfix", 1.0) }], false);
        assert!(text.contains("postfix failed in round 0: no greeting") && text.contains("| 1 KiB x 10 | waypost |"), "{text}");
    }
}
