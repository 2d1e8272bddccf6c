//! `waypost trace`: the life of a message, step by step, or the messages that a clue finds.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Result;
use control_api::api::{FoundMessage, FoundPage};
use events::{Event, EventKind, Level, StoryLine, duration, plain, tell};
use serde::Serialize;

use super::{EventOf, EventsOf, coloured, follow, moment};
use crate::cli::TraceArgs;
use crate::commands::node::name_other_nodes;
use crate::output::{BOLD, DIM, GOOD, Output, WARN, styled, table};
use crate::transport::{Transport, segment};

/// Columns of a line on a terminal.
const WIDTH: usize = 80;

/// Columns of time and step before an entry.
const MARGIN: usize = 24;

/// Maximum columns of an address in a list on a terminal.
const ADDRESS_MAX: usize = 18;

/// Maximum columns of a result in a list on a terminal.
const RESULT_MAX: usize = 12;

/// The answer in JSON.
#[derive(Debug, Serialize)]
struct Traced<'a> {
    /// The messages, newest first.
    messages: &'a [FoundMessage],
    /// The events, if there is one message.
    events: Option<&'a [EventOf]>,
    /// Whether there are more messages.
    has_more: bool,
    now_ms: i64,
}

/// Finds messages and shows them.
pub async fn trace(api: &mut Transport, args: TraceArgs, out: Output) -> Result<ExitCode> {
    let clue = args.clue.join(" ");
    let since_ms = args.since.as_deref().map(|text| moment::since(text, net::Clock::system().now_ms())).transpose()?;
    let query = [("clue", Some(clue.clone())), ("since_ms", since_ms.map(|ms| ms.to_string())), ("limit", Some(args.limit.to_string()))];
    let found: FoundPage = api.query("/api/v1/history/messages", &query).await?;
    let is_terminal = std::io::stdout().is_terminal();
    let one = match found.items.as_slice() {
        [FoundMessage { queue_id: Some(id), .. }] if found.next_cursor.is_none() => {
            Some((id.clone(), api.get::<EventsOf>(&format!("/api/v1/history/messages/{}", segment(id))).await?))
        }
        _ => None,
    };
    let events = one.as_ref().map(|(_, page)| page.items.as_slice());
    let traced = Traced { messages: &found.items, events, has_more: found.next_cursor.is_some(), now_ms: found.now_ms };
    if !(args.follow && out.json) {
        out.show(&traced, |traced| shown(traced, &clue, is_terminal))?;
    }
    if !out.json {
        name_other_nodes(api, "this is the history", "what others did is in theirs").await;
    }
    if args.follow {
        let last_id = events.and_then(<[EventOf]>::last).map(|item| item.id.to_string());
        let clue = one.map_or(clue, |(id, _)| id);
        follow(api, &[("clue", Some(clue)), ("after", last_id)], out.json).await?;
    }
    Ok(if found.items.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn shown(traced: &Traced<'_>, clue: &str, is_terminal: bool) -> String {
    match (traced.messages, traced.events) {
        ([], _) => format!(
            "{} {}\n  {}",
            styled(WARN, "nothing found for"),
            plain(clue),
            styled(DIM, "the history begins when the server first runs with it, and ends after history.days")
        ),
        ([message], Some(events)) => timeline(message, events, traced.now_ms, is_terminal),
        (messages, _) => list(messages, traced.has_more, is_terminal),
    }
}

/// The result of a message in one word.
fn result(name: &str) -> (Level, String) {
    use EventKind::*;
    let Some(kind) = EventKind::of_name(name) else { return (Level::Info, plain(name)) };
    let word = match kind {
        MessageAccepted => "waiting",
        MessageHandedOver | Delivered | DeliveredLate => "delivered",
        MessageHeld => "held",
        MessageRefused | SenderRefused | RecipientRefused | ConnectionRefused | LoginRefused => "refused",
        MessageNotStored | ContentNotStored | ContentDeferred | Deferred | HeldBack | UnderWay | InDoubt => "deferred",
        Failed => "failed",
        Dropped => "dropped",
        Released => "released",
        other => other.words(),
    };
    (kind.level(), word.to_owned())
}

fn sender(message: &FoundMessage) -> String {
    match message.from.as_deref() {
        None => String::new(),
        Some("") => "<>".into(),
        Some(from) => plain(from),
    }
}

/// The first recipient within so many columns, and the number of the others.
fn recipients(message: &FoundMessage, max: usize) -> String {
    match message.to.as_slice() {
        [] => String::new(),
        [one] => short(plain(one), max),
        [one, rest @ ..] => {
            let more = format!(" +{}", rest.len());
            format!("{}{more}", short(plain(one), max.saturating_sub(more.len())))
        }
    }
}

fn short(text: String, max: usize) -> String {
    if text.chars().count() <= max { text } else { text.chars().take(max.saturating_sub(1)).chain(['…']).collect() }
}

fn list(messages: &[FoundMessage], has_more: bool, is_terminal: bool) -> String {
    let (address_max, result_max) = if is_terminal { (ADDRESS_MAX, RESULT_MAX) } else { (usize::MAX, usize::MAX) };
    let row = |message: &FoundMessage| {
        let id = message.queue_id.clone().unwrap_or_else(|| "-".into());
        // The year is clear, and the line is short.
        let time = moment::time(message.at_ms).get(5..16).unwrap_or_default().to_owned();
        vec![time, id, short(sender(message), address_max), recipients(message, address_max), short(result(&message.result).1, result_max)]
    };
    let rows: Vec<Vec<String>> = messages.iter().map(row).collect();
    let mut lines: Vec<String> = table(&["time (UTC)", "id", "from", "to", "result"], &rows).lines().map(str::to_owned).collect();
    // Below a message that was not delivered, why.
    for (place, message) in messages.iter().enumerate().rev() {
        let why = message.reply.as_ref().or(message.reason.as_ref());
        let (level, word) = result(&message.result);
        if let Some(why) = why.filter(|_| word != "delivered" && word != "waiting") {
            let why = format!("             {}", plain(why));
            let why = if is_terminal { short(why, WIDTH) } else { why };
            lines.insert((place + 2).min(lines.len()), if level == Level::Info { styled(DIM, why) } else { coloured(level, &why) });
        }
    }
    if has_more {
        lines.push(styled(DIM, "there are more: --limit N shows more, --since 2d fewer"));
    }
    lines.join("\n")
}

fn timeline(message: &FoundMessage, items: &[EventOf], now_ms: i64, is_terminal: bool) -> String {
    let (level, word) = result(&message.result);
    let word = if word == "delivered" { styled(GOOD, word) } else { coloured(level, &word) };
    let mut lines = vec![format!("{}  {word}", styled(BOLD, message.queue_id.as_deref().unwrap_or_default()))];
    let mut field = |name: &str, value: String| lines.push(format!("  {name:<12}{value}"));
    field("from", sender(message));
    message.to.iter().for_each(|to| field("to", plain(to)));
    let targets = targets(items);
    if !targets.is_empty() {
        field("leads to", targets.join(", "));
    }
    message.message_id.iter().for_each(|id| field("Message-ID", format!("<{}>", plain(id))));
    let ago = match now_ms - message.at_ms {
        ..1000 => "just now".into(),
        ms => format!("{} ago", duration(ms)),
    };
    field("arrived", format!("{} UTC, {ago}", moment::time(message.at_ms)));
    lines.push(String::new());
    let (mut before_ms, mut day) = (None, moment::day(message.at_ms));
    for entry in tell(items.iter().map(|item| &item.event)) {
        let today = moment::day(entry.at_ms);
        if today != day {
            lines.push(styled(DIM, &today));
            day = today;
        }
        let step = before_ms.map_or_else(String::new, |before: i64| format!("+{}", duration(entry.at_ms - before)));
        before_ms = Some(entry.at_ms);
        let margin = format!("{}  {step:<width$}", moment::clock(entry.at_ms), width = MARGIN - 14);
        let mut title = wrapped(&entry.title, is_terminal).into_iter();
        lines.push(format!("{}{}", styled(DIM, margin), coloured(entry.level, &title.next().unwrap_or_default())));
        lines.extend(title.map(|more| format!("{:MARGIN$}{}", "", coloured(entry.level, &more))));
        for line in &entry.lines {
            let (text, paint): (String, fn(&str) -> String) = match line {
                StoryLine::Plain(text) => (text.clone(), |text| styled(DIM, text)),
                StoryLine::Reply(text) => (format!("\"{text}\""), str::to_owned),
                StoryLine::Advice(text) => (format!("what to do: {text}"), |text| styled(BOLD, text)),
            };
            lines.extend(wrapped(&text, is_terminal).iter().map(|part| format!("{:MARGIN$}{}", "", paint(part))));
        }
    }
    lines.join("\n")
}

/// The mailboxes that the message was for, if they are others than those that the sender named.
fn targets(items: &[EventOf]) -> Vec<String> {
    let of = |event: &Event| event.target.as_deref().filter(|target| !event.to.iter().any(|to| to == target)).map(plain);
    let mut targets: Vec<String> = items.iter().filter_map(|item| of(&item.event)).collect();
    targets.sort();
    targets.dedup();
    targets
}

/// Breaks a text between words for a terminal.
fn wrapped(text: &str, is_terminal: bool) -> Vec<String> {
    if !is_terminal {
        return vec![text.to_owned()];
    }
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let room = WIDTH - MARGIN;
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::Fact;

    fn bare(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    fn message(result: EventKind) -> FoundMessage {
        FoundMessage {
            queue_id: Some("6h22d211fvjnf".into()),
            at_ms: 1_795_847_308_000,
            from: Some("a-very-long-address@of-a-long-name.example.net".into()),
            to: vec!["shop@example.test".into(), "me@example.test".into()],
            result: result.name().into(),
            reason: (result == EventKind::Failed).then(|| "the mailbox does not exist ".repeat(5)),
            ..FoundMessage::default()
        }
    }

    #[test]
    fn a_list_fits_a_terminal_and_says_why() {
        let none = FoundMessage { queue_id: None, ..message(EventKind::Failed) };
        let text = bare(&list(&[message(EventKind::Delivered), none], true, true));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let want = "time (UTC)   id             from                to                  result
11-28 06:28  6h22d211fvjnf  a-very-long-addre…  shop@example.t… +1  delivered
";
        assert!(text.starts_with(want), "{text}");
        assert!(text.contains("\n             the mailbox does not exist the"), "{text}");
    }

    #[test]
    fn a_timeline_fits_a_terminal() {
        let at_ms = 1_795_847_308_000;
        let accepted = Event::new(EventKind::MessageAccepted, at_ms)
            .from("ada@sender.test")
            .to("me@example.test")
            .host("mx.sender.test")
            .client("192.0.2.7".parse().unwrap())
            .fact(Fact::Spf, "pass sender.test")
            .fact(Fact::Dkim, "pass sender.test s1")
            .fact(Fact::Dmarc, "pass p=reject")
            .fact(Fact::TookMs, 31);
        let failed = Event::new(EventKind::Failed, at_ms + 300)
            .to("me@example.test")
            .target("foo@inbox.test")
            .host("mx.inbox.test")
            .reply("550 5.1.1 no such user here")
            .fact(Fact::NextStep, "Ask for the right address, then change the alias so that it leads there instead.");
        let items: Vec<EventOf> = [accepted, failed].into_iter().zip(1..).map(|(event, id)| EventOf { id, event }).collect();
        let text = bare(&timeline(&message(EventKind::Failed), &items, at_ms + 7_500_000, true));
        assert!(text.lines().skip(1).all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("  arrived     2026-11-28 06:28:28 UTC, 2 h 5 min ago"), "{text}");
        assert!(text.contains("06:28:28.300  +300 ms   failed: foo@inbox.test (for me@example.test) at"), "{text}");
        assert!(text.contains("\n                        \"550 5.1.1 no such user here\"\n"), "{text}");
        assert!(text.contains("\n                        what to do: Ask for the right"), "{text}");
    }
}
