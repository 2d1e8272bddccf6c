//! The task behind notices: takes events and looks at pauses, the queue and certificates; sends what is due.
//!
//! Invariant: of several nodes only the one that has the duty decides and sends; what it decided is stored before it is sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use directory::AliasSource;
use events::{Event, EventKind};
use mta::{LiveDirectory, Pauses};
use store::Store;
use tokio::sync::mpsc;

use super::channel::Channels;
use super::courier::Courier;
use super::desk::{Desk, Kept};
use super::notice::{Notice, NoticeKind};
use super::of_event::of_event;
use super::watch::{self, PauseWatch};
use crate::serve::certificates::ServerCertificates;

/// Maximum aliases whose first sender is remembered.
const ALIASES_MAX: usize = 50_000;

/// Interval of the checks of pauses, and at most that of the queue and of certificates.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const QUEUE_EVERY_MS: i64 = 60_000;

const CERTIFICATES_EVERY_MS: i64 = 3_600_000;

/// What the task needs.
pub(super) struct WorkParts {
    pub channels: Arc<Channels>,
    pub pauses: Pauses,
    pub store: Store,
    pub live: Arc<LiveDirectory>,
    pub certificates: Arc<ServerCertificates>,
    pub courier: Courier,
    pub desk: Desk,
}

/// The task.
pub(super) struct Work {
    parts: WorkParts,
    /// The state, as this process changes it; `None` while another node has the duty.
    kept: Option<Kept>,
    /// The state, as it was stored last.
    written: Kept,
    /// Of several nodes: the addresses that have had mail, as far as this one knows.
    senders: Option<BTreeSet<String>>,
    paused: PauseWatch,
    /// When the queue and the certificates were looked at last, Unix milliseconds.
    queue_ms: i64,
    certificates_ms: i64,
}

impl Work {
    /// A task that has not begun.
    pub fn new(parts: WorkParts) -> Self {
        let (kept, written) = (None, Kept::default());
        Self { parts, kept, written, senders: None, paused: PauseWatch::default(), queue_ms: i64::MIN, certificates_ms: i64::MIN }
    }

    /// Runs until it is aborted.
    pub async fn run(mut self, mut events: mpsc::Receiver<Arc<Event>>) {
        match &self.parts.desk {
            Desk::Own(_) => self.take_up().await,
            // What the nodes before knew is no first mail.
            Desk::Shared(_) => self.senders = self.parts.desk.read().await.ok().and_then(|kept| kept.senders),
        }
        let is_shared = matches!(self.parts.desk, Desk::Shared(_));
        let mut news = self.parts.store.news();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if self.kept.is_some() && !self.parts.desk.has_duty().await {
                self.let_go();
            }
            if let Some(kept) = &self.kept {
                self.parts.courier.begin(&kept.waiting);
            }
            let (mut notices, mut is_news) = (Vec::new(), false);
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => notices = self.of_event(&event),
                    None => return,
                },
                Some(end) = self.parts.courier.ended() => if let Some(kept) = &mut self.kept {
                    self.parts.courier.settle(end, &mut kept.waiting);
                },
                changed = news.changed(), if is_shared => match changed {
                    Ok(()) => is_news = true,
                    Err(_) => return,
                },
                _ = tick.tick() => {
                    if self.kept.is_none() && self.parts.desk.has_duty().await {
                        self.take_up().await;
                    }
                    (notices, is_news) = (self.look().await, true);
                }
            };
            self.decide(notices, is_news).await;
        }
    }

    /// Begins to decide and send, where the process or the node before ended.
    async fn take_up(&mut self) {
        match self.parts.desk.read().await {
            Ok(kept) => {
                self.written = kept.clone();
                self.kept = Some(kept);
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "what notices have told cannot be read; trying again"),
        }
    }

    /// Another node decides and sends from now on.
    fn let_go(&mut self) {
        self.kept = None;
        self.parts.courier.abandon();
    }

    /// Looks at what is due; of the nodes' common matters only if this one has the duty.
    async fn look(&mut self) -> Vec<Notice> {
        let WorkParts { channels, pauses, store, certificates, .. } = &self.parts;
        let (settings, now_ms) = (&channels.settings, channels.clock.now_ms());
        let mut notices = self.paused.look(pauses, settings.paused_for_s, now_ms);
        let queue_every_ms = QUEUE_EVERY_MS.min(i64::from(settings.queue_age_s) * 1000);
        if self.kept.is_some() && is_due(&mut self.queue_ms, queue_every_ms, now_ms) {
            notices.extend(watch::queue(store, settings.queue_age_s, now_ms).await);
        }
        if is_due(&mut self.certificates_ms, CERTIFICATES_EVERY_MS, now_ms) {
            let certificates = certificates.clone();
            let in_use = net::blocking(move || certificates.in_use()).await;
            notices.extend(watch::certificates(&in_use, now_ms / 1000));
        }
        notices
    }

    /// Decides about notices: now, in the digest, or not again; and stores that.
    async fn decide(&mut self, mut notices: Vec<Notice>, is_news: bool) {
        let clock = self.parts.channels.clock.clone();
        let mut taken = Vec::new();
        if let Desk::Shared(desk) = &mut self.parts.desk {
            desk.store(std::mem::take(&mut notices), &clock).await;
            if is_news && self.kept.is_some() {
                // An error is that of the next look, too.
                (notices, taken) = desk.waiting().await.unwrap_or_default();
            }
            self.leave_out_known_senders(&mut notices);
        }
        let Some(kept) = &mut self.kept else { return };
        let now_ms = clock.now_ms();
        let urgent: Vec<Notice> = notices.into_iter().filter_map(|notice| kept.ledger.take(notice, now_ms)).collect();
        let channels = &self.parts.channels;
        let digest = kept.ledger.digest(channels.settings.digest_every_s, now_ms);
        for notice in urgent.into_iter().chain(digest) {
            for channel in channels.open().into_iter().filter(|channel| channels.wants(*channel, &notice)) {
                kept.waiting.add(channel, notice.clone(), &clock);
            }
        }
        if *kept == self.written && taken.is_empty() {
            return;
        }
        match self.parts.desk.write(kept, taken, now_ms).await {
            Ok(true) => self.written.clone_from(kept),
            Ok(false) => self.let_go(),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "what notices have told cannot be written; some may be repeated");
                // Of one server, mail that cannot be told later is told now. Of several, the state is read again.
                match self.parts.desk {
                    Desk::Own(_) => self.written.clone_from(kept),
                    Desk::Shared(_) => self.let_go(),
                }
            }
        }
    }

    /// Of several nodes, each finds the first mail to an address for itself.
    fn leave_out_known_senders(&mut self, notices: &mut Vec<Notice>) {
        let Some(kept) = &mut self.kept else { return };
        let live = &self.parts.live;
        notices.retain(|notice| {
            let address = notice.key.strip_prefix(NoticeKind::NewSender.name()).filter(|_| notice.kind == NoticeKind::NewSender);
            let Some(address) = address.and_then(|to| mail::Mailbox::parse(to.trim()).ok()) else { return true };
            kept.senders.get_or_insert_with(|| aliases(live)).insert(address.key())
        });
    }

    fn of_event(&mut self, event: &Event) -> Vec<Notice> {
        if !matches!(event.kind, EventKind::MessageAccepted | EventKind::MessageHandedOver) {
            let is_own = |notice: &Notice| notice.kind == NoticeKind::FilterDown && self.parts.channels.settings.own_filter;
            return of_event(event).map(|notice| if is_own(&notice) { notice.of_node() } else { notice }).into_iter().collect();
        }
        let (live, directory) = (&self.parts.live, self.parts.live.current());
        let seen = match (&self.parts.desk, &mut self.kept) {
            (Desk::Own(_), Some(kept)) => &mut kept.senders,
            _ => &mut self.senders,
        };
        let seen = seen.get_or_insert_with(|| aliases(live));
        let mut notices = Vec::new();
        for to in &event.to {
            let Ok(address) = mail::Mailbox::parse(to) else { continue };
            if !directory.hosts(&address.domain) || seen.len() >= ALIASES_MAX || !seen.insert(address.key()) {
                continue;
            }
            let from = event.from.as_deref().filter(|from| !from.is_empty()).unwrap_or("<>");
            let text = format!(
                "{from} was the first to write to {to}.\n\nIf the address should get no more mail:\n\n  waypost alias disable {to}\n"
            );
            notices.push(Notice::daily(NoticeKind::NewSender, to, &format!("first mail to {to}, from {from}"), &text));
        }
        notices
    }
}

/// The aliases that exist: mail to them is not the first.
fn aliases(live: &LiveDirectory) -> BTreeSet<String> {
    let address = |source: &AliasSource| if let AliasSource::Address(address) = source { Some(address.key()) } else { None };
    live.current().contents().aliases.iter().filter_map(|alias| address(&alias.source)).take(ALIASES_MAX).collect()
}

/// Whether a check is due; notes that it is made now.
fn is_due(last_ms: &mut i64, every_ms: i64, now_ms: i64) -> bool {
    let is_due = !(0..every_ms).contains(&now_ms.saturating_sub(*last_ms));
    if is_due {
        *last_ms = now_ms;
    }
    is_due
}
