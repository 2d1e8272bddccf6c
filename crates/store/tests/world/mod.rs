//! Runs a test over each engine: a data directory, and the database behind it.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses a part of it; a test that cannot start fails"
)]

pub mod nodes;

use std::path::Path;

use bytes::Bytes;
use mail::{Body, Mailbox, Notify, QueueId, ReversePath};
use pg_lab::PgServer;
use store::{Content, Flow, Message, NewMessage, NewRecipient, PostgresSettings, Store, StoreError, TlsWish};
use tempfile::TempDir;

/// A small message from the null reverse-path, which a test changes where it needs to.
pub fn message(id: i64, recipients: &[&str], claimed: bool) -> NewMessage {
    NewMessage {
        message: Message {
            id: QueueId(id),
            flow: Flow::Forward,
            reverse_path: ReversePath::Null,
            body: Body::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
            tls: TlsWish::AsPublished,
            arrived_ms: 0,
            expires_ms: i64::MAX,
            rewritten_path: None,
            may_report: true,
            mendable: false,
            delay_reported: false,
            prefix: Bytes::new(),
        },
        content: Content::memory(QueueId(id), Bytes::from_static(b"Subject: hi\r\n\r\n")),
        recipients: recipients.iter().map(|to| recipient(to)).collect(),
        claimed,
        held: None,
    }
}

/// A recipient without options.
pub fn recipient(to: &str) -> NewRecipient {
    NewRecipient { mailbox: Mailbox::parse(to).unwrap(), notify: Notify::default(), orcpt: None, known_as: None }
}

/// Opens a data directory after the threads of its previous store have ended.
pub async fn try_reopened(data: &Path) -> Result<Store, StoreError> {
    loop {
        match Store::open(data) {
            Err(StoreError::InUse(_)) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            other => return other,
        }
    }
}

/// A data directory, and the database behind it.
pub struct World {
    pub dir: TempDir,
    pub server: Option<PgServer>,
}

/// Makes two tests of each `async fn name(world: World)`: one over each engine.
macro_rules! over_engines {
    ($($name:ident),* $(,)?) => { $(
        mod $name {
            use $crate::world::World;

            #[tokio::test]
            async fn over_sqlite() {
                super::$name(World::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn over_postgresql() {
                super::$name(World::postgres()).await;
            }
        }
    )* };
}
pub(crate) use over_engines;

impl World {
    pub fn sqlite() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), server: None }
    }

    pub fn postgres() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), server: Some(PgServer::default()) }
    }

    pub fn data(&self) -> &Path {
        self.dir.path()
    }

    /// What the node `node` needs to open the database.
    pub fn settings(&self, node: &str) -> PostgresSettings {
        let url = self.server.as_ref().unwrap().url();
        PostgresSettings { url, password_file: None, node: node.to_owned(), accept_loss: true, version: "test".into(), wall_clock: None }
    }

    pub async fn try_open(&self) -> Result<Store, StoreError> {
        match &self.server {
            None => Store::open(self.data()),
            Some(_) => Store::open_postgres(self.data(), self.settings("a")).await,
        }
    }

    pub async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    /// Opens it after the threads of the previous store have ended.
    pub async fn reopen(&self) -> Store {
        loop {
            match self.try_open().await {
                Err(StoreError::InUse(_)) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
                other => return other.unwrap(),
            }
        }
    }

    /// Changes the database behind the store's back. The SQL is what both engines know.
    pub fn execute(&self, sql: &str) {
        match &self.server {
            None => drop(rusqlite::Connection::open(self.data().join("waypost.db")).unwrap().execute(sql, []).unwrap()),
            Some(server) => drop(server.sql(sql)),
        }
    }

    /// The time of the clock, Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(since.as_millis()).unwrap()
    }

    /// Asks the database for a number.
    pub fn number(&self, sql: &str) -> i64 {
        match &self.server {
            None => rusqlite::Connection::open(self.data().join("waypost.db")).unwrap().query_row(sql, [], |row| row.get(0)).unwrap(),
            Some(server) => server.sql(sql).parse().unwrap(),
        }
    }

    /// Replaces the octets of a content in its row.
    pub fn set_content(&self, id: i64, octets: &[u8]) {
        let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        let literal = if self.server.is_some() { format!("'\\x{hex}'") } else { format!("x'{hex}'") };
        self.execute(&format!("UPDATE content SET data = {literal} WHERE id = {id}"));
    }

    /// Changes an octet of a large content; it is in the first piece.
    pub fn damage_large(&self, id: i64, at: u64) {
        use std::os::unix::fs::FileExt;
        match &self.server {
            None => {
                let path = self.data().join("content").join(mail::QueueId(id).to_string());
                std::fs::File::options().write(true).open(path).unwrap().write_at(b"y", at).unwrap();
            }
            Some(server) => {
                server.sql(&format!("UPDATE content_piece SET data = set_byte(data, {at}, 121) WHERE content_id = {id} AND k = 0"));
            }
        }
    }

    /// Large contents that the queue has.
    pub fn large_contents(&self) -> usize {
        match &self.server {
            None => std::fs::read_dir(self.data().join("content")).unwrap().count(),
            Some(_) => usize::try_from(self.number("SELECT count(DISTINCT content_id) FROM content_piece")).unwrap(),
        }
    }
}
