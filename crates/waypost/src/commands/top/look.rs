//! One look at the server: what the API says at one time.
//!
//! Invariant: text of others is one line without control characters before it is kept.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use anyhow::{Context, Result, bail};
use control_api::api::{PauseView, QueueLanes, Totals};
use mail::one_line_at_most;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::UnixStream;

use crate::config::Config;
use crate::transport::Transport;

/// Replies that are shown at most.
const REPLIES: usize = 100;

/// Text of others is cut off after this many characters.
const TEXT_MAX_CHARS: usize = 300;

/// What the server says about itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ServerLook {
    pub version: String,
    pub sessions_by_listener: BTreeMap<String, u64>,
    /// The flow of the last 60 minutes, the current one last.
    pub last_hour: BTreeMap<String, Vec<u64>>,
    pub in_flight: u64,
    pub workers: u64,
    pub connections: u64,
    pub bugs: u64,
    pub signatures_broken: u64,
}

/// The outcome for one recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct LastReply {
    pub at_ms: i64,
    pub kind: String,
    pub to: String,
    pub host: String,
    pub text: String,
}

/// One look.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Look {
    pub at_ms: i64,
    pub hostname: String,
    pub server: ServerLook,
    pub totals: Totals,
    pub lanes: QueueLanes,
    pub pauses: Vec<PauseView>,
    /// The newest first; `None` if the server keeps no history.
    pub replies: Option<Vec<LastReply>>,
}

/// Looks at the server; `None` if none runs.
pub(super) async fn look(config: &Config) -> Result<Option<Look>> {
    let socket = config.admin_socket();
    let stream = match UnixStream::connect(&socket).await {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            bail!("no permission for the server's socket {}\n  hint: run the command with sudo, or as the server's user", socket.display())
        }
        Err(e) => return Err(e).with_context(|| format!("the server's socket {} cannot be used", socket.display())),
    };
    let mut api = Transport::over(stream).await?;
    Ok(Some(Look {
        at_ms: net::Clock::system().now_ms(),
        hostname: config.settings.hostname.to_string(),
        server: api.get("/api/v1/status").await?,
        totals: api.get("/api/v1/queue/totals").await?,
        lanes: api.get("/api/v1/queue/lanes").await?,
        pauses: api.list("/api/v1/pauses", &[]).await?,
        replies: replies(&mut api).await,
    }))
}

/// Returns the last outcomes. A history that is off or damaged does not stop `top`.
async fn replies(api: &mut Transport) -> Option<Vec<LastReply>> {
    let query = [("kinds", Some("delivered,deferred,failed,not-taken".to_owned())), ("limit", Some(REPLIES.to_string()))];
    let page: Value = api.query("/api/v1/history", &query).await.ok()?;
    Some(page.get("items")?.as_array()?.iter().map(reply).collect())
}

fn reply(event: &Value) -> LastReply {
    let text = |name: &str| event.get(name).and_then(Value::as_str).map(|text| one_line_at_most(text, TEXT_MAX_CHARS));
    let to = event.get("to").and_then(|to| to.get(0)).and_then(Value::as_str);
    LastReply {
        at_ms: event.get("at_ms").and_then(Value::as_i64).unwrap_or_default(),
        kind: text("kind").unwrap_or_default(),
        to: to.map(|to| one_line_at_most(to, TEXT_MAX_CHARS)).unwrap_or_default(),
        host: text("host").unwrap_or_default(),
        text: text("reply").or_else(|| text("reason")).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_one_line() {
        let event = serde_json::json!({
            "at_ms": 5, "kind": "failed", "to": ["me\u{1b}[2J@example.test"], "host": "mx\r\n.test", "reply": "550 5.1.1 no\nsuch", "reason": "why"
        });
        let reply = reply(&event);
        assert_eq!(
            reply,
            LastReply {
                at_ms: 5,
                kind: "failed".into(),
                to: "me [2J@example.test".into(),
                host: "mx  .test".into(),
                text: "550 5.1.1 no such".into()
            }
        );
        assert_eq!(super::reply(&serde_json::json!({ "reason": "no answer" })).text, "no answer");
        assert_eq!(super::reply(&serde_json::json!([])), LastReply::default());
    }
}
