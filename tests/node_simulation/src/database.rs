//! The database of a run: its clock, and what is in it. The ledger asks it directly, not through the store.
//!
//! Invariant: every `clock_timestamp()` of the product's SQL is the simulated one: `sim` is before `pg_catalog` in the search path of the database.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use pg_lab::PgServer;
use tokio_postgres::{Client, NoTls};

/// The simulated clock: a sequence, whose value every transaction sees at once and which makes no dead rows.
const CLOCK: &str = "CREATE SCHEMA sim; CREATE SEQUENCE sim.clock; \
     CREATE FUNCTION sim.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE \
     AS 'SELECT pg_catalog.to_timestamp(last_value / 1000.0) FROM sim.clock'";

/// A recipient in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRow {
    pub lane: String,
    pub state: i64,
    /// When it is due, or its claim ends.
    pub at_ms: i64,
    /// The stay that has claimed it.
    pub stay: Option<i64>,
}

/// A recipient: its message, and its place in it.
pub type Key = (i64, u32);

/// The database of a run.
pub struct Database {
    client: Client,
    name: String,
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl Database {
    /// Makes a database with a clock of its own.
    pub async fn create(server: &PgServer, name: &str, now_ms: i64) -> Result<Self> {
        let admin = connect(&server.url_of("waypost", "postgres")).await?;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.context("no database")?;
        admin.batch_execute(&format!("ALTER DATABASE {name} SET search_path = public, sim, pg_catalog")).await?;
        let client = connect(&server.url_of("waypost", name)).await?;
        client.batch_execute(CLOCK).await?;
        let database = Self { client, name: name.to_owned() };
        database.set_clock(now_ms).await?;
        Ok(database)
    }

    /// Removes it.
    pub async fn remove(self, server: &PgServer) -> Result<()> {
        let admin = connect(&server.url_of("waypost", "postgres")).await?;
        let name = self.name.clone();
        drop(self);
        admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets the clock.
    pub async fn set_clock(&self, now_ms: i64) -> Result<()> {
        self.client.query("SELECT setval('sim.clock', $1)", &[&now_ms]).await?;
        Ok(())
    }

    async fn number(&self, sql: &str) -> Result<i64> {
        Ok(self.client.query_one(sql, &[]).await?.try_get(0)?)
    }

    /// Whether the product reads this clock, also where a value comes by default.
    pub async fn has_its_clock(&self) -> Result<bool> {
        let sql = "SELECT (SELECT count(*) FROM pg_attrdef WHERE pg_get_expr(adbin, adrelid) LIKE '%pg_catalog.clock_timestamp%') \
                   + (SELECT count(*) FROM pg_views WHERE schemaname = 'public' AND definition LIKE '%pg_catalog.clock_timestamp%')";
        let strangers = self.number(sql).await?;
        let read: i64 =
            self.number("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint) - last_value FROM sim.clock").await?;
        Ok(strangers == 0 && read == 0)
    }

    /// Every recipient in the queue.
    pub async fn queue(&self) -> Result<BTreeMap<Key, QueuedRow>> {
        let sql = "SELECT message_id, n, lane, state, next_attempt_ms, owner >> 32 FROM recipient";
        let mut queue = BTreeMap::new();
        for row in self.client.query(sql, &[]).await? {
            let key = (row.try_get(0)?, u32::try_from(row.try_get::<_, i64>(1)?)?);
            let (lane, state) = (row.try_get(2)?, row.try_get(3)?);
            queue.insert(key, QueuedRow { lane, state, at_ms: row.try_get(4)?, stay: row.try_get(5)? });
        }
        Ok(queue)
    }

    /// Messages without recipients, recipients without their message, and contents without either.
    pub async fn strays(&self) -> Result<i64> {
        self.number(
            "SELECT (SELECT count(*) FROM message m WHERE NOT EXISTS (SELECT 1 FROM recipient r WHERE r.message_id = m.id)) \
             + (SELECT count(*) FROM recipient r WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.id = r.message_id)) \
             + (SELECT count(*) FROM content c WHERE NOT EXISTS (SELECT 1 FROM message m WHERE m.content_id = c.id)) \
             + (SELECT count(*) FROM message m WHERE NOT EXISTS (SELECT 1 FROM content c WHERE c.id = m.content_id))",
        )
        .await
    }

    /// The stays whose lease has not ended, with the names of their nodes.
    pub async fn alive(&self) -> Result<BTreeMap<String, i64>> {
        let rows = self.client.query("SELECT name, stay FROM node WHERE lease_until > sim.clock_timestamp()", &[]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Until when a duty is taken; 0 if it never was.
    pub async fn duty_until_ms(&self, name: &str) -> Result<i64> {
        let sql = "SELECT CAST(floor(extract(epoch FROM until) * 1000) AS bigint) FROM duty WHERE name = $1";
        self.client.query_opt(sql, &[&name]).await?.map_or(Ok(0), |row| Ok(row.try_get(0)?))
    }

    /// The connections of a node, as the server knows them.
    pub async fn connections(&self, node: &str) -> Result<usize> {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND starts_with(application_name, $1)";
        let row = self.client.query_one(sql, &[&format!("waypost {node} ")]).await?;
        Ok(usize::try_from(row.try_get::<_, i64>(0)?)?)
    }
}
