//! Several nodes over one PostgreSQL, for a test.

use std::time::{Duration, Instant};

use mail::{Domain, QueueId};
use pg_lab::PgServer;
use store::{Disposition, PostgresSettings, RecipientKey, Settlement, Store, StoreError};
use tempfile::TempDir;

/// The nodes of a test, and their server.
pub struct Nodes {
    pub server: PgServer,
    pub homes: Vec<TempDir>,
}

impl Nodes {
    pub fn new() -> Self {
        Self::over(PgServer::default())
    }

    /// Nodes over this server.
    pub fn over(server: PgServer) -> Self {
        Self { server, homes: Vec::new() }
    }

    pub fn settings(&self, node: &str) -> PostgresSettings {
        PostgresSettings {
            url: self.server.url(),
            password_file: None,
            node: node.into(),
            accept_loss: true,
            version: "test".into(),
            wall_clock: None,
        }
    }

    /// Starts a node with a data directory of its own.
    pub async fn start(&mut self, node: &str) -> Store {
        self.try_start(self.settings(node)).await.unwrap()
    }

    pub async fn try_start(&mut self, settings: PostgresSettings) -> Result<Store, StoreError> {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open_postgres(home.path(), settings).await;
        self.homes.push(home);
        store
    }

    /// Ends the lease of a node, as if it had not been heard for 30 seconds.
    pub fn end_lease(&self, node: &str) {
        self.server.sql(&format!("UPDATE node SET lease_until = clock_timestamp() - interval '1 second' WHERE name = '{node}'"));
    }
}

/// The lane of most recipients.
pub fn lane() -> Domain {
    Domain::parse("x.test").unwrap()
}

/// A time at which everything is due.
pub const LATE_MS: i64 = i64::MAX / 4;

/// The key of a recipient.
pub fn key(id: i64, index: u32) -> RecipientKey {
    RecipientKey { message: QueueId(id), index }
}

/// What settles recipients as done.
pub fn done(keys: &[RecipientKey]) -> Settlement {
    Settlement { recipients: keys.iter().map(|key| (*key, Disposition::Done)).collect(), ..Settlement::default() }
}

/// Waits until something is so, at most for a time. Returns how long it took.
pub async fn until(what: &str, most: Duration, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < most, "{what}: not within {most:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begin.elapsed()
}
