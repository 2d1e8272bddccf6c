//! Stage: asks the spam filter.
//!
//! Invariant: a filter that is down gives no verdict: `when_down` decides, and the log has at most one line per minute about it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use events::{Event, EventKind, Fact};
use mail::Reply;
use spam_filter::{Answer, Facts, Message, Verdict};
use store::{Content, StoreError};
use tokio::sync::mpsc;

use crate::accept::message_auth::{Authenticated, Proof};
use crate::context::Shared;
use crate::settings::{Filtering, Settings, WhenDown};
use crate::support::large_contents::is_in_memory;

/// Minimum interval between log lines about a filter that is down, in milliseconds.
const SAY_EVERY_MS: i64 = 60_000;

/// A message with the filter's verdict.
#[derive(Debug)]
pub(crate) struct Filtered {
    /// The message with its proof.
    pub authenticated: Authenticated,
    /// The filter's verdict and score.
    pub answer: Answer,
}

/// When the log last said that the filter is down, and the number of messages without a verdict since.
#[derive(Debug)]
pub(crate) struct Downtime {
    said_ms: AtomicI64,
    unsaid: AtomicU64,
}

impl Default for Downtime {
    fn default() -> Self {
        Self { said_ms: AtomicI64::new(i64::MIN), unsaid: AtomicU64::new(0) }
    }
}

impl Downtime {
    /// Counts a message without a verdict; returns their number when a log line is due.
    fn count(&self, now_ms: i64) -> Option<u64> {
        let messages = self.unsaid.fetch_add(1, Ordering::Relaxed) + 1;
        let said_ms = self.said_ms.load(Ordering::Relaxed);
        let is_time = !(0..SAY_EVERY_MS).contains(&now_ms.saturating_sub(said_ms));
        let is_ours = is_time && self.said_ms.compare_exchange(said_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_ours.then(|| {
            self.unsaid.fetch_sub(messages, Ordering::Relaxed);
            messages
        })
    }
}

/// Checks at startup that the filter answers. `when_down = "pass"` is meant for temporary failures: with a wrong address or kind, all
/// mail would pass unfiltered.
pub(crate) async fn probe(shared: &Shared, filtering: &Filtering) {
    let Err(error) = filtering.filter.probe().await else { return };
    shared.events.record_with(|| Event::new(EventKind::FilterDown, shared.clock.now_ms()).reason(Some(error.to_string())));
    match filtering.when_down {
        WhenDown::Pass => tracing::error!(
            %error,
            "the spam filter has never answered, and all mail is accepted without a verdict: see [filter] address and kind, or set when_down = \"defer\""
        ),
        WhenDown::Defer => {
            let words = EventKind::FilterDown.words();
            tracing::error!(%error, "{words}, and mail is deferred until it does: see [filter] address and kind")
        }
    }
}

/// Asks the filter, if one is configured for mail of this origin.
pub(crate) async fn filter(authenticated: Authenticated, settings: &Settings, downtime: &Downtime, shared: &Shared) -> Filtered {
    let is_submitted = authenticated.proof.is_submitted();
    let answer = match settings.filtering.as_ref().filter(|filtering| filtering.submission || !is_submitted) {
        Some(filtering) => ask(filtering, &authenticated, settings, downtime, shared).await,
        None => return unfiltered(authenticated),
    };
    Filtered { authenticated, answer }
}

/// Returns a message that bypasses the filter.
pub(crate) fn unfiltered(authenticated: Authenticated) -> Filtered {
    Filtered { authenticated, answer: Answer { verdict: Verdict::Pass, score: None } }
}

async fn ask(filtering: &Filtering, authenticated: &Authenticated, settings: &Settings, downtime: &Downtime, shared: &Shared) -> Answer {
    let Authenticated { received, proof, header } = authenticated;
    let client_name = match proof {
        Proof::Evidence(evidence) => evidence.client_name.as_deref(),
        Proof::Login(_) | Proof::Local(_) => None,
    };
    let facts = Facts {
        hostname: &settings.hostname,
        id: received.id,
        client: received.facts.client,
        client_name,
        hello: &received.facts.hello,
        login: received.facts.login.as_deref(),
        reverse_path: &received.reverse_path,
        recipients: received.recipients.iter().map(|(recipient, _)| recipient.forward_path.to_string()).collect(),
    };
    match filtering.filter.check(&facts, message(&received.content, header)).await {
        Ok(answer) => answer,
        Err(error) => {
            if let Some(messages) = downtime.count(shared.clock.now_ms()) {
                let what = match filtering.when_down {
                    WhenDown::Pass => "accepting mail without a spam verdict",
                    WhenDown::Defer => "deferring mail for lack of a spam verdict",
                };
                tracing::warn!(id = %received.id, %error, messages, "{what}");
                shared.events.record_with(|| {
                    let event = Event::new(EventKind::FilterDown, shared.clock.now_ms()).of_message(received.id);
                    event.reason(Some(format!("{error}; {what}"))).fact(Fact::Times, messages)
                });
            }
            Answer { verdict: without_verdict(filtering.when_down), score: None }
        }
    }
}

/// The content for the filter: large content is streamed from its file and uses no memory.
fn message(content: &Content, header: &Bytes) -> Message {
    if is_in_memory(content) {
        return Message::whole(content.front().clone());
    }
    let front = if header.len() > content.front().len() { header.clone() } else { content.front().clone() };
    let (pieces, rest) = mpsc::channel(1);
    let (content, mut skipped) = (content.clone(), front.len());
    let size_bytes = content.size_bytes();
    tokio::spawn(async move {
        let broken = |error: StoreError| std::io::Error::other(error.to_string());
        let mut reader = match content.read().await {
            Ok(reader) => reader,
            Err(error) => return drop(pieces.send(Err(broken(error))).await),
        };
        while let Some(piece) = reader.next().await.transpose() {
            let piece = piece.map_err(broken).map(|mut piece| {
                let known = skipped.min(piece.len());
                skipped -= known;
                piece.split_off(known)
            });
            // The filter may close the connection before the end.
            if pieces.send(piece).await.is_err() {
                return;
            }
        }
    });
    Message::streamed(size_bytes, front, rest)
}

fn without_verdict(when_down: WhenDown) -> Verdict {
    match when_down {
        WhenDown::Pass => Verdict::Pass,
        WhenDown::Defer => Verdict::Defer(Reply::new(451, (4, 7, 1), "the spam filter does not answer at the moment; try again later")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_down_is_logged_once_a_minute() {
        let downtime = Downtime::default();
        assert_eq!(downtime.count(1_000), Some(1));
        assert_eq!((downtime.count(1_001), downtime.count(60_999)), (None, None));
        assert_eq!(downtime.count(61_000), Some(3));
        assert_eq!(downtime.count(500), Some(1), "the clock was set back");
    }
}
