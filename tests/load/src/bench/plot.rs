//! Plots of results: bars for each cell and server, drawn by gnuplot as SVG.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::bench::results::{Row, figure, in_order};
use crate::world::run;

/// What is drawn: group, figure, title, file, and whether its axis is logarithmic.
const PLOTS: [(&str, &str, &str, &str, bool); 9] = [
    ("forward", "messages_s", "Forwarded messages a second", "bench-forward-rate.svg", true),
    ("forward", "cpu_ms", "Processor time for a forwarded message, ms", "bench-forward-cpu.svg", true),
    ("forward", "disk_kib", "Written to disk for a forwarded message, KiB", "bench-forward-disk.svg", true),
    ("submit", "messages_s", "Submitted messages a second, with TLS and a login", "bench-submit-rate.svg", true),
    ("submit", "cpu_ms", "Processor time for a submitted message, ms", "bench-submit-cpu.svg", true),
    ("idle", "session_kib", "Memory of an idle session, KiB", "bench-idle.svg", false),
    ("backlog", "drain_s", "Messages a second while a backlog is delivered", "bench-backlog.svg", false),
    ("tarpit", "beside_p99_ms", "p99 of a fast target beside a tarpit, ms", "bench-tarpit.svg", true),
    ("full", "messages_s", "Forwarded messages a second with SPF, DKIM, DMARC and SRS", "bench-full.svg", false),
];

/// Draws into a folder; returns titles and file names.
pub fn draw(rows: &[Row], dir: &Path) -> Result<Vec<(String, String)>> {
    let mut drawn = Vec::new();
    for (group, name, title, file, logarithmic) in PLOTS {
        let of_group: Vec<Row> = rows.iter().filter(|row| row.group == group).cloned().collect();
        let Some(data) = data(&of_group, group, name) else { continue };
        let peers = in_order(&of_group, |row| &row.peer).len();
        let least = of_group.iter().filter_map(|row| row.figures.get(name).copied()).filter(|value| *value > 0.0).min_by(f64::total_cmp);
        let script = script(title, &dir.join(file), peers, least.filter(|_| logarithmic).map(|least| least / 2.0));
        let path = std::env::temp_dir().join(format!("waypost-{file}.gnuplot"));
        fs::write(&path, format!("$data << END\n{data}END\n{script}"))?;
        run(Command::new("gnuplot").arg(&path))?;
        fs::remove_file(&path)?;
        drawn.push((title.to_owned(), file.to_owned()));
    }
    Ok(drawn)
}

/// A line for each cell, a column for each server.
fn data(rows: &[Row], group: &str, name: &str) -> Option<String> {
    let peers = in_order(rows, |row| &row.peer);
    let mut text = format!("cell {}\n", peers.iter().map(|peer| format!("\"{peer}\"")).collect::<Vec<_>>().join(" "));
    let mut found = false;
    for cell in in_order(rows, |row| &row.cell).into_iter().filter(|cell| !cell.is_empty()) {
        let _ = write!(text, "\"{cell}\"");
        for peer in &peers {
            let value = figure(rows, group, cell, peer, name);
            found |= value.is_some();
            let _ = write!(text, " {}", value.map_or_else(|| "NaN".to_owned(), |value| format!("{value:.3}")));
        }
        text.push('\n');
    }
    found.then_some(text)
}

/// `floor`: where a logarithmic axis begins.
fn script(title: &str, file: &Path, peers: usize, floor: Option<f64>) -> String {
    let axis = floor.map_or_else(|| "set yrange [0:*]\n".to_owned(), |floor| format!("set logscale y\nset yrange [{floor:.3}:*]\n"));
    format!(
        "set terminal svg size 900,420 dynamic background rgb 'white' font 'sans-serif,13'\nset output '{}'\nset title \"{title}\"\n{axis}\
         set style data histogram\nset style histogram clustered gap 1\nset style fill solid 0.85 border -1\nset grid ytics\nset key outside top right\n\
         set xtics rotate by -20\nplot for [i=2:{}] $data using i:xtic(1) title columnheader(i)\n",
        file.display(),
        peers + 1
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        let row = |peer: &str, name: &str| Row {
            group: "idle".into(),
            cell: "1000 plain".into(),
            peer: peer.into(),
            figures: BTreeMap::from([(name.to_owned(), 6.5)]),
            ..Row::default()
        };
        let rows = [row("waypost", "session_kib"), row("postfix", "held")];
        assert_eq!(data(&rows, "idle", "session_kib").unwrap(), "cell \"waypost\" \"postfix\"\n\"1000 plain\" 6.500 NaN\n");
        assert_eq!(data(&rows, "idle", "cpu_ms"), None);
    }
}
