//! The connection that keeps this node's lease, frees what dead nodes had claimed, and hears what other nodes have changed.
//!
//! Invariant: after a lease has ended, a new stay begins before anything is claimed again; what was claimed in the one before is not ours any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_postgres::Client;

use super::errors::of_postgres;
use super::identity::Identity;
use super::nodes::{CHANNEL, is_abandoned, telling};
use super::outage::Outage;
use super::server::{Opened, Server};
use super::stay::{LEASE_S, Stay};
use crate::cluster::{News, NodeState};
use crate::error::StoreError;
use crate::simulated_node::BeatDue;

/// Interval of heartbeats.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

/// Interval at which the counters of news are read, since a pooler may lose notifications.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Maximum time for an answer, before another connection is opened.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Time between two tries to connect.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// This node, as it registers.
#[derive(Debug, Clone)]
pub(super) struct Registration {
    /// Which data directory has the name.
    pub identity: Arc<Identity>,
    pub version: String,
    pub schema: i64,
}

/// Waits for an answer on a connection of a task.
async fn answered<T>(answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, StoreError> {
    match timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer.map_err(|error| of_postgres(&error)),
        Err(_) => Err(StoreError::Unavailable(format!("the database did not answer within {} seconds", ANSWER_MAX.as_secs()))),
    }
}

/// Registers this node, and begins a stay. Returns the node's number.
///
/// # Errors
/// [`StoreError::Settings`] if another data directory, or another process with a copy of this one, has the name and its lease has not ended; or if the
/// clock of this machine is wrong.
pub(super) async fn register(client: &mut Client, own: &Registration, stay: &Stay) -> Result<u8, StoreError> {
    let asked = stay.asks();
    let transaction = answered(client.transaction()).await?;
    // Two nodes that register at the same time would take the same number.
    answered(transaction.batch_execute("LOCK TABLE node IN EXCLUSIVE MODE")).await?;
    let nodes = answered(
        transaction.query("SELECT name, number, instance, lease_until > clock_timestamp(), state, stay FROM node ORDER BY number", &[]),
    )
    .await?;
    let (mut free, mut known) = (0_i64, None);
    for node in &nodes {
        let read = || -> Result<_, tokio_postgres::Error> {
            Ok((node.try_get::<_, String>(0)?, node.try_get::<_, i64>(1)?, node.try_get::<_, String>(2)?, node.try_get::<_, bool>(3)?))
        };
        let (name, number, instance, is_alive) = read().map_err(|error| of_postgres(&error))?;
        if name == stay.name() {
            if is_alive {
                let stay = node.try_get(5).map_err(|error| of_postgres(&error))?;
                refuse_other(&name, &own.identity, (&instance, stay))?;
            }
            let state: String = node.try_get(4).map_err(|error| of_postgres(&error))?;
            known = Some((number, state));
        }
        if number == free {
            free += 1;
        }
    }
    let (number, state) = known.unwrap_or((free, NodeState::Serving.as_str().to_owned()));
    let small = u8::try_from(number).map_err(|_| {
        StoreError::Settings("the database has 256 nodes, which is the maximum; remove some (`waypost node remove NAME`)".into())
    })?;
    let sql = "INSERT INTO node (name, number, instance, stay, started, seen, lease_until, version, schema) \
               VALUES ($1, $2, $3, nextval('node_stay'), clock_timestamp(), clock_timestamp(), clock_timestamp() + CAST($4 AS bigint) * interval '1 second', $5, $6) \
               ON CONFLICT (name) DO UPDATE SET instance = excluded.instance, stay = excluded.stay, started = excluded.started, seen = excluded.seen, \
               lease_until = excluded.lease_until, version = excluded.version, schema = excluded.schema \
               RETURNING stay, CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint)";
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&stay.name(), &number, &own.identity.instance(), &LEASE_S, &own.version, &own.schema];
    let row = answered(transaction.query_one(sql, &values)).await?;
    let (begun, database_ms): (i64, i64) =
        row.try_get(0).and_then(|begun| Ok((begun, row.try_get(1)?))).map_err(|error| of_postgres(&error))?;
    stay.note_database_time(database_ms, asked);
    if let Some(wrong) = stay.wrong_clock() {
        return Err(wrong);
    }
    own.identity.note(begun);
    answered(transaction.commit()).await?;
    stay.drain(NodeState::of_word(&state) == NodeState::Draining);
    stay.begin(begun, asked);
    Ok(small)
}

/// Refuses to take over a lease that has not ended, unless this directory had it: before a crash.
fn refuse_other(name: &str, own: &Identity, (instance, stay): (&str, i64)) -> Result<(), StoreError> {
    if instance != own.instance() {
        return Err(StoreError::Settings(format!(
            "another server is the node {name:?} of this database; give each node a name of its own (store.node), or wait {LEASE_S} seconds if \
             the other one has ended"
        )));
    }
    if !own.had(stay) {
        return Err(StoreError::Settings(format!(
            "another process is the node {name:?} of this database, with a copy of this data directory: end one of the two. To make a node of its own of the \
             copy, set another store.node there. After a crash of this machine, wait {LEASE_S} seconds"
        )));
    }
    Ok(())
}

/// When heartbeats are sent.
pub(super) enum Heartbeats {
    /// Every [`HEARTBEAT_EVERY`].
    Timed,
    /// When a simulation says so.
    Stepped(mpsc::Receiver<BeatDue>),
}

/// Watches until the store is closed, which is when `news` has no other holder.
pub(super) async fn run(server: Arc<Server>, stay: Arc<Stay>, own: Registration, (news, heartbeats): (watch::Sender<News>, Heartbeats)) {
    if let Heartbeats::Stepped(due) = heartbeats {
        return run_stepped(&server, &stay, &own, (news, due)).await;
    }
    let name = format!("waypost {} watch", stay.name());
    let mut outage = Outage::default();
    while !news.is_closed() {
        let ended = match server.connect(&name).await {
            Ok(opened) => {
                outage.end();
                Watch { opened, stay: &stay, own: &own, news: &news, seen: News::default() }.run().await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            if outage.is_news(stay.asks(), &error) {
                tracing::warn!(%error, "this node's lease is not renewed: others deliver what it holds; trying again each second");
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

/// The same in a simulation, which knows the outcome of each heartbeat.
async fn run_stepped(
    server: &Server,
    stay: &Stay,
    own: &Registration,
    (news, mut heartbeats): (watch::Sender<News>, mpsc::Receiver<BeatDue>),
) {
    let name = format!("waypost {} watch", stay.name());
    let mut watch: Option<Watch<'_>> = None;
    loop {
        let due = tokio::select! {
            biased;
            () = news.closed() => return,
            due = heartbeats.recv() => due,
        };
        let Some(answer) = due else { return };
        let outcome = async {
            if watch.as_ref().is_none_or(|watch| watch.opened.client.is_closed()) {
                watch = Some(Watch { opened: server.connect(&name).await?, stay, own, news: &news, seen: News::default() });
            }
            let Some(watch) = &mut watch else { return Err(StoreError::Closed) };
            watch.beat().await?;
            watch.look().await
        };
        let outcome = outcome.await;
        if outcome.is_err() {
            watch = None;
        }
        let _ = answer.send(outcome);
    }
}

struct Watch<'a> {
    opened: Opened,
    stay: &'a Stay,
    own: &'a Registration,
    news: &'a watch::Sender<News>,
    /// The counters, as this node has read them last.
    seen: News,
}

impl Watch<'_> {
    async fn run(mut self) -> Result<(), StoreError> {
        answered(self.opened.client.batch_execute(&format!("LISTEN {CHANNEL}"))).await?;
        let (mut heartbeats, mut looks) = (interval(HEARTBEAT_EVERY), interval(LOOK_EVERY));
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.news.closed() => return Ok(()),
                _ = heartbeats.tick() => self.beat().await?,
                _ = looks.tick() => self.look().await?,
                heard = self.opened.notifications.recv() => match heard {
                    Some(_) => self.look().await?,
                    None => return Err(StoreError::Unavailable("the connection ended".into())),
                },
            }
        }
    }

    /// Renews the lease, or begins a new stay if it has ended; frees what dead nodes had claimed.
    async fn beat(&mut self) -> Result<(), StoreError> {
        if self.stay.has_left() {
            return Ok(());
        }
        if self.stay.wrong_clock().is_some() {
            // One of the two was set, or this machine has slept: ask again. A node whose clock is wrong keeps no lease, and others deliver what it holds.
            self.ask_time().await?;
            if let Some(wrong) = self.stay.wrong_clock() {
                return Err(wrong);
            }
        }
        let asked = self.stay.asks();
        let sql = "UPDATE node SET seen = clock_timestamp(), lease_until = clock_timestamp() + CAST($2 AS bigint) * interval '1 second' \
                   WHERE stay = $1 AND lease_until > clock_timestamp() \
                   RETURNING state, (SELECT count(*) FROM node n WHERE n.lease_until > clock_timestamp() AND n.state = 'serving'), \
                   CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint)";
        let renewed = answered(self.opened.client.query_opt(sql, &[&self.stay.number(), &LEASE_S])).await?;
        match renewed {
            Some(row) => {
                let state: String = row.try_get(0).map_err(|error| of_postgres(&error))?;
                self.stay.note_serving(row.try_get(1).map_err(|error| of_postgres(&error))?);
                self.stay.drain(NodeState::of_word(&state) == NodeState::Draining);
                self.stay.note_database_time(row.try_get(2).map_err(|error| of_postgres(&error))?, asked);
                self.stay.renew(asked);
            }
            None if self.stay.has_left() => return Ok(()),
            None => {
                register(&mut self.opened.client, self.own, self.stay).await?;
                tracing::warn!(
                    "this node's lease had ended: what it had claimed may be delivered by others, and is not delivered by this node"
                );
            }
        }
        let free = format!(
            "UPDATE recipient SET state = 0, next_attempt_ms = CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint) \
             WHERE state = 1 AND {}",
            is_abandoned("")
        );
        let mut freed = answered(self.opened.client.execute(&free, &[])).await?;
        let doubted = self.stay.doubted();
        if !doubted.is_empty() {
            // Claims of transactions without an answer: the client heard 4xx, and no job has them.
            let back = "UPDATE recipient SET state = 0, next_attempt_ms = CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint) \
                        WHERE state = 1 AND owner = ANY(CAST($1 AS bigint[]))";
            freed += answered(self.opened.client.execute(back, &[&doubted])).await?;
        }
        if freed > 0 {
            tracing::warn!(recipients = freed, "claims of a node that is gone, or of a commit without an answer, are due again");
            answered(self.opened.client.batch_execute(&telling("work"))).await?;
        }
        Ok(())
    }

    /// Asks the time of the database.
    async fn ask_time(&self) -> Result<(), StoreError> {
        let (asked, sql) = (self.stay.asks(), "SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint)");
        let row = answered(self.opened.client.query_one(sql, &[])).await?;
        self.stay.note_database_time(row.try_get(0).map_err(|error| of_postgres(&error))?, asked);
        Ok(())
    }

    /// Reads the counters.
    async fn look(&mut self) -> Result<(), StoreError> {
        let rows = answered(self.opened.client.query("SELECT name, n FROM news", &[])).await?;
        let mut now = self.seen;
        for row in &rows {
            let read = || -> Result<_, tokio_postgres::Error> { Ok((row.try_get::<_, String>(0)?, row.try_get::<_, i64>(1)?)) };
            let (name, n) = read().map_err(|error| of_postgres(&error))?;
            match name.as_str() {
                "work" => now.work = n.unsigned_abs(),
                "directory" => now.directory = n.unsigned_abs(),
                "shared" => now.shared = n.unsigned_abs(),
                _ => {}
            }
        }
        self.seen = now;
        self.news.send_if_modified(|known| std::mem::replace(known, now) != now);
        Ok(())
    }
}
