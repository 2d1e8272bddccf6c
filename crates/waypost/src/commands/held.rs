//! `waypost held`: held mail, its release and its removal.

use anyhow::{Result, bail};
use control_api::api::{Changed, Page, QueuedMessage, Release};
use mail::one_line;

use super::changed;
use super::queue::show;
use crate::cli::HeldCommand;
use crate::output::{BOLD, DIM, Output, ask, note, size, span, styled};
use crate::transport::{Transport, segment};

pub(super) async fn run(api: &mut Transport, command: HeldCommand, out: Output) -> Result<()> {
    match command {
        HeldCommand::List { limit, after } => {
            let page: Page<QueuedMessage> = api.query("/api/v1/held", &[("limit", Some(limit.to_string())), ("cursor", after)]).await?;
            Ok(out.show(&page, list)?)
        }
        HeldCommand::Show { id } => {
            let message: QueuedMessage = api.get(&path(&id)).await?;
            Ok(out.show(&message, show)?)
        }
        HeldCommand::Release { id, wrapped } => {
            let done: Changed = api.post(&format!("{}/release", path(&id)), &Release { wrapped }).await?;
            changed(out, &done)
        }
        HeldCommand::Drop { id, yes } => {
            if yes || confirm(api, &id).await? {
                let done: Changed = api.delete(&path(&id)).await?;
                changed(out, &done)?;
            }
            Ok(())
        }
    }
}

fn path(id: &str) -> String {
    format!("/api/v1/held/{}", segment(id))
}

async fn confirm(api: &mut Transport, id: &str) -> Result<bool> {
    let message: QueuedMessage = api.get(&path(id)).await?;
    note(&show(&message));
    match ask("Drop this message? No DSN is sent, and this cannot be undone.")? {
        Some(answer) => Ok(answer),
        None => bail!("dropping mail needs a confirmation, but standard input is not a terminal\n  hint: run the command again with --yes"),
    }
}

fn list(page: &Page<QueuedMessage>) -> String {
    if page.items.is_empty() {
        return styled(DIM, "nothing is held");
    }
    let now_ms = net::Clock::system().now_ms();
    let mut blocks = Vec::new();
    for message in &page.items {
        let recipient = message.recipients.first();
        let sender = if message.from.is_empty() { "<>" } else { &message.from };
        let to = recipient.map(|r| r.via.clone().unwrap_or_else(|| r.to.clone())).unwrap_or_default();
        let left = span(message.expires_ms - now_ms);
        let age = span(now_ms - message.arrived_ms);
        let mut lines = vec![format!("{}  {age} old, {}, expires in {left}", styled(BOLD, &message.id), size(message.size_bytes))];
        let mut field = |name: &str, value: &str| lines.push(format!("  {name:<9}{}", one_line(value)));
        match message.author.as_deref().filter(|author| !author.is_empty()) {
            Some(author) if author.contains(sender) => field("from", author),
            Some(author) => field("from", &format!("{author} (sent by {sender})")),
            None => field("from", sender),
        }
        field("for", &to);
        message.subject.iter().for_each(|subject| field("subject", subject));
        recipient.and_then(|r| r.reason.as_deref()).iter().for_each(|why| field("why", why));
        blocks.push(lines.join("\n"));
    }
    let mut text = blocks.join("\n");
    if let Some(next) = &page.next_cursor {
        text.push_str(&format!("\n{}", styled(DIM, format!("more: waypost held list --after {next}"))));
    }
    text
}
