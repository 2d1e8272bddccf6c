//! Large content, in pieces of rows: written before its message is committed, and read into a file of this node.
//!
//! Invariant: at most two pieces of a content are in memory; a piece is durable when the message that names it is, since it was committed before.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mail::QueueId;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tokio_postgres::{Client, Statement};

use super::errors::of_postgres;
use super::server::Server;
use crate::content::{Content, DAMAGED, LocalFile, ROW_MAX_BYTES};
use crate::engine::{Sql, values};
use crate::error::StoreError;
use crate::tables::ContentRow;

/// Size of a piece, in octets.
const PIECE_BYTES: usize = 256 * 1024;

/// The connection that writes pieces; opened when it is needed first.
#[derive(Default)]
pub(super) struct Uploads(Mutex<Option<(Client, Statement)>>);

impl Uploads {
    /// Writes the pieces of a content, unless they are there.
    pub async fn write(&self, server: &Arc<Server>, content: &Content) -> Result<(), StoreError> {
        let mut place = self.0.lock().await;
        if place.as_ref().is_none_or(|(client, _)| client.is_closed()) {
            *place = None;
            let client = server.connect("waypost contents").await?.client;
            // The commit of the message comes later in the same log, and makes the pieces durable with it.
            client.batch_execute("SET synchronous_commit = off").await.map_err(|error| of_postgres(&error))?;
            let sql = "INSERT INTO content_piece (content_id, k, data) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            let statement = client.prepare(sql).await.map_err(|error| of_postgres(&error))?;
            *place = Some((client, statement));
        }
        let Some((client, statement)) = place.as_ref() else { return Err(StoreError::Closed) };
        let written = write_pieces(client, statement, content).await;
        if written.is_err() {
            *place = None;
        }
        written
    }
}

async fn write_pieces(client: &Client, statement: &Statement, content: &Content) -> Result<(), StoreError> {
    let (mut reader, mut piece, mut k) = (content.read().await?, BytesMut::new(), 0_i64);
    loop {
        let more = reader.next().await?;
        let is_end = more.is_none();
        piece.extend_from_slice(&more.unwrap_or_default());
        while piece.len() >= PIECE_BYTES || (is_end && !piece.is_empty()) {
            let octets = piece.split_to(piece.len().min(PIECE_BYTES)).freeze();
            client.execute(statement, &[&content.id.0, &k, &octets.as_ref()]).await.map_err(|error| of_postgres(&error))?;
            k += 1;
        }
        if is_end {
            return Ok(());
        }
    }
}

/// Returns a piece; `None` behind the last one.
pub(super) fn piece(db: &dyn Sql, content: QueueId, k: i64) -> Result<Option<Vec<u8>>, StoreError> {
    db.row("SELECT data FROM content_piece WHERE content_id = ? AND k = ?", values![content.0, k], |row| row.get(0))
}

/// A content that is read into a file.
pub(super) struct Download {
    row: ContentRow,
    file: LocalFile,
    out: tokio::fs::File,
    front: BytesMut,
    crc: crc32fast::Hasher,
    size_bytes: u64,
}

impl Download {
    /// Makes the file. `distinct` tells it from other copies of the same content.
    pub async fn begin(row: ContentRow, directory: &std::path::Path, distinct: u64) -> Result<Self, StoreError> {
        let path = directory.join(format!("{}-{distinct}", row.id));
        let out = tokio::fs::File::create_new(&path).await?;
        Ok(Self { row, file: LocalFile::copy(path), out, front: BytesMut::new(), crc: crc32fast::Hasher::new(), size_bytes: 0 })
    }

    /// Appends a piece.
    pub async fn add(&mut self, octets: Bytes) -> Result<(), StoreError> {
        let room = ROW_MAX_BYTES.saturating_sub(self.front.len());
        self.front.extend_from_slice(octets.get(..room.min(octets.len())).unwrap_or_default());
        self.crc.update(&octets);
        self.size_bytes += octets.len() as u64;
        Ok(self.out.write_all(&octets).await?)
    }

    /// Completes the content, and compares it with its row.
    pub async fn finish(mut self, message: QueueId) -> Result<Content, StoreError> {
        self.out.flush().await?;
        if self.size_bytes != self.row.size_bytes {
            return Err(StoreError::Corrupt(format!("the content of message {message} does not have its recorded size")));
        }
        if self.row.crc.is_some_and(|crc| crc != self.crc.finalize()) {
            return Err(StoreError::Corrupt(format!("the content of message {message}: {DAMAGED}")));
        }
        Ok(Content::in_file(self.row.id, (self.row.size_bytes, self.row.crc), self.front.freeze(), self.file))
    }
}
