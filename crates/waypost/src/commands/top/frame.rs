//! One frame: what a look shows on a terminal of some size.
//!
//! Invariant: a frame has no more lines and columns than the terminal; only text that has been made one line is shown.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::look::Look;
use crate::output::span;

/// Lines of lanes at most, so that replies have room.
const LANES_MAX: usize = 8;

/// What the user has chosen.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// Text that lanes and replies must have.
    pub filter: String,
    /// Whether the filter is being typed.
    pub is_typing: bool,
    /// Whether the frame stands still.
    pub is_paused: bool,
    /// Whether the help is shown.
    pub has_help: bool,
    /// Why there is no newer look, if there is none.
    pub trouble: Option<String>,
    /// Whether the frame is printed, not shown: without keys.
    pub is_printed: bool,
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const WARN: Style = Style::new().fg(Color::Yellow);
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const GOOD: Style = Style::new().fg(Color::Green);

const HELP: &[&str] = &[
    "q        quit",
    "p        pause: the frame stands still until p is pressed again",
    "/        filter lanes and replies by a text; Enter keeps it, Esc removes it",
    "?        close this help",
    "",
    "flow     what happened in each minute: accepted are messages, delivered, deferred and failed are",
    "         recipients, refused are connections, senders, recipients and messages",
    "lane     recipients of one domain that wait or are being delivered, and the age of the oldest",
    "replies  the last outcomes, with the host's own reply; waypost trace shows the whole life of a message",
];

/// Returns the lines of a frame.
pub(super) fn lines(look: &Look, view: &View, width: u16, height: u16) -> Vec<Line<'static>> {
    let (width, height) = (usize::from(width), usize::from(height));
    let mut lines = header(look, view);
    if view.has_help {
        lines.push(Line::default());
        lines.extend(HELP.iter().map(|text| Line::raw(*text)));
    } else {
        lines.push(Line::default());
        lines.extend(flow(look, width));
        lines.push(Line::default());
        lines.extend(lanes(look, view, height));
        lines.push(Line::default());
        lines.extend(replies(look, view));
    }
    lines.truncate(height.saturating_sub(usize::from(!view.is_printed)));
    if !view.is_printed {
        lines.resize(height.saturating_sub(1), Line::default());
        lines.push(footer(view));
    }
    lines.into_iter().map(|line| fitted(line, width)).collect()
}

fn header(look: &Look, view: &View) -> Vec<Line<'static>> {
    let server = &look.server;
    let sessions: u64 = server.sessions_by_listener.values().sum();
    let kinds = server.sessions_by_listener.iter().filter(|(_, count)| **count > 0).map(|(kind, count)| format!("{kind} {count}"));
    let kinds = kinds.collect::<Vec<_>>().join(", ");
    let kinds = if kinds.is_empty() { kinds } else { format!(" ({kinds})") };
    let state = match (&view.trouble, view.is_paused) {
        (Some(trouble), _) => Span::styled(trouble.clone(), BAD),
        (None, true) => Span::styled("paused", WARN),
        (None, false) => Span::styled("running", GOOD),
    };
    let title = format!("waypost {} on {}  {}  ", server.version, look.hostname, clock(look.at_ms));
    let mut lines = vec![Line::from(vec![Span::styled(title, BOLD), state])];
    lines.push(Line::raw(format!(
        "sessions {sessions}{kinds}   out {} connections, {} workers, {} in flight",
        server.connections, server.workers, server.in_flight
    )));
    let totals = &look.totals;
    let waiting = totals.recipients.saturating_sub(totals.held + totals.set_aside);
    let mut queue = vec![Span::raw(format!("queue {waiting} waiting, {} held, {} set aside", totals.held, totals.set_aside))];
    if !look.pauses.is_empty() {
        let about = look.pauses.iter().map(|pause| mail::one_line(&pause.about)).collect::<Vec<_>>().join(", ");
        queue.push(Span::styled(format!("   paused {}: {about}", look.pauses.len()), WARN));
    }
    if server.bugs + server.signatures_broken > 0 {
        queue.push(Span::styled(format!("   {} bugs caught: see the log", server.bugs + server.signatures_broken), BAD));
    }
    lines.push(Line::from(queue));
    lines
}

/// The rows of the flow, in their order; the API gives them by name.
const FLOW: [&str; 5] = ["accepted", "delivered", "deferred", "failed", "refused"];

fn flow(look: &Look, width: usize) -> Vec<Line<'static>> {
    let heading = format!("{:<10}{:>12}{:>12}{:>12}   the last hour", "flow", "this minute", "last minute", "last hour");
    let mut lines = vec![Line::styled(heading, BOLD)];
    for name in FLOW {
        let minutes = look.server.last_hour.get(name).map(Vec::as_slice).unwrap_or_default();
        let at = |back: usize| minutes.iter().rev().nth(back).copied().unwrap_or_default();
        let sum: u64 = minutes.iter().sum();
        let style = match name {
            "failed" if sum > 0 => BAD,
            "deferred" if sum > 0 => WARN,
            _ => Style::new(),
        };
        let numbers = format!("{name:<10}{:>12}{:>12}{sum:>12}   ", at(0), at(1));
        let bars = bars(minutes, width.saturating_sub(numbers.len()));
        lines.push(Line::from(vec![Span::styled(numbers, style), Span::styled(bars, DIM)]));
    }
    lines
}

/// The last minutes as bars, as many as fit.
fn bars(minutes: &[u64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = minutes.iter().copied().max().unwrap_or_default().max(1);
    let skipped = minutes.len().saturating_sub(width);
    let bar = |count: &u64| {
        let place = usize::try_from(count.saturating_mul(7).div_ceil(most)).unwrap_or_default();
        if *count == 0 { ' ' } else { BARS.get(place).copied().unwrap_or('█') }
    };
    minutes.iter().skip(skipped).map(bar).collect()
}

fn lanes(look: &Look, view: &View, height: usize) -> Vec<Line<'static>> {
    let name = |lane: &Option<String>| lane.as_deref().map_or_else(|| "all other lanes".to_owned(), mail::one_line);
    let shown: Vec<_> = look.lanes.lanes.iter().filter(|lane| has(&[&name(&lane.lane)], &view.filter)).collect();
    let ages: Vec<String> =
        look.lanes.ages.iter().filter(|age| age.recipients > 0).map(|age| format!("{} {}", age.age, age.recipients)).collect();
    let ages = if ages.is_empty() { String::new() } else { format!("   by age: {}", ages.join(", ")) };
    let mut lines =
        vec![Line::from(vec![Span::styled(format!("{:<40}{:>10}{:>10}", "lane", "waiting", "oldest"), BOLD), Span::styled(ages, DIM)])];
    let most = LANES_MAX.min((height / 5).max(1));
    for lane in shown.iter().take(most) {
        let line = format!("{:<40}{:>10}{:>10}", cut(&name(&lane.lane), 39), lane.recipients, span(lane.oldest_ms));
        lines.push(if lane.oldest_ms > 4 * 3_600_000 { Line::styled(line, WARN) } else { Line::raw(line) });
    }
    match shown.len().checked_sub(most) {
        Some(more) if more > 0 => lines.push(Line::styled(format!("and {more} more lanes"), DIM)),
        _ if shown.is_empty() && view.filter.is_empty() => lines.push(Line::styled("nothing waits", DIM)),
        _ if shown.is_empty() => lines.push(Line::styled("no lane has this text", DIM)),
        _ => {}
    }
    lines
}

fn replies(look: &Look, view: &View) -> Vec<Line<'static>> {
    let mut lines = vec![Line::styled("last replies", BOLD)];
    let Some(replies) = &look.replies else {
        lines.push(Line::styled("the server keeps no history ([history] enabled), so there are no replies to show", DIM));
        return lines;
    };
    let shown: Vec<_> = replies.iter().filter(|r| has(&[&r.kind, &r.to, &r.host, &r.text], &view.filter)).collect();
    for reply in &shown {
        let style = match reply.kind.as_str() {
            "delivered" => GOOD,
            "deferred" => WARN,
            _ => BAD,
        };
        let host = if reply.host.is_empty() { String::new() } else { format!("{}: ", reply.host) };
        lines.push(Line::from(vec![
            Span::styled(format!("{} ", clock(reply.at_ms)), DIM),
            Span::styled(format!("{:<10}", reply.kind), style),
            Span::raw(format!("{}  ", cut(&reply.to, 34))),
            Span::styled(format!("{host}{}", reply.text), DIM),
        ]));
    }
    if shown.is_empty() {
        let text = if view.filter.is_empty() { "no attempts yet" } else { "no reply has this text" };
        lines.push(Line::styled(text, DIM));
    }
    lines
}

fn footer(view: &View) -> Line<'static> {
    if view.is_typing {
        return Line::from(vec![Span::styled("filter: ", BOLD), Span::raw(view.filter.clone()), Span::styled("▏", BOLD)]);
    }
    let filter = if view.filter.is_empty() { String::new() } else { format!("   filter: {}", view.filter) };
    Line::from(vec![Span::styled("q quit   p pause   / filter   ? help", DIM), Span::styled(filter, WARN)])
}

/// Whether one of the texts has the filter in it, in upper or lower case.
fn has(texts: &[&str], filter: &str) -> bool {
    let filter = filter.to_lowercase();
    texts.iter().any(|text| text.to_lowercase().contains(&filter))
}

/// The time of day in UTC: `18:04:59`.
fn clock(at_ms: i64) -> String {
    let s = at_ms.div_euclid(1000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// Cuts a text to some columns.
fn cut(text: &str, columns: usize) -> String {
    if columns == 0 {
        return String::new();
    }
    let (mut cut, mut used) = (String::new(), 0);
    for c in text.chars() {
        let wide = Span::raw(c.to_string()).width();
        if used + wide > columns {
            cut.pop();
            cut.push('…');
            break;
        }
        used += wide;
        cut.push(c);
    }
    cut
}

/// Cuts a line to some columns.
fn fitted(line: Line<'static>, width: usize) -> Line<'static> {
    let mut left = width;
    let style = line.style;
    let mut spans = Vec::with_capacity(line.spans.len());
    for part in line.spans {
        let text = cut(&part.content, left);
        left = left.saturating_sub(Span::raw(text.as_str()).width());
        spans.push(Span::styled(text, part.style));
    }
    Line::from(spans).style(style)
}

#[cfg(test)]
mod tests;
