//! `waypost queue`: what waits, why, and until when.

use anyhow::{Result, bail};
use control_api::api::{Changed, Count, PauseView, QueuePage, QueuedMessage, QueuedRecipient, Resume, Retry as Request};

use super::changed;
use crate::cli::Queue;
use crate::output::{BOLD, DIM, GOOD, Output, WARN, ask, note, size, span, styled, table};
use crate::transport::{Transport, segment};

/// A reason longer than this is cut in the list; `queue show` has it whole.
const REASON_MAX: usize = 60;

pub(super) async fn run(api: &mut Transport, command: Queue, out: Output) -> Result<()> {
    match command {
        Queue::List { limit, after, address } => {
            let query = [("limit", Some(limit.to_string())), ("after", after), ("address", address)];
            let page: QueuePage = api.query("/v1/queue", &query).await?;
            out.show(&page, list)?;
        }
        Queue::Show { id } => {
            let page: QueuePage = api.get(&path(&id)).await?;
            out.show(&page, show)?;
        }
        Queue::Retry(retry) => {
            let request = Request { id: retry.id, domain: retry.domain, all: retry.all };
            let count: Count = api.post("/v1/queue/retry", &request).await?;
            out.show(&count, |count| format!("{} {} recipients that were waiting are tried now", styled(GOOD, "ok:"), count.recipients))?;
        }
        Queue::Paused => {
            let pauses: Vec<PauseView> = api.get("/v1/pauses").await?;
            out.show(&pauses, |pauses| match pauses.as_slice() {
                [] => styled(DIM, "nothing is paused"),
                pauses => pauses.iter().map(paused).collect::<Vec<_>>().join("\n"),
            })?;
        }
        Queue::Resume { about } => {
            let done: Changed = api.post("/v1/pauses/resume", &Resume { about }).await?;
            changed(out, &done)?;
        }
        Queue::Drop { id, recipient, yes } => {
            if yes || confirmed(api, &id, recipient).await? {
                let which = recipient.map(|n| format!("?recipient={n}")).unwrap_or_default();
                let done: Changed = api.delete(&format!("{}{which}", path(&id))).await?;
                changed(out, &done)?;
            }
        }
    }
    Ok(())
}

/// A pause, with what ends it.
pub(super) fn paused(pause: &PauseView) -> String {
    let left = span(pause.until_ms - net::Clock::system().now_ms());
    let what = if pause.is_mailbox { pause.about.clone() } else { format!("{} at {}", pause.kind, pause.about) };
    format!(
        "{} {} gets nothing for {left} more: {}\n  resume: waypost queue resume {}",
        styled(WARN, "paused:"),
        tame(&what),
        tame(&pause.why),
        tame(&pause.resume)
    )
}

fn path(id: &str) -> String {
    format!("/v1/queue/{}", segment(id))
}

async fn confirmed(api: &mut Transport, id: &str, recipient: Option<u32>) -> Result<bool> {
    let page: QueuePage = api.get(&path(id)).await?;
    note(&show(&page));
    let what = recipient.map_or_else(|| "this message".to_owned(), |n| format!("recipient {n} of this message"));
    match ask(&format!("Drop {what}? Nobody is told, and it cannot be undone."))? {
        Some(answer) => Ok(answer),
        None => bail!("dropping mail needs a yes, and there is no terminal to ask on\n  hint: run the command again with --yes"),
    }
}

fn sender(message: &QueuedMessage) -> String {
    if message.from.is_empty() { "<>".into() } else { message.from.clone() }
}

fn next(recipient: &QueuedRecipient, now_ms: i64) -> String {
    match recipient.state.as_str() {
        "claimed" => "under way".into(),
        "waiting" if recipient.next_attempt_ms <= now_ms => "due".into(),
        "waiting" => format!("in {}", span(recipient.next_attempt_ms - now_ms)),
        other => other.into(),
    }
}

fn list(page: &QueuePage) -> String {
    if page.messages.is_empty() {
        return styled(DIM, "nothing is waiting");
    }
    let mut rows = Vec::new();
    for message in &page.messages {
        for (place, recipient) in message.recipients.iter().enumerate() {
            let first = |text: String| if place == 0 { text } else { String::new() };
            rows.push(vec![
                first(message.id.clone()),
                first(span(page.now_ms - message.arrived_ms)),
                first(size(message.size_bytes)),
                first(sender(message)),
                recipient.to.clone(),
                recipient.attempts.to_string(),
                next(recipient, page.now_ms),
                short(recipient.reason.as_deref().unwrap_or_default()),
            ]);
        }
    }
    let mut text = table(&["id", "age", "size", "from", "to", "attempts", "next", "reason"], &rows);
    if let Some(next) = &page.next {
        text.push_str(&format!("\n{}", styled(DIM, format!("there is more: waypost queue list --after {next}"))));
    }
    text
}

/// What a remote server said may hold anything; a terminal must not act on it.
pub(super) fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn short(reason: &str) -> String {
    let line = tame(reason);
    if line.chars().count() <= REASON_MAX { line } else { line.chars().take(REASON_MAX - 1).chain(['…']).collect() }
}

pub(super) fn show(page: &QueuePage) -> String {
    let mut lines = Vec::new();
    for message in &page.messages {
        lines.push(styled(BOLD, &message.id));
        let mut field = |name: &str, value: String| lines.push(format!("  {name:<9}{value}"));
        field("from", sender(message));
        message.author.iter().for_each(|author| field("author", tame(author)));
        message.subject.iter().for_each(|subject| field("subject", tame(subject)));
        field("kind", message.flow.clone());
        field("size", size(message.size_bytes));
        field("arrived", format!("{} ({} ago)", mail::rfc5322_date(message.arrived_ms / 1000), span(page.now_ms - message.arrived_ms)));
        field("given up", format!("{} (in {})", mail::rfc5322_date(message.expires_ms / 1000), span(message.expires_ms - page.now_ms)));
        for recipient in &message.recipients {
            let via = recipient.via.as_ref().map(|via| format!(" (via {via})")).unwrap_or_default();
            lines.push(format!("  {:<9}{}{via}", format!("to {}", recipient.index), recipient.to));
            lines.push(format!("           {}, {} attempts", next(recipient, page.now_ms), recipient.attempts));
            lines.extend(recipient.reason.as_ref().map(|reason| format!("           {}", tame(reason))));
        }
    }
    lines.join("\n")
}
