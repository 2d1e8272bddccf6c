//! Carries one notice to one channel, and tries again while it is not accepted.
//!
//! Invariant: the attempts of a notice end; what was not accepted is logged and recorded.

use std::sync::Arc;
use std::time::Duration;

use events::{Event, EventKind, Events, Fact};

use super::channel::{Channel, Channels};
use super::notice::Notice;

/// Wait before each attempt, in seconds: about five hours in all.
const WAITS_S: [u64; 7] = [0, 5, 60, 300, 1800, 3600, 14_400];

/// Sends a notice until the channel accepts it, or the attempts end.
pub async fn carry(channels: Arc<Channels>, channel: Channel, id: String, notice: Notice, events: Events) {
    let mut last = String::new();
    for wait_s in WAITS_S {
        tokio::time::sleep(Duration::from_secs(wait_s)).await;
        match channels.send(channel, &id, &notice).await {
            Ok(answer) => {
                tracing::info!(channel = channel.name(), subject = notice.subject, answer, "{}", EventKind::Notified.words());
                // The letter has an event of its own.
                if channel != Channel::Mail || channels.settings.route.is_some() {
                    events.record_with(|| event(EventKind::Notified, &channels, channel, &notice));
                }
                return;
            }
            Err(error) => {
                tracing::warn!(channel = channel.name(), subject = notice.subject, error, "the notice was not accepted; it is tried again");
                last = error;
            }
        }
    }
    let kind = EventKind::NotNotified;
    tracing::error!(
        channel = channel.name(),
        subject = notice.subject,
        error = last,
        next_step = "waypost notify test",
        "{}",
        kind.words()
    );
    events.record_with(|| event(kind, &channels, channel, &notice).reason(Some(last)));
}

fn event(kind: EventKind, channels: &Channels, channel: Channel, notice: &Notice) -> Event {
    Event::new(kind, channels.clock.now_ms()).host(channel.name()).fact(Fact::What, &notice.subject)
}
