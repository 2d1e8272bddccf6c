//! A run: nodes over a database, the time of both, and what comes of each action.
//!
//! Invariant: time moves only here, and heartbeats come in its order; after every action the ledger is checked.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use mail::{Body, Domain, Mailbox, Notify, QueueId, ReversePath};
use pg_lab::PgServer;
use store::{Content, Flow, Message, NewMessage, NewRecipient, PostgresSettings, SimulatedNode, Store, StoreError, TlsWish};

use crate::cable::Cable;
use crate::database::{Database, Key, QueuedRow};
use crate::dice::Dice;
use crate::duties::Duties;
use crate::ledger::{Ledger, Picture};
use crate::node::{Action, Life, Node, Outcome, Phase, key_of, kind};

/// The moment at which runs begin, Unix milliseconds.
pub const BEGIN_MS: i64 = 1_800_000_000_000;

/// Maximum time for the server to notice that a connection has ended.
const SETTLED_MAX: Duration = Duration::from_secs(20);

/// The digest of what happens (FNV-1a), and whether it is shown.
#[derive(Debug)]
pub struct Trace {
    pub digest: u64,
    pub is_shown: bool,
}

impl Trace {
    fn line(&mut self, now_ms: i64, text: impl Display) {
        let line = format!("{:>9.3} {text}\n", (now_ms - BEGIN_MS) as f64 / 1000.0);
        for octet in line.bytes() {
            self.digest = (self.digest ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.is_shown {
            print!("{line}");
        }
    }
}

/// A run.
pub struct Run {
    pub database: Database,
    pub dice: Dice,
    pub nodes: Vec<Node>,
    pub lanes: Vec<Domain>,
    pub ledger: Ledger,
    pub duties: Duties,
    pub trace: Trace,
    /// The messages that are DSNs.
    dsns: std::collections::BTreeSet<i64>,
    /// True time.
    pub now_ms: i64,
    /// How far the database's clock is ahead of it.
    pub database_ahead_ms: i64,
    checked_ms: i64,
    /// The queue, as of the last check.
    pub queue: BTreeMap<Key, QueuedRow>,
    last_id: i64,
    socket: std::path::PathBuf,
}

impl Run {
    /// Makes the database and the nodes of a seed; no node has started.
    pub async fn new(server: &PgServer, seed: u64, is_shown: bool) -> Result<Self> {
        let mut dice = Dice::new(seed, 1);
        let database = Database::create(server, &format!("seed_{seed}"), BEGIN_MS).await?;
        let mut nodes = Vec::new();
        for name in ["a", "b", "c", "d", "e"].iter().take(usize::try_from(dice.between(2, 5))?) {
            nodes.push(Node {
                name: (*name).to_owned(),
                home: tempfile::tempdir()?,
                rate: dice.between(900, 1100),
                ahead_ms: dice.between(-20_000, 20_000),
                cables: Vec::new(),
                life: None,
                lives: 0,
                is_draining: false,
            });
        }
        let lanes: Result<Vec<Domain>, _> = (0..dice.between(1, 6)).map(|n| Domain::parse(&format!("lane{n}.test"))).collect();
        let lanes = lanes.ok().context("a domain")?;
        let trace = Trace { digest: 0xcbf2_9ce4_8422_2325, is_shown };
        let (ledger, duties) = (Ledger::default(), Duties::default());
        let socket = server.socket();
        Ok(Self {
            database,
            dice,
            nodes,
            lanes,
            ledger,
            duties,
            trace,
            dsns: std::collections::BTreeSet::new(),
            now_ms: BEGIN_MS,
            database_ahead_ms: 0,
            checked_ms: BEGIN_MS,
            queue: BTreeMap::new(),
            last_id: 0,
            socket,
        })
    }

    pub fn say(&mut self, text: impl Display) {
        self.trace.line(self.now_ms, text);
    }

    pub fn fault(&mut self, what: impl Display) {
        self.say(format_args!("BROKEN {what}"));
        self.ledger.fault(self.now_ms - BEGIN_MS, what);
    }

    /// The life of a node that lives.
    pub fn life(&self, n: usize) -> Option<&Life> {
        self.nodes[n].life.as_ref()
    }

    /// What the wall clock of a node shows.
    pub fn wall_ms(&self, n: usize) -> i64 {
        self.now_ms + self.nodes[n].ahead_ms
    }

    /// Starts a node that does not live. False if the database cannot be reached.
    pub async fn start(&mut self, n: usize) -> Result<bool> {
        let cable = Cable::to(&self.socket)?;
        let node = &mut self.nodes[n];
        node.cables.retain(|cable| cable.late() > 0);
        node.cables.push(cable.clone());
        let url = cable.url(self.database.name());
        let settings = PostgresSettings {
            url,
            password_file: None,
            node: node.name.clone(),
            accept_loss: true,
            version: "simulated".into(),
            wall_clock: None,
        };
        let (clock, store) = loop {
            let clock = SimulatedNode::default();
            // The threads of the life before may not have ended.
            match Store::open_postgres_simulated(node.home.path(), settings.clone(), &clock).await {
                Err(StoreError::InUse(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
                other => break (clock, other.with_context(|| format!("node {} does not start", node.name))?),
            }
        };
        node.lives += 1;
        let name = node.name.clone();
        let life =
            Life { store, clock, cable, jobs: Vec::new(), begun_ms: self.now_ms, elapsed_ms: 0, beats_at_ms: self.now_ms, is_heard: true };
        let released = life.store.release_claims(self.wall_ms(n)).await;
        self.nodes[n].life = Some(life);
        self.say(format_args!("{name} starts; releases {:?}", released.as_ref().map_err(kind)));
        self.settle_down(n).await?;
        self.check().await?;
        Ok(released.is_ok())
    }

    /// Ends a node: killed, or in order.
    pub async fn end(&mut self, n: usize, is_killed: bool) -> Result<()> {
        let wall_ms = self.wall_ms(n);
        let node = &mut self.nodes[n];
        let Some(life) = node.life.take() else { return Ok(()) };
        let name = node.name.clone();
        for job in &life.jobs {
            if let Phase::Ended { delivered, .. } = &job.phase {
                delivered.iter().for_each(|key| self.ledger.excuse(*key, &node.name, node.lives));
            }
        }
        if is_killed {
            life.cable.cut(true);
        } else {
            let released = life.store.release_claims(wall_ms).await;
            self.trace.line(self.now_ms, format_args!("{name} releases {:?}", released.as_ref().map_err(kind)));
        }
        self.trace.line(self.now_ms, format_args!("{name} {}", if is_killed { "is killed" } else { "stops" }));
        drop(life);
        self.settle_down(n).await?;
        self.check().await
    }

    /// Waits until both ends have noticed what has broken: the server has as many connections of the node as the node has.
    pub async fn settle_down(&mut self, n: usize) -> Result<()> {
        let node = &self.nodes[n];
        let same = async {
            loop {
                let mut open = 0;
                for cable in &node.cables {
                    open += cable.settled().await?;
                }
                // A node that has ended closes its connections last, after the end of its lease is written.
                let is_over = node.life.is_some() || open == node.cables.iter().map(Cable::late).sum::<usize>();
                if is_over && open == self.database.connections(&node.name).await? {
                    return anyhow::Ok(());
                }
            }
        };
        tokio::time::timeout(SETTLED_MAX, same).await.with_context(|| format!("the server knows other connections of {}", node.name))?
    }

    /// Moves all clocks to a moment.
    async fn move_to(&mut self, now_ms: i64) -> Result<()> {
        self.now_ms = self.now_ms.max(now_ms);
        self.database.set_clock(self.now_ms + self.database_ahead_ms).await?;
        for node in &mut self.nodes {
            if let Some(life) = &mut node.life {
                life.move_to(self.now_ms, node.rate);
            }
        }
        Ok(())
    }

    /// Lets time pass. Nodes that live send their heartbeats.
    pub async fn advance(&mut self, by_ms: i64) -> Result<()> {
        let end_ms = self.now_ms + by_ms;
        loop {
            let beats = self.nodes.iter().enumerate().filter_map(|(n, node)| Some((node.life.as_ref()?.beats_at_ms, n)));
            match beats.min().filter(|(at_ms, _)| *at_ms <= end_ms) {
                Some((at_ms, n)) => {
                    self.move_to(at_ms).await?;
                    self.act(n, Action::Beat).await?;
                }
                None => {
                    self.move_to(end_ms).await?;
                    return self.check().await;
                }
            }
        }
    }

    /// Has a node do something, and checks the ledger.
    pub async fn act(&mut self, n: usize, action: Action) -> Result<()> {
        let (wall_ms, Some(life)) = (self.wall_ms(n), self.life(n)) else { return Ok(()) };
        let armed = life.cable.armed();
        let outcome = life.perform(&action, wall_ms).await;
        let is_broken = outcome.is_error() || self.life(n).is_some_and(|life| life.cable.armed() != armed);
        if is_broken || matches!(action, Action::Accept { is_delayed: true, .. }) {
            self.settle_down(n).await?;
        }
        if let (Action::ClaimRound { room }, Outcome::Claims(Ok(claims))) = (&action, &outcome)
            && !is_broken
        {
            let before = self.queue.clone();
            self.check_round(n, *room, claims, &before);
        }
        self.apply(n, action, outcome);
        self.check().await
    }

    /// Has two nodes do something at the same time. What comes of it differs from run to run.
    pub async fn act_together(&mut self, (first, one): (usize, Action), (second, other): (usize, Action)) -> Result<()> {
        let (Some(a), Some(b)) = (self.life(first), self.life(second)) else { return Ok(()) };
        let outcomes = tokio::join!(a.perform(&one, self.wall_ms(first)), b.perform(&other, self.wall_ms(second)));
        self.settle_down(first).await?;
        self.settle_down(second).await?;
        self.apply(first, one, outcomes.0);
        self.apply(second, other, outcomes.1);
        self.check().await
    }

    /// Checks the ledger.
    pub async fn check(&mut self) -> Result<()> {
        let (queue, strays) = tokio::join!(self.database.queue(), self.database.strays());
        let mut picture = Picture { queue: queue?, strays: strays?, ..Picture::default() };
        for node in &self.nodes {
            let Some(life) = &node.life else { continue };
            picture.is_any_well |= life.is_healthy();
            for job in &life.jobs {
                if life.store.may_deliver(job.lease) {
                    picture.in_hand.extend(job.recipients.iter().copied().map(key_of));
                    job.holds().into_iter().for_each(|key| picture.holders.entry(key).or_default().push(node.name.clone()));
                } else if let Phase::Ended { delivered, .. } = &job.phase {
                    delivered.iter().for_each(|key| self.ledger.excuse(*key, &node.name, node.lives));
                }
            }
        }
        let past_ms = self.now_ms - std::mem::replace(&mut self.checked_ms, self.now_ms);
        let before = self.ledger.broken.len();
        self.ledger.check(self.now_ms - BEGIN_MS, past_ms, &picture);
        let broken: Vec<String> = self.ledger.broken.iter().skip(before).cloned().collect();
        broken.into_iter().for_each(|text| self.say(format_args!("BROKEN {text}")));
        let rows: Vec<String> =
            picture.queue.iter().map(|((id, n), row)| format!("{id}/{n}:{}@{}", row.state, row.at_ms - BEGIN_MS)).collect();
        if self.queue != picture.queue {
            self.say(format_args!("queue {}", rows.join(" ")));
        }
        self.queue = picture.queue;
        Ok(())
    }

    /// A message with recipients in these lanes.
    pub fn message(&mut self, lanes: &[Domain], claimed: bool) -> NewMessage {
        self.last_id += 1;
        let id = QueueId(self.last_id);
        let recipients = lanes.iter().enumerate().filter_map(|(n, lane)| {
            let mailbox = Mailbox::parse(&format!("r{n}@{lane}")).ok()?;
            Some(NewRecipient { mailbox, notify: Notify::default(), orcpt: None, known_as: None })
        });
        NewMessage {
            message: Message {
                id,
                flow: Flow::Forward,
                reverse_path: ReversePath::Null,
                body: Body::SevenBit,
                smtputf8: false,
                ret: None,
                envid: None,
                tls: TlsWish::AsPublished,
                arrived_ms: self.now_ms,
                expires_ms: i64::MAX,
                rewritten_path: None,
                may_report: true,
                mendable: false,
                delay_reported: false,
                prefix: Bytes::new(),
            },
            content: Content::memory(id, Bytes::from_static(b"Subject: hi\r\n\r\n")),
            recipients: recipients.collect(),
            claimed,
            held: None,
        }
    }

    pub fn note_dsn(&mut self, id: i64) {
        self.dsns.insert(id);
    }

    pub fn is_dsn(&self, id: i64) -> bool {
        self.dsns.contains(&id)
    }

    /// When it is, for the ledger.
    pub fn since_begin_ms(&self) -> i64 {
        self.now_ms - BEGIN_MS
    }
}

/// The recipients that are done by a settlement.
pub fn done_of(settlement: &store::Settlement) -> Vec<Key> {
    settlement.recipients.iter().filter(|(_, result)| *result == store::Disposition::Done).map(|(key, _)| key_of(*key)).collect()
}

impl Outcome {
    /// Whether an answer did not come.
    fn is_error(&self) -> bool {
        match self {
            Self::Accepted(answer) => answer.is_err(),
            Self::Claims(Ok(claims)) => claims.iter().any(|claim| claim.claimed.as_ref().is_some_and(Result::is_err)),
            Self::Claims(Err(_)) => true,
            Self::Settled(answer) | Self::Beaten(answer) => answer.is_err(),
        }
    }
}
