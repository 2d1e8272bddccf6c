//! `waypost log`: one line for each event.

use anyhow::Result;

use super::{EventsOf, follow, line, moment};
use crate::cli::LogArgs;
use crate::output::{DIM, Output, note, print, styled};
use crate::transport::Transport;

/// Prints the last events, oldest first, then what happens from now on if that is asked for.
pub async fn log(api: &mut Transport, args: LogArgs, out: Output) -> Result<()> {
    let since_ms = args.since.as_deref().map(|text| moment::since(text, net::Clock::system().now_ms())).transpose()?;
    let filter = [
        ("clue", args.clue),
        ("kinds", args.kind),
        ("group", args.group),
        ("level", args.level),
        ("since_ms", since_ms.map(|ms| ms.to_string())),
    ];
    let mut query = filter.to_vec();
    query.push(("limit", Some(args.limit.to_string())));
    let page: EventsOf = api.query("/api/v1/history", &query).await?;
    let last_id = page.items.first().map(|item| item.id);
    for item in page.items.iter().rev() {
        print(&if out.json { serde_json::to_string(item)? } else { line(&item.event) })?;
    }
    if !args.follow {
        if page.items.is_empty() && !out.json {
            note(&styled(DIM, "the history has no such event"));
        } else if page.next_cursor.is_some() && !out.json {
            note(&styled(DIM, format!("these are the last {}; --limit and --since show more", page.items.len())));
        }
        return Ok(());
    }
    let mut query = filter.to_vec();
    query.push(("after", last_id.map(|id| id.to_string())));
    follow(api, &query, out.json).await
}
