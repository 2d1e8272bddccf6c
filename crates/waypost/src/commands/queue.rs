//! `waypost queue`: waiting mail, the reason, and the next attempt.

use anyhow::{Result, bail};
use control_api::api::{Changed, Count, Page, PauseView, QueuedMessage, QueuedRecipient, Resume, Retry as Request};
use mail::one_line;

use super::node::{is_served, name_other_nodes};
use super::{changed, warn};
use crate::cli::QueueCommand;
use crate::output::{BOLD, DIM, GOOD, Output, WARN, ask, note, size, span, styled, table};
use crate::transport::{Transport, segment};

/// A reason longer than this is cut in the list; `queue show` has it whole.
const REASON_MAX: usize = 60;

pub(super) async fn run(api: &mut Transport, command: QueueCommand, out: Output) -> Result<()> {
    match command {
        QueueCommand::List { limit, after, address } => {
            let query = [("limit", Some(limit.to_string())), ("cursor", after), ("address", address)];
            let page: Page<QueuedMessage> = api.query("/api/v1/queue", &query).await?;
            out.show(&page, list)?;
        }
        QueueCommand::Show { id } => {
            let message: QueuedMessage = api.get(&path(&id)).await?;
            out.show(&message, show)?;
        }
        QueueCommand::Retry(retry) => {
            let request = Request { id: retry.id, domain: retry.domain, all: retry.all };
            let count: Count = api.post("/api/v1/queue/retry", &request).await?;
            let is_served = is_served(api).await;
            let text = |n: u64| if is_served { format!("retrying {n} recipients now") } else { format!("{n} recipients are due now") };
            out.show(&count, |count| format!("{} {}", styled(GOOD, "ok:"), text(count.recipients)))?;
            if !is_served && !out.json {
                warn(&["no node serves: nothing is delivered until one is resumed (waypost node resume NAME) or started".to_owned()]);
            }
        }
        // Handled by the caller, which has the configuration.
        QueueCommand::Verify => {}
        QueueCommand::Paused => {
            let pauses: Vec<PauseView> = api.list("/api/v1/pauses", &[]).await?;
            out.show(&pauses, |pauses| match pauses.as_slice() {
                [] => styled(DIM, "nothing is paused"),
                pauses => pauses.iter().map(paused).collect::<Vec<_>>().join("\n"),
            })?;
            name_other_nodes(api, "these are the pauses", "others have their own").await;
        }
        QueueCommand::Resume { about } => {
            let done: Changed = api.post("/api/v1/pauses/resume", &Resume { about }).await?;
            changed(out, &done)?;
        }
        QueueCommand::Drop { id, recipient, yes } => {
            if yes || confirm(api, &id, recipient).await? {
                let which = recipient.map(|n| format!("?recipient={n}")).unwrap_or_default();
                let done: Changed = api.delete(&format!("{}{which}", path(&id))).await?;
                changed(out, &done)?;
            }
        }
    }
    Ok(())
}

/// A pause, and the command that ends it.
pub(super) fn paused(pause: &PauseView) -> String {
    let left = span(pause.until_ms - net::Clock::system().now_ms());
    let what = if pause.is_mailbox { pause.about.clone() } else { format!("{} at {}", pause.kind, pause.about) };
    format!(
        "{} {}, for {left}: {}\n  to resume: waypost queue resume {}",
        styled(WARN, "paused:"),
        one_line(&what),
        one_line(&pause.why),
        one_line(&pause.resume)
    )
}

fn path(id: &str) -> String {
    format!("/api/v1/queue/{}", segment(id))
}

async fn confirm(api: &mut Transport, id: &str, recipient: Option<u32>) -> Result<bool> {
    let message: QueuedMessage = api.get(&path(id)).await?;
    note(&show(&message));
    let what = recipient.map_or_else(|| "this message".to_owned(), |n| format!("recipient {n} of this message"));
    match ask(&format!("Drop {what}? No DSN is sent, and this cannot be undone."))? {
        Some(answer) => Ok(answer),
        None => bail!("dropping mail needs a confirmation, but standard input is not a terminal\n  hint: run the command again with --yes"),
    }
}

fn sender(message: &QueuedMessage) -> String {
    if message.from.is_empty() { "<>".into() } else { message.from.clone() }
}

fn next(recipient: &QueuedRecipient, now_ms: i64) -> String {
    match recipient.state.as_str() {
        "claimed" => "in progress".into(),
        "waiting" if recipient.next_attempt_ms <= now_ms => "due".into(),
        "waiting" => format!("in {}", span(recipient.next_attempt_ms - now_ms)),
        other => other.into(),
    }
}

fn list(page: &Page<QueuedMessage>) -> String {
    if page.items.is_empty() {
        return styled(DIM, "nothing is waiting");
    }
    let now_ms = net::Clock::system().now_ms();
    let mut rows = Vec::new();
    for message in &page.items {
        for (place, recipient) in message.recipients.iter().enumerate() {
            let first = |text: String| if place == 0 { text } else { String::new() };
            rows.push(vec![
                first(message.id.clone()),
                first(span(now_ms - message.arrived_ms)),
                first(size(message.size_bytes)),
                first(sender(message)),
                recipient.to.clone(),
                recipient.attempts.to_string(),
                next(recipient, now_ms),
                short(recipient.reason.as_deref().unwrap_or_default()),
            ]);
        }
    }
    let mut text = table(&["id", "age", "size", "from", "to", "attempts", "next", "reason"], &rows);
    if let Some(next) = &page.next_cursor {
        text.push_str(&format!("\n{}", styled(DIM, format!("more: waypost queue list --after {next}"))));
    }
    text
}

fn short(reason: &str) -> String {
    let line = one_line(reason);
    if line.chars().count() <= REASON_MAX { line } else { line.chars().take(REASON_MAX - 1).chain(['…']).collect() }
}

pub(super) fn show(message: &QueuedMessage) -> String {
    let now_ms = net::Clock::system().now_ms();
    let mut lines = vec![styled(BOLD, &message.id)];
    let mut field = |name: &str, value: String| lines.push(format!("  {name:<9}{value}"));
    field("from", sender(message));
    message.author.iter().for_each(|author| field("author", one_line(author)));
    message.subject.iter().for_each(|subject| field("subject", one_line(subject)));
    field("kind", message.flow.clone());
    field("size", size(message.size_bytes));
    field("arrived", format!("{} ({} ago)", mail::rfc5322_date(message.arrived_ms / 1000), span(now_ms - message.arrived_ms)));
    field("expires", format!("{} (in {})", mail::rfc5322_date(message.expires_ms / 1000), span(message.expires_ms - now_ms)));
    for recipient in &message.recipients {
        let via = recipient.via.as_ref().map(|via| format!(" (via {via})")).unwrap_or_default();
        lines.push(format!("  {:<9}{}{via}", format!("to {}", recipient.index), recipient.to));
        lines.push(format!("           {}, {} attempts", next(recipient, now_ms), recipient.attempts));
        lines.extend(recipient.reason.as_ref().map(|reason| format!("           {}", one_line(reason))));
    }
    lines.join("\n")
}
