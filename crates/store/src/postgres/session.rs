//! A connection for one thread, which waits for each answer; and the statements on it.
//!
//! Invariant: statements that do not depend on each other's answers travel together.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use super::errors::{is_collision, of_postgres};
use super::parameter::{Parameter, numbered};
use super::server::Opened;
use super::stay::Stay;
use crate::engine::Value;
use crate::error::StoreError;

/// Maximum time for an answer. A commit may be slow; a server that says nothing for so long is gone.
const ANSWER_MAX: Duration = Duration::from_secs(25);

/// Statements that travel together at most: their answers wait in memory.
const TOGETHER_MAX: usize = 30;

/// A connection of a thread.
pub(super) struct Session {
    client: Client,
    runtime: Handle,
    /// The prepared statements, by their text.
    statements: RefCell<HashMap<String, Statement>>,
    /// Whether an answer did not come: what the server has done is unknown.
    is_lost: Cell<bool>,
    /// Whether the last error was a collision with another transaction.
    has_collided: Cell<bool>,
    is_doubtful: Arc<AtomicBool>,
    pub stay: Arc<Stay>,
    /// The owner of what this transaction claims.
    owner: Cell<i64>,
}

/// A statement of a flight.
pub(super) enum Step<'a> {
    /// One without parameters: BEGIN, COMMIT.
    Plain(&'static str),
    Prepared {
        sql: &'static str,
        values: Vec<Box<dyn ToSql + Sync + Send + 'a>>,
    },
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Error>> + 'a>>;

impl Session {
    pub fn new(opened: Opened, runtime: Handle, stay: Arc<Stay>) -> Self {
        Self {
            client: opened.client,
            runtime,
            statements: RefCell::default(),
            is_lost: Cell::new(false),
            has_collided: Cell::new(false),
            is_doubtful: opened.is_doubtful,
            owner: Cell::new(stay.any_owner()),
            stay,
        }
    }

    /// Claims from now on belong to a transaction of their own. Returns their owner.
    pub fn begin_owner(&self) -> i64 {
        self.owner.set(self.stay.next_owner());
        self.owner.get()
    }

    /// The owner of what is claimed now.
    pub fn owner(&self) -> i64 {
        self.owner.get()
    }

    /// Whether a new connection is needed.
    pub fn is_over(&self) -> bool {
        self.is_lost.get() || self.client.is_closed()
    }

    /// Whether the last error was a collision with another transaction. Asked once.
    pub fn has_collided(&self) -> bool {
        self.has_collided.take()
    }

    /// Says again what [`Self::has_collided`] has said.
    pub fn note_collision(&self, has_collided: bool) {
        self.has_collided.set(has_collided);
    }

    /// Forgets earlier warnings of the server.
    pub fn trust(&self) {
        self.is_doubtful.store(false, Ordering::SeqCst);
    }

    /// Fails if the server has warned since [`Self::trust`]: a commit may not be where it should be.
    pub fn check_trust(&self) -> Result<(), StoreError> {
        if self.is_doubtful.swap(false, Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the database warned about the commit: its outcome is unknown".into()));
        }
        Ok(())
    }

    /// Waits for an answer.
    pub fn wait<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        match self.runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, answer).await }) {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(self.noted(&error)),
            Err(_) => {
                self.is_lost.set(true);
                Err(StoreError::Unavailable(format!("the database did not answer within {} seconds", ANSWER_MAX.as_secs())))
            }
        }
    }

    fn noted(&self, error: &Error) -> StoreError {
        self.has_collided.set(is_collision(error));
        let meaning = of_postgres(error);
        if matches!(meaning, StoreError::Unavailable(_)) {
            // A server that shuts down, or became a standby: another connection finds the right one.
            self.is_lost.set(true);
        }
        meaning
    }

    /// Returns the prepared statement of a text.
    pub fn prepared(&self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(known) = self.statements.borrow().get(sql) {
            return Ok(known.clone());
        }
        let text = numbered(sql);
        let statement = self.wait(self.client.prepare(&text))?;
        self.statements.borrow_mut().insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Runs statements together, in order. Returns the rows of each, or the first error.
    pub fn fly(&self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, StoreError> {
        let mut statements = Vec::with_capacity(steps.len());
        for step in steps {
            statements.push(match step {
                Step::Plain(_) => None,
                Step::Prepared { sql, .. } => Some(self.prepared(sql)?),
            });
        }
        let answers: Vec<Answer<'_>> = steps
            .iter()
            .zip(&statements)
            .map(|(step, statement)| -> Answer<'_> {
                match (step, statement) {
                    (Step::Prepared { values, .. }, Some(statement)) => Box::pin(async move {
                        let values: Vec<&(dyn ToSql + Sync)> =
                            values.iter().map(|value| -> &(dyn ToSql + Sync) { value.as_ref() }).collect();
                        self.client.query(statement, &values).await
                    }),
                    (Step::Plain(sql), _) => Box::pin(async move { self.client.batch_execute(sql).await.map(|()| Vec::new()) }),
                    (Step::Prepared { .. }, None) => Box::pin(async { Ok(Vec::new()) }),
                }
            })
            .collect();
        // All answers are read, so that the connection is in step again.
        let answers = self.wait(async { Ok(join_all(answers).await) })?;
        answers.into_iter().map(|answer| answer.map_err(|error| self.noted(&error))).collect()
    }

    /// Runs a statement; returns the number of rows that it has changed.
    pub fn change(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let statement = self.prepared(sql)?;
        let values: Vec<Parameter<'_>> = values.iter().copied().map(Parameter).collect();
        self.wait(self.client.execute_raw(&statement, &values))
    }

    /// Runs a statement for each list of values, some together.
    pub fn change_each(&self, sql: &str, lists: &[Vec<Value<'_>>]) -> Result<(), StoreError> {
        let statement = self.prepared(sql)?;
        for some in lists.chunks(TOGETHER_MAX) {
            let answers = some.iter().map(|values| {
                let values: Vec<Parameter<'_>> = values.iter().copied().map(Parameter).collect();
                let statement = &statement;
                async move { self.client.execute_raw(statement, &values).await }
            });
            let answers = self.wait(async { Ok(join_all(answers).await) })?;
            answers.into_iter().try_for_each(|answer| answer.map(drop).map_err(|error| self.noted(&error)))?;
        }
        Ok(())
    }

    /// Runs a query.
    pub fn ask(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepared(sql)?;
        let values: Vec<Parameter<'_>> = values.iter().copied().map(Parameter).collect();
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| -> &(dyn ToSql + Sync) { value }).collect();
        self.wait(self.client.query(&statement, &values))
    }

    /// Runs a statement without parameters that begins, ends or marks a transaction.
    pub fn control(&self, sql: &str) -> Result<(), StoreError> {
        self.wait(self.client.batch_execute(sql))
    }
}
