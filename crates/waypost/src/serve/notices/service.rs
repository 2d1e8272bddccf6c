//! The task behind notices, and the sink that feeds it.
//!
//! Invariant: the sink never waits: beyond [`WAITING_MAX`] events, new ones are dropped.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use directory::AliasSource;
use events::{Event, EventKind, EventSink};
use mta::{Handles, LiveDirectory, Pauses};
use serde::{Deserialize, Serialize};
use store::{Duty, Store};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::channel::{Channel, ChannelAnswer, Channels};
use super::courier::{Courier, Waiting, new_id};
use super::ledger::Ledger;
use super::notice::{Notice, NoticeKind};
use super::of_event::of_event;
use super::settings::NoticeSettings;
use super::watch::{self, PauseWatch};
use crate::config::Config;
use crate::serve::certificates::ServerCertificates;
use crate::serve::seen_file::SeenFile;

/// Maximum events that wait.
const WAITING_MAX: usize = 1000;

/// Maximum aliases whose first sender is remembered.
const ALIASES_MAX: usize = 50_000;

/// Interval of the checks of pauses, and at most that of the queue and of certificates.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const QUEUE_EVERY_MS: i64 = 60_000;

/// Time for which a node keeps the duty of notices.
const DUTY_FOR: Duration = Duration::from_secs(60);

const CERTIFICATES_EVERY_MS: i64 = 3_600_000;

/// Takes events for notices.
#[derive(Debug)]
pub struct NoticeSink {
    events: mpsc::Sender<Arc<Event>>,
    /// Whether accepted mail is looked at. The task is not woken for each message without need.
    new_senders: bool,
}

impl EventSink for NoticeSink {
    fn record(&self, event: &Arc<Event>) {
        let is_mail = matches!(event.kind, EventKind::MessageAccepted | EventKind::MessageHandedOver);
        let is_wanted = if is_mail { self.new_senders && event.login.is_none() } else { of_event(event).is_some() };
        if is_wanted {
            let _ = self.events.try_send(event.clone());
        }
    }
}

impl NoticeSink {
    /// A sink, and what [`Notices::start`] reads from it.
    pub fn new(new_senders: bool) -> (Arc<Self>, mpsc::Receiver<Arc<Event>>) {
        let (events, receiver) = mpsc::channel(WAITING_MAX);
        (Arc::new(Self { events, new_senders }), receiver)
    }
}

/// The running notices.
#[derive(Debug)]
pub struct Notices {
    channels: Arc<Channels>,
    task: JoinHandle<()>,
}

impl Notices {
    /// Starts the task.
    pub fn start(
        config: &Config,
        settings: NoticeSettings,
        events: mpsc::Receiver<Arc<Event>>,
        handles: Handles,
        certificates: Arc<ServerCertificates>,
    ) -> Self {
        let Handles { postmaster, direct, pauses, resolver, tls, store, clock, directory: live, events: record } = handles;
        let channels = Arc::new(Channels {
            hostname: config.settings.hostname.to_string(),
            owner: config.settings.postmaster.clone(),
            settings,
            resolver,
            tls,
            postmaster,
            direct,
            clock,
        });
        let file = config.file.data_dir.join("notices.json");
        let courier = Courier::new(channels.clone(), record);
        let work = Work { channels: channels.clone(), pauses, store, live, certificates, courier };
        Self { channels, task: tokio::spawn(work.run(events, file)) }
    }

    /// Ends the task; what is under way is tried again after the next start.
    pub fn stop(&self) {
        self.task.abort();
    }

    /// Sends a test over one channel, or all that are set up. Returns what each answered; empty if none is set up.
    pub async fn test(&self, only: Option<&str>) -> Vec<ChannelAnswer> {
        let channels: Vec<Channel> = match only {
            Some(name) => Channel::ALL.iter().filter(|(_, known)| *known == name).map(|(channel, _)| *channel).collect(),
            None => self.channels.open(),
        };
        let text = "This is a test: `waypost notify test` was run on the server. Notices arrive here.\n";
        let notice = Notice::urgent(NoticeKind::Test, "", "a test", text);
        let mut answers = Vec::new();
        for channel in channels {
            let sent = self.channels.send(channel, &new_id(&self.channels.clock), &notice).await;
            let (ok, answer) = match sent {
                Ok(answer) => (true, answer),
                Err(error) => (false, error),
            };
            answers.push(ChannelAnswer { channel: channel.name(), ok, answer });
        }
        answers
    }
}

/// What a restart must not forget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    ledger: Ledger,
    /// The addresses that have had mail; `None` until first sender notices are wanted.
    senders: Option<BTreeSet<String>>,
    /// What the channels have not accepted yet.
    waiting: Waiting,
}

struct Work {
    channels: Arc<Channels>,
    pauses: Pauses,
    store: Store,
    live: Arc<LiveDirectory>,
    certificates: Arc<ServerCertificates>,
    courier: Courier,
}

impl Work {
    async fn run(mut self, mut events: mpsc::Receiver<Arc<Event>>, file: PathBuf) {
        let file = SeenFile::Own(file);
        let mut kept: Kept = file.read().await.ok().flatten().unwrap_or_default();
        let mut written = kept.clone();
        let mut pauses = PauseWatch::default();
        let (mut queue_ms, mut certificates_ms) = (i64::MIN, i64::MIN);
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.courier.begin(&kept.waiting);
            let notices = tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.of_event(&event, &mut kept),
                    None => return,
                },
                Some(end) = self.courier.ended() => {
                    self.courier.settle(end, &mut kept.waiting);
                    Vec::new()
                }
                _ = tick.tick() => {
                    let now_ms = self.channels.clock.now_ms();
                    let mut notices = pauses.look(&self.pauses, self.channels.settings.paused_for_s, now_ms);
                    let queue_age_s = self.channels.settings.queue_age_s;
                    // The queue is that of all nodes; the certificates may be this one's alone.
                    let is_ours = self.store.take_duty(Duty::Notices, DUTY_FOR).await.unwrap_or(false);
                    if is_ours && is_due(&mut queue_ms, QUEUE_EVERY_MS.min(i64::from(queue_age_s) * 1000), now_ms) {
                        notices.extend(watch::queue(&self.store, queue_age_s, now_ms).await);
                    }
                    if is_due(&mut certificates_ms, CERTIFICATES_EVERY_MS, now_ms) {
                        let certificates = self.certificates.clone();
                        let in_use = net::blocking(move || certificates.in_use()).await;
                        notices.extend(watch::certificates(&in_use, now_ms / 1000));
                    }
                    notices
                }
            };
            let now_ms = self.channels.clock.now_ms();
            let urgent: Vec<Notice> = notices.into_iter().filter_map(|notice| kept.ledger.take(notice, now_ms)).collect();
            let digest = kept.ledger.digest(self.channels.settings.digest_every_s, now_ms);
            urgent.into_iter().chain(digest).for_each(|notice| self.send(&notice, &mut kept.waiting));
            if kept != written {
                written = kept.clone();
                if let Err(error) = file.write(&kept).await {
                    tracing::warn!(error = format!("{error:#}"), "what notices have told cannot be written; a restart may repeat some");
                }
            }
        }
    }

    fn of_event(&self, event: &Event, kept: &mut Kept) -> Vec<Notice> {
        if !matches!(event.kind, EventKind::MessageAccepted | EventKind::MessageHandedOver) {
            return of_event(event).into_iter().collect();
        }
        let directory = self.live.current();
        let seen = kept.senders.get_or_insert_with(|| {
            // The aliases that exist are not new.
            let address = |source: &AliasSource| if let AliasSource::Address(address) = source { Some(address.key()) } else { None };
            directory.contents().aliases.iter().filter_map(|alias| address(&alias.source)).take(ALIASES_MAX).collect()
        });
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

    fn send(&self, notice: &Notice, waiting: &mut Waiting) {
        for channel in self.channels.open().into_iter().filter(|channel| self.channels.wants(*channel, notice)) {
            waiting.add(channel, notice.clone(), &self.channels.clock);
        }
    }
}

/// Whether a check is due; notes that it is made now.
fn is_due(last_ms: &mut i64, every_ms: i64, now_ms: i64) -> bool {
    let is_due = !(0..every_ms).contains(&now_ms.saturating_sub(*last_ms));
    if is_due {
        *last_ms = now_ms;
    }
    is_due
}
