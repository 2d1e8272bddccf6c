//! Writes values in batches, in the background.
//!
//! Invariant: no session waits for the disk; at most `QUEUE_MAX` values wait, and those beyond are counted and dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// Maximum number of values that wait to be written.
const QUEUE_MAX: usize = 4096;

/// Time between two batches.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Maximum time for the last batch at a shutdown.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// Writes batches.
pub(crate) trait BatchWriter<T>: Send + 'static {
    /// Writes a batch. `dropped` is the number of values dropped since the last one.
    fn write(&mut self, batch: Vec<T>, dropped: u64) -> impl Future<Output = ()> + Send;
}

enum Entry<T> {
    Value(T),
    Flush(oneshot::Sender<()>),
}

/// Queues values for the writer. Clones share it; the writer ends with the last of them.
#[derive(Debug)]
pub(crate) struct WriteBehind<T> {
    queue: mpsc::Sender<Entry<T>>,
    dropped: Arc<AtomicU64>,
}

impl<T> Clone for WriteBehind<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), dropped: self.dropped.clone() }
    }
}

impl<T: Send + 'static> WriteBehind<T> {
    /// Starts the writer's task.
    pub fn start(mut writer: impl BatchWriter<T>) -> Self {
        let (queue, mut entries) = mpsc::channel(QUEUE_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = dropped.clone();
        tokio::spawn(async move {
            while let Some(batch) = next_batch(&mut entries).await {
                writer.write(batch.values, counted.swap(0, Ordering::Relaxed)).await;
                for done in batch.flushes {
                    let _ = done.send(());
                }
            }
        });
        Self { queue, dropped }
    }

    /// A queue without a writer: every value is dropped.
    pub fn nowhere() -> Self {
        let (queue, _) = mpsc::channel(1);
        Self { queue, dropped: Arc::default() }
    }

    /// Queues a value, or drops it if the queue is full.
    pub fn push(&self, value: T) {
        if self.queue.try_send(Entry::Value(value)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns when everything pushed so far is written, at the latest after two seconds.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let flushed = async { if self.queue.send(Entry::Flush(done)).await.is_ok() { written.await.is_ok() } else { false } };
        let _ = timeout(FLUSH_WITHIN, flushed).await;
    }
}

struct Batch<T> {
    values: Vec<T>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl<T> Batch<T> {
    fn push(&mut self, entry: Entry<T>) {
        match entry {
            Entry::Value(value) => self.values.push(value),
            Entry::Flush(done) => self.flushes.push(done),
        }
    }
}

/// Waits for a first value and gathers others until the interval ends, the batch is full or a flush asks for it. `None` at the end.
async fn next_batch<T>(entries: &mut mpsc::Receiver<Entry<T>>) -> Option<Batch<T>> {
    let mut batch = Batch { values: Vec::new(), flushes: Vec::new() };
    batch.push(entries.recv().await?);
    let end = sleep(WRITE_EVERY);
    tokio::pin!(end);
    while batch.flushes.is_empty() && batch.values.len() < QUEUE_MAX {
        tokio::select! {
            biased;
            () = &mut end => break,
            next = entries.recv() => match next {
                Some(entry) => batch.push(entry),
                None => break,
            },
        }
    }
    while batch.values.len() < QUEUE_MAX
        && let Ok(next) = entries.try_recv()
    {
        batch.push(next);
    }
    Some(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Batches(mpsc::UnboundedSender<(Vec<u32>, u64)>);

    impl BatchWriter<u32> for Batches {
        async fn write(&mut self, batch: Vec<u32>, dropped: u64) {
            self.0.send((batch, dropped)).unwrap();
        }
    }

    #[tokio::test]
    async fn values_are_written_together_and_a_full_line_leaves_out_the_rest() {
        let (sender, mut batches) = mpsc::unbounded_channel();
        let queue = WriteBehind::start(Batches(sender));
        for n in 0..3 {
            queue.push(n);
        }
        queue.flush().await;
        assert_eq!(batches.recv().await, Some((vec![0, 1, 2], 0)));
        for n in 0..5000 {
            queue.push(n);
        }
        let (batch, dropped) = batches.recv().await.unwrap();
        assert_eq!((batch.len(), dropped), (QUEUE_MAX, 5000 - QUEUE_MAX as u64));
        queue.push(7);
        drop(queue);
        assert_eq!((batches.recv().await, batches.recv().await), (Some((vec![7], 0)), None));
    }
}
