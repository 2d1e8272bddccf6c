//! The task behind notices, and the sink that feeds it.
//!
//! Invariant: the sink never waits: beyond [`WAITING_MAX`] events, new ones are dropped.

use std::sync::Arc;

use events::{Event, EventKind, EventSink};
use mta::Handles;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::channel::{Channel, ChannelAnswer, Channels};
use super::courier::{Courier, new_id};
use super::desk::Desk;
use super::notice::{Notice, NoticeKind};
use super::of_event::of_event;
use super::settings::NoticeSettings;
use super::work::{Work, WorkParts};
use crate::config::Config;
use crate::serve::certificates::ServerCertificates;

/// Maximum events that wait.
const WAITING_MAX: usize = 1000;

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
    /// The name of this node, where nodes share a database.
    node: Option<String>,
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
        let node = store.node_name().map(ToOwned::to_owned);
        let desk = Desk::new(&store, config.file.data_dir.join("notices.json"));
        let courier = Courier::new(channels.clone(), record);
        let work = Work::new(WorkParts { channels: channels.clone(), pauses, store, live, certificates, courier, desk });
        Self { channels, node, task: tokio::spawn(work.run(events)) }
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
        let notice = self.node.iter().fold(notice, |notice, node| notice.at_node(node));
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
